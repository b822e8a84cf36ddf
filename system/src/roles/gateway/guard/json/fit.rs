//! A tree as a value of a type, and in which words it does not fit.

use super::quoted::quoted;
use super::tree::Tree;
use serde::Deserializer;
use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use std::fmt;

/// What does not fit, and where.
#[derive(Debug)]
pub struct Wrong {
    /// From the innermost outwards.
    place: Vec<Step>,
    what: What,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Item(usize),
}

#[derive(Debug)]
enum What {
    /// `… must be a text`
    Value(String),
    /// A sentence of its own.
    Said(String),
}

impl Wrong {
    fn value(text: impl Into<String>) -> Self {
        Self {
            place: Vec::new(),
            what: What::Value(text.into()),
        }
    }

    fn said(text: impl Into<String>) -> Self {
        Self {
            place: Vec::new(),
            what: What::Said(text.into()),
        }
    }

    fn must_be(expected: &str, got: Unexpected<'_>) -> Self {
        // What should be a text may be a secret even if it is a number.
        let got = match got {
            _ if expected == TEXT => kind(got).to_owned(),
            Unexpected::Bool(value) => value.to_string(),
            Unexpected::Unsigned(value) => value.to_string(),
            Unexpected::Signed(value) => value.to_string(),
            Unexpected::Float(value) => value.to_string(),
            other => kind(other).to_owned(),
        };
        Self::value(format!("must be {expected}, got {got}"))
    }

    fn at(mut self, step: Step) -> Self {
        self.place.push(step);
        self
    }
}

/// `to.city`, `tags[1]`; empty: the whole.
struct Place<'a>(&'a [Step]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().rev().enumerate() {
            match step {
                Step::Field(name) if index == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Place(&self.place);
        match (&self.what, self.place.is_empty()) {
            (What::Value(text), true) => write!(f, "the body {text}"),
            (What::Value(text), false) => write!(f, "{place} {text}"),
            (What::Said(text), true) => f.write_str(text),
            (What::Said(text), false) => write!(f, "{place}: {text}"),
        }
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::said(text.to_string())
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::must_be(&words(expected), got)
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::must_be(&words(expected), got)
    }

    fn invalid_length(len: usize, _: &dyn Expected) -> Self {
        Self::value(format!("must not have {len} items"))
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        let (name, known) = (quoted(name), known.join(", "));
        Self::said(format!("unknown name {name}; known: {known}"))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        let (name, known) = (quoted(name), known.join(", "));
        Self::said(format!("unknown field {name}; known: {known}"))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::value("is missing").at(Step::Field(name.to_owned()))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::value("is given twice").at(Step::Field(name.to_owned()))
    }
}

const TEXT: &str = "a text";
const LIST: &str = "a list";
const OBJECT: &str = "an object";

/// What a type calls itself when it did not get what it expected, for people.
fn words(expected: &dyn Expected) -> String {
    macro_rules! whole {
        ($name:expr, $($type:ident),+) => {
            match $name {
                $(stringify!($type) => {
                    format!("a whole number from {} to {}", $type::MIN, $type::MAX)
                })+
                "f32" | "f64" => "a number".to_owned(),
                "a boolean" => "true or false".to_owned(),
                "a string" | "a borrowed string" | "a character" | "string or map" => TEXT.to_owned(),
                "a sequence" => LIST.to_owned(),
                "a map" => OBJECT.to_owned(),
                name if name.starts_with("tuple struct ") || name.starts_with("a tuple") => {
                    LIST.to_owned()
                }
                name if name.starts_with("struct ") => OBJECT.to_owned(),
                name if name.starts_with("enum ") => TEXT.to_owned(),
                // Names of types are nobody's business.
                _ => "something else".to_owned(),
            }
        };
    }
    whole!(
        expected.to_string().as_str(),
        i8,
        i16,
        i32,
        i64,
        u8,
        u16,
        u32,
        u64,
        usize,
        isize
    )
}

fn kind(got: Unexpected<'_>) -> &'static str {
    match got {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => TEXT,
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => LIST,
        Unexpected::Map => OBJECT,
        _ => "something else",
    }
}

impl Tree {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Natural(value) => Unexpected::Unsigned(*value),
            Self::Whole(value) => Unexpected::Signed(*value),
            Self::Number(value) => Unexpected::Float(*value),
            Self::Text(text) => Unexpected::Str(text),
            Self::List(_) => Unexpected::Seq,
            Self::Object(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Natural(value) => visitor.visit_u64(value),
            Self::Whole(value) => visitor.visit_i64(value),
            Self::Number(value) => visitor.visit_f64(value),
            Self::Text(text) => visitor.visit_string(text),
            Self::List(items) => visitor.visit_seq(Items(items.into_iter().enumerate())),
            Self::Object(fields) => visitor.visit_map(Fields::of(fields, None)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    /// An object with no other fields than these, also where the type would overlook them.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self {
            Self::Object(fields) => visitor.visit_map(Fields::of(fields, Some(known))),
            other => Err(Wrong::must_be(OBJECT, other.unexpected())),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self {
            Self::Text(name) => {
                let name: StringDeserializer<Wrong> = name.into_deserializer();
                visitor.visit_enum(name)
            }
            other => Err(Wrong::must_be(TEXT, other.unexpected())),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items(std::iter::Enumerate<std::vec::IntoIter<Tree>>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Wrong;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Wrong> {
        let Some((index, item)) = self.0.next() else {
            return Ok(None);
        };
        let item = seed.deserialize(item);
        item.map(Some).map_err(|wrong| wrong.at(Step::Item(index)))
    }
}

struct Fields {
    rest: std::vec::IntoIter<(String, Tree)>,
    known: Option<&'static [&'static str]>,
    /// The one whose name was asked for last.
    next: Option<(String, Tree)>,
}

impl Fields {
    fn of(fields: Vec<(String, Tree)>, known: Option<&'static [&'static str]>) -> Self {
        Self {
            rest: fields.into_iter(),
            known,
            next: None,
        }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Wrong;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Wrong> {
        self.next = self.rest.next();
        let Some((name, _)) = &self.next else {
            return Ok(None);
        };
        if let Some(known) = self.known
            && !known.contains(&name.as_str())
        {
            return Err(de::Error::unknown_field(name, known));
        }
        let name: StringDeserializer<Wrong> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let (name, value) = self.next.take().unwrap_or((String::new(), Tree::Null));
        let value = seed.deserialize(value);
        // A name that is none of the type's own may be anything.
        let name = if self.known.is_some() {
            name
        } else {
            quoted(&name)
        };
        value.map_err(|wrong| wrong.at(Step::Field(name)))
    }
}
