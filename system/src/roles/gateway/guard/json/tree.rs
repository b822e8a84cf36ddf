//! JSON as a tree, of bounded depth, in which no name is given twice.

use super::quoted::quoted;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Deepest nesting.
const DEPTH_MAX: usize = 8;
/// Most fields of an object: they are compared with each other.
const FIELDS_MAX: usize = 64;

/// One value.
#[derive(Debug)]
pub enum Tree {
    Null,
    Bool(bool),
    Natural(u64),
    Whole(i64),
    Number(f64),
    Text(String),
    List(Vec<Tree>),
    /// In the order of the text.
    Object(Vec<(String, Tree)>),
}

/// The one value in `bytes`, or what is wrong, in a sentence.
pub fn parse(bytes: &[u8]) -> Result<Tree, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Below(DEPTH_MAX).deserialize(&mut reader);
    let whole = read.and_then(|tree| reader.end().map(|()| tree));
    whole.map_err(|error| match error.is_data() {
        // In our own words.
        true => error.to_string(),
        false => format!("the body is not valid JSON: {error}"),
    })
}

/// What may be nested so many levels more.
#[derive(Clone, Copy)]
struct Below(usize);

impl Below {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let deeper = self.0.checked_sub(1).map(Self);
        deeper.ok_or_else(|| E::custom(format_args!("nested deeper than {DEPTH_MAX} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Below {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Tree, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Natural(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Whole(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Number(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let below = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Tree, A::Error> {
        let below = self.deeper()?;
        let mut object: Vec<(String, Tree)> = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            if object.iter().any(|(known, _)| *known == name) {
                let name = quoted(&name);
                return Err(A::Error::custom(format_args!(
                    "the field {name} is given twice"
                )));
            }
            if object.len() == FIELDS_MAX {
                let text = format_args!("an object has more than {FIELDS_MAX} fields");
                return Err(A::Error::custom(text));
            }
            object.push((name, fields.next_value_seed(below)?));
        }
        Ok(Tree::Object(object))
    }
}
