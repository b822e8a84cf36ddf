//! Request data as a JSON array of `{"user_id", "product_id", "quantity"}`, the format ghz takes
//! with `--data-file`. Every fault names the element (counted from 1) and the field.

use super::{ELEMENTS_MAX, Element};
use crate::{Error, Result};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Unexpected, Visitor};
use serde_path_to_error::{Path as JsonPath, Segment};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Reads and checks a data file.
pub fn read_json(path: &Path) -> Result<Vec<Element>> {
    let file = File::open(path).map_err(|source| Error::file("read", path, source))?;
    parse(BufReader::with_capacity(1 << 16, file)).map_err(|fault| Error::Data {
        origin: path.display().to_string(),
        fault,
    })
}

/// Writes elements so that [`read_json`] and ghz can read them, one per line.
pub fn write_json(path: &Path, elements: &[Element]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        out.write_all(b"[")?;
        for (index, element) in elements.iter().enumerate() {
            out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut out, element)?;
        }
        out.write_all(b"\n]\n")?;
        out.flush()
    };
    write().map_err(|source| Error::file("write", path, source))
}

/// The fault is one sentence.
fn parse(reader: impl Read) -> std::result::Result<Vec<Element>, String> {
    let mut json = serde_json::Deserializer::from_reader(reader);
    let Elements(elements) = serde_path_to_error::deserialize(&mut json)
        .map_err(|fault| format!("{}{}", place(fault.path()), fault.inner()))?;
    json.end().map_err(|fault| fault.to_string())?;
    Ok(elements)
}

/// `element 2: quantity: ` of `[1].quantity`.
fn place(path: &JsonPath) -> String {
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(format!("element {}: ", index + 1)),
        Segment::Map { key } => Some(format!("{key}: ")),
        _ => None,
    });
    segments.collect()
}

/// An element as it stands in a file.
#[derive(serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with user_id, product_id and quantity"
)]
struct Row {
    user_id: Whole<{ i64::MAX }>,
    product_id: Whole<{ i64::MAX }>,
    quantity: Whole<{ i32::MAX as i64 }>,
}

struct Elements(Vec<Element>);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(json: D) -> std::result::Result<Self, D::Error> {
        json.deserialize_seq(ElementsVisitor).map(Self)
    }
}

struct ElementsVisitor;

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Vec<Element>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON array of {\"user_id\", \"product_id\", \"quantity\"}")
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(row) = seq.next_element::<Row>()? {
            if elements.len() == ELEMENTS_MAX {
                return Err(A::Error::custom(format!(
                    "more than {ELEMENTS_MAX} elements"
                )));
            }
            elements.push(Element {
                user_id: row.user_id.0,
                product_id: row.product_id.0,
                quantity: row.quantity.0 as i32,
            });
        }
        if elements.is_empty() {
            return Err(A::Error::custom(
                "the array is empty; at least one element is needed",
            ));
        }
        Ok(elements)
    }
}

/// A whole number from 1 to `MAX`.
struct Whole<const MAX: i64>(i64);

impl<'de, const MAX: i64> Deserialize<'de> for Whole<MAX> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> std::result::Result<Self, D::Error> {
        json.deserialize_i64(WholeVisitor::<MAX>).map(Self)
    }
}

struct WholeVisitor<const MAX: i64>;

impl<const MAX: i64> Visitor<'_> for WholeVisitor<MAX> {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a whole number from 1 to {MAX}")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> std::result::Result<i64, E> {
        match number {
            1.. if number <= MAX => Ok(number),
            _ => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> std::result::Result<i64, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> String {
        parse(json.as_bytes()).expect_err("refused")
    }

    #[test]
    fn a_fault_names_the_element_and_the_field() {
        let good = r#"{"user_id":1,"product_id":1,"quantity":1}"#;
        let with = |bad: &str| fault(&format!("[{good},{bad}]"));
        for (bad, expected) in [
            (
                r#"{"user_id":2,"product_id":1,"quantity":0}"#,
                "element 2: quantity: invalid value: integer `0`, expected a whole number from 1 to 2147483647",
            ),
            (
                r#"{"user_id":2,"product_id":1,"quantity":-1}"#,
                "integer `-1`, expected",
            ),
            (
                r#"{"user_id":2,"product_id":1,"quantity":1.5}"#,
                "element 2: quantity: invalid type: floating point `1.5`",
            ),
            (
                r#"{"user_id":2,"product_id":1,"quantity":3000000000}"#,
                "integer `3000000000`, expected a whole number from 1 to 2147483647",
            ),
            (
                r#"{"user_id":18446744073709551615,"product_id":1,"quantity":1}"#,
                "element 2: user_id: invalid value: integer `18446744073709551615`",
            ),
            (
                r#"{"user_id":"2","product_id":1,"quantity":1}"#,
                "element 2: user_id: invalid type: string \"2\", expected a whole number",
            ),
            (
                r#"{"user_id":2,"product_id":null,"quantity":1}"#,
                "element 2: product_id: invalid type: null, expected a whole number",
            ),
            (
                r#"{"user_id":2,"quantity":1}"#,
                "element 2: missing field `product_id`",
            ),
            (
                r#"{"user_id":2,"product_id":1,"quantity":1,"colour":3}"#,
                "element 2: colour: unknown field `colour`, expected one of `user_id`",
            ),
            (r#"{"user_id":2,"user_id":2}"#, "duplicate field `user_id`"),
            (
                "7",
                "element 2: invalid type: integer `7`, expected an object with user_id",
            ),
        ] {
            let got = with(bad);
            assert!(got.contains(expected), "{bad}: {got}");
        }
    }

    #[test]
    fn what_is_not_an_array_of_something_is_refused() {
        assert!(
            fault("{}").contains("expected a JSON array of"),
            "{}",
            fault("{}")
        );
        assert!(fault("[]").contains("the array is empty"));
        assert!(fault("").contains("EOF"));
        assert!(fault(r#"[{"user_id":1,"product_id":1,"quantity":1}"#).contains("EOF"));
        assert!(fault(r#"[{"user_id":1,"product_id":1,"quantity":1}] x"#).contains("trailing"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("data.json");
        let elements: Vec<Element> = (1..=1_000)
            .map(|n| Element {
                user_id: n,
                product_id: n + 1,
                quantity: (n % 2) as i32 + 1,
            })
            .collect();
        write_json(&path, &elements).expect("written");
        assert_eq!(read_json(&path).expect("read"), elements);
    }

    #[test]
    fn a_missing_file_is_named() {
        let fault = read_json(Path::new("/nonexistent/data.json")).expect_err("refused");
        assert!(
            fault
                .to_string()
                .starts_with("cannot read /nonexistent/data.json"),
            "{fault}"
        );
        assert!(!fault.is_usage());
    }
}
