//! `KEY=PATTERN`, which picks engines, scenarios or metrics by their names. In a pattern `*` stands
//! for any characters, also none; everything else for itself.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterKey {
    /// Id of a subject, with its parameters and variant.
    Engine,
    Scenario,
    Metric,
}

impl FilterKey {
    pub const ALL: [Self; 3] = [Self::Engine, Self::Scenario, Self::Metric];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Scenario => "scenario",
            Self::Metric => "metric",
        }
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub key: FilterKey,
    pub pattern: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "a filter is KEY=PATTERN, for example engine=lua*; known keys: {}",
        known()
    )]
    NoKey,
    #[error("unknown key {key:?}; known: {}", known())]
    UnknownKey { key: String },
    #[error("the pattern of {0} is empty; * stands for any characters")]
    NoPattern(&'static str),
}

fn known() -> String {
    FilterKey::ALL.map(FilterKey::as_str).join(", ")
}

impl Filter {
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.pattern.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        // The first place is as good as any, because a * may stand for everything behind it.
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key.as_str(), self.pattern)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let (key, pattern) = text.split_once('=').ok_or(FilterError::NoKey)?;
        let known = FilterKey::ALL.into_iter().find(|one| one.as_str() == key);
        let key = known.ok_or_else(|| FilterError::UnknownKey {
            key: key.to_owned(),
        })?;
        if pattern.is_empty() {
            return Err(FilterError::NoPattern(key.as_str()));
        }
        Ok(Self {
            key,
            pattern: pattern.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let filter: Filter = format!("engine={pattern}").parse().expect("a filter");
        filter.matches(name)
    }

    #[test]
    fn a_star_stands_for_any_characters_and_the_rest_for_itself() {
        for (pattern, name) in [
            ("null", "null"),
            ("lua*", "lua-single-key"),
            ("*key", "lua-single-key"),
            ("*single*", "lua-single-key"),
            ("l*-*y", "lua-single-key"),
            ("*", ""),
            ("sharded-slots?slots=16", "sharded-slots?slots=16"),
            ("a*a", "aa"),
            ("a*ab*b", "aaabab"),
        ] {
            assert!(matches(pattern, name), "{pattern} on {name}");
        }
        for (pattern, name) in [
            ("lua", "lua-single-key"),
            ("lua*", "a-lua"),
            ("*key", "key-lua"),
            ("a*a", "a"),
            ("Lua*", "lua-single-key"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(pattern, name), "{pattern} on {name}");
        }
    }

    #[test]
    fn a_filter_that_is_none_says_what_one_is() {
        let refused = |text: &str| text.parse::<Filter>().expect_err("refused").to_string();
        assert_eq!(
            refused("engin=lua"),
            "unknown key \"engin\"; known: engine, scenario, metric"
        );
        assert!(refused("lua*").starts_with("a filter is KEY=PATTERN"));
        assert!(refused("engine=").starts_with("the pattern of engine is empty"));
    }
}
