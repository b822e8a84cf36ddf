//! Request data as a JSON array of `{"user_id", "product_id", "quantity"}`, the format ghz takes
//! with `--data-file`. Elements are read and checked one at a time; every fault names the element
//! (counted from 1) and the field.

use super::{ELEMENTS_MAX, Element};
use crate::{Error, Result};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

const FIELDS: [&str; 3] = ["user_id", "product_id", "quantity"];
/// Largest value of each of [`FIELDS`]: int64, int64 and int32 on the wire.
const FIELDS_MAX: [i64; 3] = [i64::MAX, i64::MAX, i32::MAX as i64];

/// Reads and checks a data file.
pub fn read_json(path: &Path) -> Result<Vec<Element>> {
    let file = File::open(path).map_err(|source| Error::file("read", path, source))?;
    parse(BufReader::with_capacity(1 << 16, file)).map_err(|fault| Error::Data {
        origin: path.display().to_string(),
        fault: fault.to_string(),
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

fn parse(reader: impl Read) -> serde_json::Result<Vec<Element>> {
    let mut json = serde_json::Deserializer::from_reader(reader);
    let elements = json.deserialize_any(Elements)?;
    json.end()?;
    Ok(elements)
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Element>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON array of {\"user_id\", \"product_id\", \"quantity\"}")
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(One {
            number: elements.len() + 1,
        })? {
            if elements.len() == ELEMENTS_MAX {
                return Err(A::Error::custom(format!(
                    "more than {ELEMENTS_MAX} elements"
                )));
            }
            elements.push(element);
        }
        if elements.is_empty() {
            return Err(A::Error::custom(
                "the array is empty; at least one element is needed",
            ));
        }
        Ok(elements)
    }
}

struct One {
    number: usize,
}

impl<'de> DeserializeSeed<'de> for One {
    type Value = Element;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> std::result::Result<Element, D::Error> {
        json.deserialize_any(self)
    }
}

/// Anything in the array that is not an object ends in this visitor's "invalid type", which gives
/// the element's number.
impl<'de> Visitor<'de> for One {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "element {} to be an object with user_id, product_id and quantity",
            self.number
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Element, A::Error> {
        let number = self.number;
        let mut values = [None; 3];
        while let Some(key) = map.next_key::<String>()? {
            let Some(field) = FIELDS.iter().position(|known| *known == key) else {
                let known = FIELDS.join(", ");
                return Err(A::Error::custom(format!(
                    "element {number}: unknown field {key}; known: {known}"
                )));
            };
            if values[field].is_some() {
                return Err(A::Error::custom(format!(
                    "element {number}: {key} is given twice"
                )));
            }
            let value = map.next_value::<Value>()?;
            values[field] = Some(whole_number(&value, FIELDS_MAX[field]).ok_or_else(|| {
                let limit = match value.as_i64() {
                    Some(1..) => format!(" and at most {}", FIELDS_MAX[field]),
                    _ => String::new(),
                };
                let fault = format!("must be a whole number of at least 1{limit}, got {value}");
                A::Error::custom(format!("element {number}: {key} {fault}"))
            })?);
        }
        let get = |field: usize| {
            values[field].ok_or_else(|| {
                A::Error::custom(format!("element {number}: {} is missing", FIELDS[field]))
            })
        };
        Ok(Element {
            user_id: get(0)?,
            product_id: get(1)?,
            quantity: get(2)? as i32,
        })
    }
}

fn whole_number(value: &Value, max: i64) -> Option<i64> {
    value.as_i64().filter(|number| (1..=max).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> String {
        parse(json.as_bytes()).expect_err("refused").to_string()
    }

    #[test]
    fn a_fault_names_the_element_and_the_field() {
        let good = r#"{"user_id":1,"product_id":1,"quantity":1}"#;
        let with = |bad: &str| fault(&format!("[{good},{bad}]"));
        for (bad, expected) in [
            (
                r#"{"user_id":2,"product_id":1,"quantity":0}"#,
                "element 2: quantity must be a whole number of at least 1",
            ),
            (r#"{"user_id":2,"product_id":1,"quantity":-1}"#, ", got -1"),
            (r#"{"user_id":2,"product_id":1,"quantity":1.5}"#, "got 1.5"),
            (
                r#"{"user_id":2,"product_id":1,"quantity":3000000000}"#,
                "at most 2147483647, got 3000000000",
            ),
            (
                r#"{"user_id":"2","product_id":1,"quantity":1}"#,
                "element 2: user_id must be a whole number",
            ),
            (
                r#"{"user_id":2,"product_id":null,"quantity":1}"#,
                "element 2: product_id must be a whole number",
            ),
            (
                r#"{"user_id":2,"quantity":1}"#,
                "element 2: product_id is missing",
            ),
            (
                r#"{"user_id":2,"product_id":1,"quantity":1,"colour":3}"#,
                "element 2: unknown field colour; known: user_id",
            ),
            (
                r#"{"user_id":2,"user_id":2}"#,
                "element 2: user_id is given twice",
            ),
            ("7", "expected element 2 to be an object"),
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
