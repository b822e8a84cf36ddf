//! `seckill.example.toml` at the root is the documentation of the settings: it holds every key with
//! its default, and the ranges that it states are those that are enforced.

use super::{Config, pointer};
use serde_json::Value;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../seckill.example.toml");
/// How a comment states the range of the key below it.
const RANGE: &str = "Allowed: ";

fn text() -> String {
    std::fs::read_to_string(EXAMPLE).expect("seckill.example.toml")
}

fn defaults() -> Value {
    serde_json::to_value(Config::default()).expect("serialisable")
}

/// As a file that `CONFIG_PATH` names is read.
fn load(text: &str) -> Result<Config, String> {
    let source = config::File::from_str(text, config::FileFormat::Toml);
    let read = config::Config::builder().add_source(source).build();
    let config: Config = read
        .and_then(config::Config::try_deserialize)
        .map_err(|error| error.to_string())?;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn the_example_holds_every_key_and_every_default() {
    let written: Value = toml::from_str(&text()).expect("valid TOML");
    assert_eq!(written, defaults());
}

#[test]
fn the_example_is_read_as_the_defaults() {
    let loaded = load(&text()).expect("the example is valid");
    assert_eq!(
        serde_json::to_value(loaded).expect("serialisable"),
        defaults()
    );
}

#[test]
fn an_unknown_key_in_any_section_is_refused_by_name() {
    for line in text().lines().filter(|line| line.starts_with('[')) {
        let with_one_more = text().replace(line, &format!("{line}\nsurprise = 1"));
        let refused = load(&with_one_more).expect_err(line);
        assert!(refused.contains("surprise"), "{line} {refused}");
    }
}

/// A setting of the example with the range that the comment above it states.
struct Stated {
    key: String,
    value: Value,
    range: Option<(i64, i64)>,
}

fn stated() -> Vec<Stated> {
    let (mut section, mut comment, mut found) = (String::new(), String::new(), Vec::new());
    for line in text().lines() {
        if let Some(more) = line.strip_prefix('#') {
            comment.push_str(more);
        } else if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            comment.clear();
        } else if let Some((key, _)) = line.split_once(" = ") {
            let key = match section.as_str() {
                "" => key.to_owned(),
                section => format!("{section}.{key}"),
            };
            let value = defaults().pointer(&pointer(&key)).cloned();
            found.push(Stated {
                value: value.unwrap_or_else(|| panic!("no {key}")),
                key,
                range: range(&comment),
            });
            comment.clear();
        } else {
            comment.clear();
        }
    }
    found
}

fn range(comment: &str) -> Option<(i64, i64)> {
    let (_, range) = comment.split_once(RANGE)?;
    let (low, high) = range.split_once(" to ")?;
    let high = high.split('.').next()?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

#[test]
fn the_ranges_that_the_example_states_are_those_that_are_enforced() {
    for setting in stated() {
        let name = &setting.key;
        assert_eq!(
            setting.value.is_number(),
            setting.range.is_some(),
            "{name}: every number, and nothing else, states its range"
        );
        let Some((low, high)) = setting.range else {
            continue;
        };
        for outside in [low - 1, high + 1].into_iter().filter(|value| *value >= 0) {
            let mut changed = defaults();
            let place = changed.pointer_mut(&pointer(name)).expect("it is there");
            *place = Value::from(outside);
            let config: Config = serde_json::from_value(changed).expect("fits its type");
            let refused = config.validate().expect_err(name).to_string();
            assert_eq!(
                refused,
                format!("{name}: {outside} is out of range, allowed are {low} to {high}")
            );
        }
    }
}
