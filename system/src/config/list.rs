//! Every setting with its type, default, range and meaning, read off the configuration's own types,
//! and whether given values fit them.

use super::{Config, RANGES};
use ::engines::Registry;
use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// What the variables of settings begin with.
const PREFIX: &str = "SECKILL__";
/// Where the settings of engines are.
const ENGINES: &str = "engines";
/// How many of the known settings an unknown one is answered with.
const NEAREST_MAX: usize = 5;

/// One setting, as `seckill settings --json` lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// `mq.order_batch_size`
    pub key: String,
    /// `SECKILL__MQ__ORDER_BATCH_SIZE`
    pub variable: String,
    /// What it takes, in words: `whole number, 1 to 5000`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value when it is not given, secrets masked; null: it has none.
    pub default: Value,
    /// What it means.
    pub about: String,
}

impl Setting {
    fn new(key: String, kind: String, default: Value, about: &str) -> Self {
        let name = key.to_ascii_uppercase();
        Self {
            variable: format!("{PREFIX}{}", name.replace('.', "__").replace('-', "_")),
            key,
            kind,
            default,
            // A comment's lines, as one.
            about: about.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }
}

/// All settings: those of the system, then those of the engines.
pub fn all(registry: &Registry) -> Vec<Setting> {
    let schema = schemars::schema_for!(Config).to_value();
    let defaults = Config::default().masked(registry);
    let mut found = Vec::new();
    list(&schema, &schema, &defaults, "", &mut found);
    for engine in registry.list() {
        for setting in engine.settings {
            let key = format!("{ENGINES}.{}.{}", engine.name, setting.name);
            let about = format!("Of {} alone: {}.", engine.name, setting.about);
            found.push(Setting::new(key, "text".to_owned(), Value::Null, &about));
        }
    }
    found
}

/// Adds what is in `object`, of which `defaults` are: settings, or sections of settings.
fn list(schema: &Value, object: &Value, defaults: &Value, section: &str, found: &mut Vec<Setting>) {
    for (name, described) in properties(schema, object) {
        let key = match section {
            "" => name.clone(),
            section => format!("{section}.{name}"),
        };
        let default = &defaults[name];
        let resolved = resolved(schema, described);
        // Settings of engines are described by the engines.
        if text(resolved, "type") == "object" {
            list(schema, resolved, default, &key, found);
            continue;
        }
        let kind = kind(schema, described, &key);
        let about = text(described, "description");
        found.push(Setting::new(key, kind, default.clone(), about));
    }
}

/// Refuses the first of these `KEY=VALUE` whose key there is not or whose value does not fit, and
/// values that contradict each other or the defaults of the rest. A key may be written as in a file
/// or as its variable.
pub fn check(registry: &Registry, pairs: &[String]) -> anyhow::Result<()> {
    let known = all(registry);
    let mut variables = HashMap::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').with_context(|| {
            format!("{pair:?} is not KEY=VALUE, such as mq.order_batch_size=500")
        })?;
        let Some(setting) = known.iter().find(|setting| is_called(setting, key)) else {
            bail!("{}", unknown(&known, key));
        };
        let alone = HashMap::from([(setting.variable.clone(), value.to_owned())]);
        if Config::merged(None, Some(alone)).is_err() {
            let (key, kind) = (&setting.key, &setting.kind);
            bail!("{key}: {value:?} is not what it takes, which is: {kind}");
        }
        variables.insert(setting.variable.clone(), value.to_owned());
    }
    let config = Config::merged(None, Some(variables))?;
    config.validate()?;
    config.check_engines(registry)
}

fn is_called(setting: &Setting, key: &str) -> bool {
    setting.key == key || setting.variable == key
}

/// An unknown key, with those that are most like it, of its own section if there is one.
fn unknown(known: &[Setting], key: &str) -> String {
    let dotted = match key.strip_prefix(PREFIX) {
        Some(rest) => rest.to_ascii_lowercase().replace("__", "."),
        None => key.to_owned(),
    };
    let section = dotted.split_once('.').map(|(section, _)| section);
    let is_near = |setting: &&Setting| {
        let own = setting.key.split_once('.').map(|(own, _)| own);
        section.is_some() && own == section
    };
    let mut near: Vec<&Setting> = known.iter().filter(is_near).collect();
    if near.is_empty() {
        near = known.iter().collect();
    }
    let likeness = |setting: &Setting| strsim::jaro_winkler(&setting.key, &dotted);
    near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    let near = near.iter().take(NEAREST_MAX);
    let near: Vec<&str> = near.map(|setting| setting.key.as_str()).collect();
    format!(
        "unknown setting {dotted:?}; the nearest known: {}; `seckill settings` lists all",
        near.join(", ")
    )
}

fn properties<'a>(
    schema: &'a Value,
    object: &'a Value,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let properties = resolved(schema, object)["properties"].as_object();
    properties.into_iter().flatten()
}

/// What a reference refers to.
fn resolved<'a>(schema: &'a Value, described: &'a Value) -> &'a Value {
    let pointer = described["$ref"]
        .as_str()
        .and_then(|it| it.strip_prefix('#'));
    pointer
        .and_then(|pointer| schema.pointer(pointer))
        .unwrap_or(described)
}

fn text<'a>(described: &'a Value, name: &str) -> &'a str {
    described[name].as_str().unwrap_or_default()
}

/// `whole number, 1 to 600`
fn kind(schema: &Value, described: &Value, key: &str) -> String {
    let described = resolved(schema, described);
    match text(described, "type") {
        "integer" => match RANGES.iter().find(|(name, _, _)| *name == key) {
            Some((_, low, high)) => format!("whole number, {low} to {high}"),
            None => "whole number".to_owned(),
        },
        "number" => "number, 0 to 1".to_owned(),
        "boolean" => "true or false".to_owned(),
        _ => match names(described) {
            names if names.is_empty() => "text".to_owned(),
            names => format!("one of {}", names.join(", ")),
        },
    }
}

/// The names of an enumeration, whether its variants are described or not.
fn names(described: &Value) -> Vec<&str> {
    let list = |of: &str| described[of].as_array().into_iter().flatten();
    let variants = list("oneOf").filter_map(|variant| variant["const"].as_str());
    let plain = list("enum").filter_map(Value::as_str);
    variants.chain(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str) -> Setting {
        let all = all(&Registry::standard());
        let found = all.into_iter().find(|setting| setting.key == key);
        found.unwrap_or_else(|| panic!("no {key}"))
    }

    fn refusal(pairs: &[&str]) -> String {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        let refused = check(&Registry::standard(), &pairs);
        format!("{:#}", refused.expect_err("must be refused"))
    }

    #[test]
    fn every_setting_is_listed_with_type_default_and_meaning() {
        let batch = setting("mq.order_batch_size");
        assert_eq!(
            (batch.kind.as_str(), &batch.default),
            ("whole number, 1 to 5000", &Value::from(1_000))
        );
        assert_eq!(batch.variable, "SECKILL__MQ__ORDER_BATCH_SIZE");
        assert_eq!(
            batch.about,
            "Orders gathered before a transaction is committed."
        );
        assert_eq!(setting("mq.queue_type").kind, "one of classic, quorum");
        assert_eq!(setting("mode").kind, "one of development, production");
        let memory = setting("auth.argon2.memory_kib");
        assert_eq!(memory.variable, "SECKILL__AUTH__ARGON2__MEMORY_KIB");
        assert_eq!(
            (memory.kind.as_str(), &memory.default),
            ("whole number, 8 to 1048576", &Value::from(19_456))
        );
        assert_eq!(setting("engine.allow_unsafe").kind, "true or false");
        assert_eq!(setting("seckill.engine").kind, "text");
        assert_eq!(
            setting("mq.url").default,
            "amqp://guest:***@127.0.0.1:5672/%2f"
        );
        assert_eq!(
            setting("engines.sharded-slots.redis.url").variable,
            "SECKILL__ENGINES__SHARDED_SLOTS__REDIS__URL"
        );
        let all = all(&Registry::standard());
        assert!(all.iter().all(|setting| !setting.about.is_empty()));
        // The example in the tree holds every key; so does this.
        let defaults = serde_json::to_value(Config::default()).expect("serialisable");
        fn count(value: &Value) -> usize {
            let parts = value.as_object().map(|parts| parts.values().map(count));
            parts.map_or(1, Iterator::sum)
        }
        let listed = all
            .iter()
            .filter(|setting| !setting.key.starts_with("engines."));
        assert_eq!(listed.count(), count(&defaults));
    }

    #[test]
    fn every_range_is_of_a_setting() {
        for (key, _, _) in RANGES {
            assert!(setting(key).kind.starts_with("whole number, "), "{key}");
        }
    }

    #[test]
    fn what_does_not_exist_or_does_not_fit_is_refused_in_one_sentence() {
        let unknown = refusal(&["mq.foo=1"]);
        assert!(
            unknown.starts_with("unknown setting \"mq.foo\"; the nearest known: mq.")
                && unknown.contains("mq.url")
                && !unknown.contains("seckill.listen"),
            "{unknown}"
        );
        let likely = refusal(&["SECKILL__MQ__ORDER_BATCH_SIZ=1"]);
        assert!(
            likely.starts_with(
                "unknown setting \"mq.order_batch_siz\"; the nearest known: mq.order_batch_size, "
            ),
            "{likely}"
        );
        let elsewhere = refusal(&["qm.order_batch_size=1"]);
        assert!(elsewhere.contains("mq.order_batch_size"), "{elsewhere}");
        assert_eq!(
            refusal(&["mq.order_batch_size=many"]),
            "mq.order_batch_size: \"many\" is not what it takes, which is: whole number, 1 to 5000"
        );
        assert_eq!(
            refusal(&["mq.order_batch_size=0"]),
            "mq.order_batch_size: 0 is out of range, allowed are 1 to 5000"
        );
        assert_eq!(
            refusal(&["mq.queue_type=stream"]),
            "mq.queue_type: \"stream\" is not what it takes, which is: one of classic, quorum"
        );
        assert_eq!(
            refusal(&["engine.allow_volatile=perhaps"]),
            "engine.allow_volatile: \"perhaps\" is not what it takes, which is: true or false"
        );
        assert!(
            refusal(&["reconciler.grace_ms=1000"]).contains("reconciler.grace_ms: 1000 must be")
        );
        assert!(refusal(&["mq.order_batch_size"]).contains("is not KEY=VALUE"));
    }

    #[test]
    fn what_fits_is_accepted_in_both_spellings_and_values_are_judged_together() {
        let fits = |pairs: &[&str]| {
            let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            check(&Registry::standard(), &pairs).expect("it fits");
        };
        fits(&[]);
        fits(&["mq.order_batch_size=500", "SECKILL__SECKILL__THREADS=2"]);
        fits(&[
            "seckill.publish_timeout_ms=6000",
            "reconciler.grace_ms=9000",
        ]);
        fits(&["engines.sharded-slots.redis.url=redis://a/"]);
        fits(&["mq.prefix=12", "redis.prefix=true"]);
    }
}
