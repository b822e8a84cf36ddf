//! The settings of engines: `[engines.<name>]`, or `SECKILL__ENGINES__<NAME>__<SETTING>`, with what
//! the system knows already filled in.

use super::Config;
use anyhow::{Context, bail};
use engines::{EngineEnv, EngineFactory, Registry};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

impl Config {
    /// What this engine is told: the servers of the system, if it asks for them, and its own
    /// section, which goes before them.
    pub fn engine_env(&self, factory: &EngineFactory) -> anyhow::Result<EngineEnv> {
        let mut settings = BTreeMap::new();
        let known = [
            ("redis.url", &self.redis.url),
            ("database.url", &self.database.url),
        ];
        for (name, url) in known {
            if factory.setting(name).is_ok() {
                settings.insert(name.to_owned(), url.clone());
            }
        }
        for (section, values) in &self.engines {
            if is_called(factory, section) {
                settings.extend(flattened(section, values)?);
            }
        }
        Ok(EngineEnv {
            key_prefix: self.redis.prefix.clone(),
            settings,
        })
    }

    /// Refuses a section of an engine that is not registered, a setting that its engine does not
    /// take, and the want of one that the chosen engine needs.
    pub fn check_engines(&self, registry: &Registry) -> anyhow::Result<()> {
        for (section, values) in &self.engines {
            let factory = owner(registry, section)?;
            for name in flattened(section, values)?.keys() {
                factory
                    .setting(name)
                    .with_context(|| format!("engines.{section}"))?;
            }
        }
        let chosen = registry.get(self.seckill.engine.name())?;
        Ok(chosen.check_settings(&self.engine_env(chosen)?)?)
    }

    /// The sections with every secret hidden.
    pub(super) fn masked_engines(
        &self,
        registry: &Registry,
    ) -> BTreeMap<String, Map<String, Value>> {
        let hide = |section: &String, values| {
            let flat = flattened(section, values).unwrap_or_default();
            let shown = flat.into_iter().map(|(name, value)| {
                let spec = owner(registry, section).and_then(|it| Ok(it.setting(&name)?));
                let value = spec.map_or_else(|_| "***".to_owned(), |spec| spec.shown(&value));
                (name, Value::String(value))
            });
            (section.clone(), shown.collect())
        };
        self.engines
            .iter()
            .map(|(section, values)| hide(section, values))
            .collect()
    }
}

/// An environment variable cannot have a `-` in its name, so a section may have `_` in its place.
fn is_called(factory: &EngineFactory, section: &str) -> bool {
    factory.name.replace('-', "_") == section.replace('-', "_")
}

fn owner<'a>(registry: &'a Registry, section: &str) -> anyhow::Result<&'a EngineFactory> {
    let mut engines = registry.list().iter();
    match engines.find(|factory| is_called(factory, section)) {
        Some(factory) => Ok(factory),
        None => {
            let unknown = registry.get(section).map(drop);
            unknown.with_context(|| format!("engines.{section}"))?;
            bail!("engines.{section}: unknown engine")
        }
    }
}

/// Tables in tables become names with dots.
fn flattened(
    section: &str,
    values: &Map<String, Value>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut flat = BTreeMap::new();
    for (name, value) in values {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(is_so) => is_so.to_string(),
            Value::Object(inner) => {
                let inner = flattened(&format!("{section}.{name}"), inner)?;
                flat.extend(
                    inner
                        .into_iter()
                        .map(|(rest, text)| (format!("{name}.{rest}"), text)),
                );
                continue;
            }
            Value::Null | Value::Array(_) => bail!(
                "engines.{section}.{name}: {value} is neither a text nor a number nor true or false"
            ),
        };
        flat.insert(name.clone(), text);
    }
    Ok(flat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engines::SettingSpec;

    const TOKEN: SettingSpec = SettingSpec {
        name: "token",
        required: true,
        secret: true,
        about: "what opens the door",
    };

    fn registry() -> Registry {
        let registry = Registry::standard();
        let mut mine = registry.get("null").unwrap().clone();
        (mine.name, mine.settings) = ("my-own", &[TOKEN, SettingSpec::REDIS_URL]);
        registry.register(mine)
    }

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    fn refusal(text: &str) -> String {
        let refused = config(text).check_engines(&registry());
        format!("{:#}", refused.unwrap_err())
    }

    #[test]
    fn an_engine_is_told_its_own_settings_and_the_servers_that_it_asks_for() {
        let text = "seckill.engine = 'my-own'\nredis = { url = 'redis://a/', prefix = 'p:' }\n[engines.my_own]\ntoken = 5";
        let (config, registry) = (config(text), registry());
        config.check_engines(&registry).unwrap();
        let env = config.engine_env(registry.get("my-own").unwrap()).unwrap();
        assert_eq!(env.key_prefix, "p:");
        let told: Vec<_> = env.settings.iter().collect();
        let (redis, token) = ("redis.url".to_owned(), "token".to_owned());
        assert_eq!(
            told,
            [
                (&redis, &"redis://a/".to_owned()),
                (&token, &"5".to_owned())
            ]
        );
        let text = format!("{text}\n[engines.my_own.redis]\nurl = 'redis://b/'");
        let env = self::config(&text).engine_env(registry.get("my-own").unwrap());
        assert_eq!(env.unwrap().get("redis.url"), Some("redis://b/"));
    }

    #[test]
    fn what_no_engine_takes_is_refused_with_what_is_known() {
        assert_eq!(
            refusal("[engines.my-own]\ntoken = 'x'\ntokn = 'y'"),
            r#"engines.my-own: unknown setting "tokn" of engine my-own; known: token, redis.url"#
        );
        let unknown = refusal("[engines.redsi]\nx = 1");
        assert!(
            unknown.starts_with(r#"engines.redsi: unknown engine "redsi"; known: null, "#),
            "{unknown}"
        );
        assert_eq!(
            refusal("seckill.engine = 'my-own'"),
            "engine my-own needs the setting token"
        );
        assert_eq!(
            refusal("[engines.my-own]\ntoken = ['x']"),
            r#"engines.my-own.token: ["x"] is neither a text nor a number nor true or false"#
        );
    }

    #[test]
    fn a_secret_never_reaches_the_log() {
        let text = "[engines.my-own]\ntoken = 'sesame'\nredis.url = 'redis://:sesame@h/'";
        let shown = config(text).masked(&registry()).to_string();
        assert!(
            !shown.contains("sesame") && shown.contains("redis://:***@h/"),
            "{shown}"
        );
    }
}
