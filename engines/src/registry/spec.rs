//! The text form of an engine and its parameters: `name?key=value&key=value`.

use crate::EngineError;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Which engine, with which parameters. Names are checked against a [`Registry`](crate::Registry)
/// later.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineSpec {
    name: String,
    params: Vec<(String, String)>,
}

impl EngineSpec {
    /// The engine's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters that were given, in order.
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }
}

impl FromStr for EngineSpec {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        let wrong = |what: String| {
            EngineError::Config(format!(
                "engine {text:?}: {what}; expected name?key=value&key=value"
            ))
        };
        let (name, query) = match text.split_once('?') {
            Some((name, query)) => (name, Some(query)),
            None => (text, None),
        };
        if !is_word(name) {
            return Err(wrong(format!(
                "{name:?} is not a name of lower-case letters, digits and dashes"
            )));
        }
        let mut params: Vec<(String, String)> = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| wrong(format!("{pair:?} is not key=value")))?;
            if !is_word(key) || value.is_empty() {
                return Err(wrong(format!("{pair:?} is not key=value")));
            }
            if params.iter().any(|(given, _)| given == key) {
                return Err(wrong(format!("parameter {key:?} is given twice")));
            }
            params.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            params,
        })
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

impl fmt::Display for EngineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (index, (key, value)) in self.params.iter().enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl TryFrom<String> for EngineSpec {
    type Error = EngineError;

    fn try_from(text: String) -> Result<Self, EngineError> {
        text.parse()
    }
}

impl From<EngineSpec> for String {
    fn from(spec: EngineSpec) -> Self {
        spec.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_reads_back_as_written() {
        for text in [
            "null",
            "sharded-slots?slots=16",
            "preallocated?block=5000&idle_ms=10",
        ] {
            assert_eq!(text.parse::<EngineSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_specifications_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "not a name"),
            ("Null", "not a name"),
            ("a?", "not key=value"),
            ("a?b", "not key=value"),
            ("a?b=", "not key=value"),
            ("a?b=1&b=2", "given twice"),
        ] {
            let refused = text.parse::<EngineSpec>().unwrap_err().to_string();
            assert!(refused.contains(reason), "{text:?}: {refused}");
        }
    }
}
