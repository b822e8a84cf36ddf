//! Typed, bounded access to the parameters of an engine; every refusal names parameter, value and what is allowed.

use super::EngineSpec;
use crate::{EngineError, Result};
use serde::Serialize;
use std::ops::RangeInclusive;

/// One parameter an engine takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ParamSpec {
    /// Its key.
    pub name: &'static str,
    /// Its type and bounds in words, such as `integer 1..=1024`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its value when it is not given, as text.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// The parameters given for an engine, over the defaults of its specification.
#[derive(Clone, Debug)]
pub struct Params {
    engine: String,
    specs: &'static [ParamSpec],
    given: Vec<(String, String)>,
}

impl Params {
    /// Refuses a parameter that is not in `specs`.
    pub fn new(spec: &EngineSpec, specs: &'static [ParamSpec]) -> Result<Self> {
        for (key, _) in spec.params() {
            if !specs.iter().any(|known| known.name == key) {
                let known: Vec<_> = specs.iter().map(|known| known.name).collect();
                let known =
                    if known.is_empty() { "it takes none".to_owned() } else { format!("known: {}", known.join(", ")) };
                return Err(EngineError::Config(format!(
                    "unknown parameter {key:?} of engine {}; {known}",
                    spec.name()
                )));
            }
        }
        Ok(Self { engine: spec.name().to_owned(), specs, given: spec.params().to_vec() })
    }

    /// Whether the parameter was given, or has its default.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|(key, _)| key == name)
    }

    /// The parameter as text.
    pub fn text(&self, name: &str) -> Result<&str> {
        if let Some((_, value)) = self.given.iter().find(|(key, _)| key == name) {
            return Ok(value);
        }
        let spec = self.specs.iter().find(|spec| spec.name == name);
        spec.map(|spec| spec.default).ok_or_else(|| {
            EngineError::Config(format!("engine {} reads parameter {name:?} that it does not declare", self.engine))
        })
    }

    /// An integer within `allowed`.
    pub fn integer(&self, name: &str, allowed: RangeInclusive<u64>) -> Result<u64> {
        let text = self.text(name)?;
        let value = text.parse().ok().filter(|value| allowed.contains(value));
        value.ok_or_else(|| {
            self.refused(name, text, &format!("an integer from {} to {}", allowed.start(), allowed.end()))
        })
    }

    /// `true` or `false`.
    pub fn boolean(&self, name: &str) -> Result<bool> {
        let text = self.text(name)?;
        text.parse().map_err(|_| self.refused(name, text, "true or false"))
    }

    /// One of `allowed`.
    pub fn choice<'a>(&self, name: &str, allowed: &[&'a str]) -> Result<&'a str> {
        let text = self.text(name)?;
        let choice = allowed.iter().find(|choice| **choice == text);
        choice.copied().ok_or_else(|| self.refused(name, text, &format!("one of {}", allowed.join(", "))))
    }

    /// Every parameter in effect, as `key=value`, for [`EngineInfo`](crate::EngineInfo).
    pub fn in_effect(&self) -> Vec<String> {
        let value = |spec: &ParamSpec| self.text(spec.name).unwrap_or(spec.default).to_owned();
        self.specs.iter().map(|spec| format!("{}={}", spec.name, value(spec))).collect()
    }

    fn refused(&self, name: &str, value: &str, allowed: &str) -> EngineError {
        EngineError::Config(format!("engine {}: parameter {name} = {value:?} is not {allowed}", self.engine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[ParamSpec] = &[
        ParamSpec { name: "slots", kind: "integer 1..=1024", default: "8", about: "slots" },
        ParamSpec { name: "strict", kind: "true or false", default: "false", about: "strict" },
    ];

    fn params(text: &str) -> Result<Params> {
        Params::new(&text.parse().unwrap(), SPECS)
    }

    #[test]
    fn defaults_apply_to_what_is_not_given() {
        let params = params("e?strict=true").unwrap();
        assert_eq!(params.integer("slots", 1..=1024).unwrap(), 8);
        assert!(params.boolean("strict").unwrap());
        assert_eq!(params.in_effect(), ["slots=8", "strict=true"]);
    }

    #[test]
    fn a_refusal_names_parameter_value_and_what_is_allowed() {
        let refused = params("e?slots=0").unwrap().integer("slots", 1..=1024).unwrap_err().to_string();
        assert_eq!(refused, r#"engine e: parameter slots = "0" is not an integer from 1 to 1024"#);
        let refused = params("e?slot=1").unwrap_err().to_string();
        assert_eq!(refused, r#"unknown parameter "slot" of engine e; known: slots, strict"#);
    }
}
