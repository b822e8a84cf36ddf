//! Typed, bounded access to the parameters of an engine; every refusal names parameter, value and
//! what is allowed.

use super::spec::EngineSpec;
use crate::{EngineError, Result};
use serde::{Serialize, Serializer};
use std::fmt;

/// One parameter an engine takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ParamSpec {
    /// Its key.
    pub name: &'static str,
    /// Which values it takes; listed in words.
    #[serde(rename = "type")]
    pub kind: ParamKind,
    /// Its value when it is not given, as text.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// Which values a parameter takes. In words, as in a listing: `integer 1..=1024`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A whole number, bounds included.
    Integer { min: u64, max: u64 },
    /// A number of units, from 1; a larger one than the stock of a sale is a mistake.
    Units { max: u64 },
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl ParamKind {
    /// Whether it takes `value`.
    fn takes(&self, value: &str) -> bool {
        match self {
            Self::Integer { min, max } => value
                .parse()
                .is_ok_and(|value: u64| (*min..=*max).contains(&value)),
            Self::Units { max } => value
                .parse()
                .is_ok_and(|value: u64| (1..=*max).contains(&value)),
            Self::Boolean => value.parse::<bool>().is_ok(),
            Self::Choice(words) => words.contains(&value),
        }
    }

    /// What it takes, at the end of a refusal.
    fn allowed(&self) -> String {
        match self {
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Units { max } => format!("a number of units from 1 to {max}"),
            Self::Boolean => "true or false".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { min, max } => write!(f, "integer {min}..={max}"),
            Self::Units { max } => write!(f, "units 1..={max}, at most the stock"),
            Self::Boolean => f.write_str("true or false"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

impl Serialize for ParamKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The parameters given for an engine, over the defaults of its specification.
#[derive(Clone, Debug)]
pub struct Params {
    engine: String,
    specs: &'static [ParamSpec],
    given: Vec<(String, String)>,
}

impl Params {
    /// Refuses a parameter that is not in `specs`, and a value that its parameter does not take.
    pub fn new(spec: &EngineSpec, specs: &'static [ParamSpec]) -> Result<Self> {
        for (key, value) in spec.params() {
            let Some(param) = specs.iter().find(|known| known.name == key) else {
                let known: Vec<_> = specs.iter().map(|known| known.name).collect();
                let known = if known.is_empty() {
                    "it takes none".to_owned()
                } else {
                    format!("known: {}", known.join(", "))
                };
                return Err(EngineError::Config(format!(
                    "unknown parameter {key:?} of engine {}; {known}",
                    spec.name()
                )));
            };
            if !param.kind.takes(value) {
                return Err(EngineError::Config(format!(
                    "engine {}: parameter {key} = {value:?} is not {}",
                    spec.name(),
                    param.kind.allowed()
                )));
            }
        }
        Ok(Self {
            engine: spec.name().to_owned(),
            specs,
            given: spec.params().to_vec(),
        })
    }

    /// Refuses a number of units that was given and is larger than `stock`.
    pub fn fit(&self, stock: u64) -> Result<()> {
        let is_units = |name: &str| {
            self.specs
                .iter()
                .any(|spec| spec.name == name && matches!(spec.kind, ParamKind::Units { .. }))
        };
        for (name, value) in self.given.iter().filter(|(name, _)| is_units(name)) {
            if self.integer(name)? > stock {
                return Err(EngineError::Config(format!(
                    "engine {}: {name} = {value} is larger than the stock of a sale, {stock} units",
                    self.engine
                )));
            }
        }
        Ok(())
    }

    /// Whether the parameter was given, or has its default.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|(key, _)| key == name)
    }

    /// The parameter as text; an error only if the engine does not declare it.
    pub fn text(&self, name: &str) -> Result<&str> {
        if let Some((_, value)) = self.given.iter().find(|(key, _)| key == name) {
            return Ok(value);
        }
        let spec = self.specs.iter().find(|spec| spec.name == name);
        spec.map(|spec| spec.default)
            .ok_or_else(|| self.misread(name))
    }

    /// The value of a parameter that is declared as an integer.
    pub fn integer(&self, name: &str) -> Result<u64> {
        self.text(name)?.parse().map_err(|_| self.misread(name))
    }

    /// The value of a parameter that is declared as true or false.
    pub fn boolean(&self, name: &str) -> Result<bool> {
        self.text(name)?.parse().map_err(|_| self.misread(name))
    }

    /// Every parameter in effect, as `key=value`, for [`EngineInfo`](crate::EngineInfo).
    pub fn in_effect(&self) -> Vec<String> {
        let value = |spec: &ParamSpec| self.text(spec.name).unwrap_or(spec.default).to_owned();
        self.specs
            .iter()
            .map(|spec| format!("{}={}", spec.name, value(spec)))
            .collect()
    }

    fn misread(&self, name: &str) -> EngineError {
        EngineError::Config(format!(
            "engine {} does not declare parameter {name:?} as what it reads",
            self.engine
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[ParamSpec] = &[
        ParamSpec {
            name: "slots",
            kind: ParamKind::Integer { min: 1, max: 1024 },
            default: "8",
            about: "slots",
        },
        ParamSpec {
            name: "strict",
            kind: ParamKind::Boolean,
            default: "false",
            about: "strict",
        },
        ParamSpec {
            name: "mode",
            kind: ParamKind::Choice(&["fast", "safe"]),
            default: "safe",
            about: "mode",
        },
    ];

    fn params(text: &str) -> Result<Params> {
        Params::new(&text.parse().unwrap(), SPECS)
    }

    #[test]
    fn defaults_apply_to_what_is_not_given() {
        let params = params("e?strict=true").unwrap();
        assert_eq!(params.integer("slots").unwrap(), 8);
        assert!(params.boolean("strict").unwrap());
        assert_eq!(params.text("mode").unwrap(), "safe");
        assert_eq!(params.in_effect(), ["slots=8", "strict=true", "mode=safe"]);
    }

    #[test]
    fn a_refusal_names_parameter_value_and_what_is_allowed() {
        for (text, refusal) in [
            (
                "e?slots=0",
                r#"engine e: parameter slots = "0" is not an integer from 1 to 1024"#,
            ),
            (
                "e?slots=1025",
                r#"engine e: parameter slots = "1025" is not an integer from 1 to 1024"#,
            ),
            (
                "e?slots=many",
                r#"engine e: parameter slots = "many" is not an integer from 1 to 1024"#,
            ),
            (
                "e?strict=1",
                r#"engine e: parameter strict = "1" is not true or false"#,
            ),
            (
                "e?mode=slow",
                r#"engine e: parameter mode = "slow" is not one of fast, safe"#,
            ),
            (
                "e?slot=1",
                r#"unknown parameter "slot" of engine e; known: slots, strict, mode"#,
            ),
        ] {
            assert_eq!(params(text).unwrap_err().to_string(), refusal);
        }
    }

    #[test]
    fn more_units_than_a_sale_has_are_refused_where_somebody_asked_for_them() {
        const SPECS: &[ParamSpec] = &[ParamSpec {
            name: "block",
            kind: ParamKind::Units { max: 1_000 },
            default: "500",
            about: "block",
        }];
        let params = |text: &str| Params::new(&text.parse().unwrap(), SPECS);
        params("e").unwrap().fit(100).unwrap();
        params("e?block=100").unwrap().fit(100).unwrap();
        let refused = params("e?block=101")
            .unwrap()
            .fit(100)
            .unwrap_err()
            .to_string();
        assert_eq!(
            refused,
            "engine e: block = 101 is larger than the stock of a sale, 100 units"
        );
        let refused = params("e?block=0").unwrap_err().to_string();
        assert_eq!(
            refused,
            r#"engine e: parameter block = "0" is not a number of units from 1 to 1000"#
        );
    }

    #[test]
    fn what_an_engine_does_not_declare_it_cannot_read() {
        let refused = params("e")
            .unwrap()
            .integer("strict")
            .unwrap_err()
            .to_string();
        assert_eq!(
            refused,
            r#"engine e does not declare parameter "strict" as what it reads"#
        );
        params("e").unwrap().text("slot").unwrap_err();
    }
}
