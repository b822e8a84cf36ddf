//! What an engine has to be told about its surroundings: settings by name, each declared with what
//! it is for.

use crate::{EngineError, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// A setting that an engine takes: a line of `[engines.<its name>]` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SettingSpec {
    /// Words of lower-case letters and digits with `.`, `_` or `-` between them.
    pub name: &'static str,
    /// Whether the engine cannot be built without it.
    pub required: bool,
    /// Whether it is hidden wherever it would be shown; of a URL only the password is.
    pub secret: bool,
    /// What it says, one sentence.
    pub about: &'static str,
}

impl SettingSpec {
    /// One Redis. The system fills it in from `redis.url`, unless it is set for the engine alone.
    pub const REDIS_URL: Self = Self {
        name: "redis.url",
        required: true,
        secret: true,
        about: "redis://[user[:password]@]host:port/[db]",
    };
    /// As [`Self::REDIS_URL`], for an engine that can use a cluster too.
    pub const REDIS_OR_CLUSTER_URL: Self = Self {
        about: "redis://[user[:password]@]host:port/[db], or redis-cluster://[user:password@]host:port,host:port,… \
                with any nodes of a cluster",
        ..Self::REDIS_URL
    };
    /// The database. The system fills it in from `database.url`, unless it is set for the engine
    /// alone.
    pub const DATABASE_URL: Self = Self {
        name: "database.url",
        required: true,
        secret: true,
        about: "mysql://[user[:password]@]host:port/database, or sqlite:///path/of.db",
    };

    /// `value` as it may be shown.
    #[must_use]
    pub fn shown(&self, value: &str) -> String {
        match self.secret {
            true => hidden(value),
            false => value.to_owned(),
        }
    }
}

fn hidden(value: &str) -> String {
    match value.contains("://") {
        true => database::masked(value),
        false => "***".to_owned(),
    }
}

/// What an engine is told when it is built.
#[derive(Clone, Default)]
pub struct EngineEnv {
    /// Put in front of every key that an engine writes.
    pub key_prefix: String,
    /// The values of its settings, by name; see [`EngineFactory::settings`](crate::EngineFactory::settings).
    pub settings: BTreeMap<String, String>,
}

impl EngineEnv {
    /// With one setting more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// A setting that may be left out.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// A setting without which `engine` cannot be built.
    pub fn required(&self, engine: &str, name: &str) -> Result<&str> {
        self.get(name)
            .ok_or_else(|| EngineError::Config(format!("engine {engine} needs the setting {name}")))
    }
}

/// Without the factory nobody knows which of them are secret, so all are hidden.
impl fmt::Debug for EngineEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings.iter();
        let settings: BTreeMap<_, _> = settings
            .map(|(name, value)| (name, hidden(value)))
            .collect();
        f.debug_struct("EngineEnv")
            .field("key_prefix", &self.key_prefix)
            .field("settings", &settings)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineFactory, Registry};

    fn factory(settings: &'static [SettingSpec]) -> EngineFactory {
        let registry = Registry::standard();
        let null = registry.get("null").unwrap().clone();
        EngineFactory { settings, ..null }
    }

    const TOKEN: SettingSpec = SettingSpec {
        name: "token",
        required: true,
        secret: true,
        about: "what opens the door",
    };

    #[test]
    fn an_unknown_setting_is_refused_with_those_that_are_known() {
        let env = EngineEnv::default().with("tokn", "x");
        let refused = factory(&[TOKEN, SettingSpec::REDIS_URL]).check_settings(&env);
        assert_eq!(
            refused.unwrap_err().to_string(),
            r#"unknown setting "tokn" of engine null; known: token, redis.url"#
        );
        assert_eq!(
            factory(&[]).check_settings(&env).unwrap_err().to_string(),
            r#"unknown setting "tokn" of engine null; it takes none"#
        );
    }

    #[tokio::test]
    async fn a_required_setting_that_is_missing_is_named() {
        let registry = Registry::standard().register(factory(&[TOKEN]));
        let spec = "null".parse().unwrap();
        let missing = registry.build(&spec, &EngineEnv::default()).await;
        assert_eq!(
            missing.unwrap_err().to_string(),
            "engine null needs the setting token"
        );
        let env = EngineEnv::default().with("token", "sesame");
        assert!(registry.build(&spec, &env).await.is_ok());
    }

    #[test]
    fn secrets_are_hidden_wherever_they_would_be_shown() {
        let env = EngineEnv::default()
            .with("token", "sesame")
            .with("redis.url", "redis://:sesame@h:1/");
        let shown = format!("{env:?}");
        assert!(
            !shown.contains("sesame") && shown.contains("redis://:***@h:1/"),
            "{shown}"
        );
        assert_eq!(TOKEN.shown("sesame"), "***");
        let open = SettingSpec {
            secret: false,
            ..TOKEN
        };
        assert_eq!(open.shown("north"), "north");
    }
}
