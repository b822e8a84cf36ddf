//! Addresses and keys that are secrets: read from files, and shown without their passwords.

use super::accounts::secret_in;
use super::{Config, DatabaseConfig, MqConfig, RedisConfig};
use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use std::path::Path;

/// What is shown of a value that is none of anybody's business.
const HIDDEN: &str = "***";

impl Config {
    /// Reads the key and the addresses that are in files.
    pub(super) fn read_secrets(&mut self) -> anyhow::Result<()> {
        self.jwt.read_secret()?;
        let addresses = [
            (
                "database",
                &mut self.database.url,
                &self.database.url_file,
                DatabaseConfig::default().url,
            ),
            (
                "redis",
                &mut self.redis.url,
                &self.redis.url_file,
                RedisConfig::default().url,
            ),
            (
                "mq",
                &mut self.mq.url,
                &self.mq.url_file,
                MqConfig::default().url,
            ),
        ];
        for (section, url, file, default) in addresses {
            if file.is_empty() {
                continue;
            }
            ensure!(
                *url == default,
                "{section}.url_file: {section}.url is set, too; one of them is the address"
            );
            *url = secret_in(Path::new(file)).with_context(|| format!("{section}.url_file"))?;
            ensure!(!url.is_empty(), "{section}.url_file: {file} is empty");
        }
        Ok(())
    }

    /// Passwords in addresses and keys hidden, and nothing known about the settings of engines, all
    /// of which are hidden.
    pub(super) fn without_secrets(&self) -> Self {
        let mut copy = self.clone();
        for url in [
            &mut copy.database.url,
            &mut copy.redis.url,
            &mut copy.mq.url,
        ] {
            *url = database::masked(url);
        }
        if !copy.jwt.secret.is_empty() {
            copy.jwt.secret = HIDDEN.to_owned();
        }
        for section in copy.engines.values_mut() {
            let names = section.keys().cloned();
            *section = names.map(|name| (name, Value::from(HIDDEN))).collect();
        }
        copy
    }
}

impl fmt::Debug for Config {
    /// Without passwords, keys, and settings of engines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("Config", &self.without_secrets(), f)
    }
}

macro_rules! shown_masked {
    ($($section:ident),+) => {
        $(impl fmt::Debug for $section {
            /// Without the password in the address.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let url = database::masked(&self.url);
                show(stringify!($section), &Self { url, ..self.clone() }, f)
            }
        })+
    };
}

shown_masked!(DatabaseConfig, RedisConfig, MqConfig);

fn show(name: &str, section: &impl Serialize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = serde_json::to_value(section).map_err(|_| fmt::Error)?;
    let none = Map::new();
    let mut shown = f.debug_struct(name);
    for (key, value) in value.as_object().unwrap_or(&none) {
        shown.field(key, &format_args!("{value}"));
    }
    shown.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn addresses_are_read_from_their_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("url");
        let file = path.display().to_string();
        for (section, url) in [
            ("database", "mysql://shop:sesame@db/seckill"),
            ("redis", "rediss://:sesame@cache/"),
            ("mq", "amqps://shop:sesame@rabbit/shop"),
        ] {
            let read = |text: &str, more: &str| {
                fs::write(&path, text).expect("written");
                let given = format!("[{section}]\nurl_file = '{file}'\n{more}");
                let mut config: Config = toml::from_str(&given).expect("it fits");
                let read = config.read_secrets();
                read.map(|()| {
                    let value = serde_json::to_value(&config).expect("JSON");
                    value[section]["url"].as_str().map(str::to_owned)
                })
                .map_err(|error| format!("{error:#}"))
            };
            assert_eq!(read(&format!("{url}\n"), ""), Ok(Some(url.to_owned())));
            let empty = read("\n", "").expect_err("nothing in it");
            assert_eq!(empty, format!("{section}.url_file: {file} is empty"));
            let both = read(url, "url = 'a://b'").expect_err("two of them");
            assert_eq!(
                both,
                format!(
                    "{section}.url_file: {section}.url is set, too; one of them is the address"
                )
            );
        }
        let mut config = Config::default();
        config.mq.url_file = "/nowhere/url".to_owned();
        let missing = format!("{:#}", config.read_secrets().expect_err("missing"));
        assert!(
            missing.starts_with("mq.url_file: cannot read /nowhere/url"),
            "{missing}"
        );
    }

    #[test]
    fn no_secret_is_in_what_debugging_shows() {
        let text = "database.url = 'mysql://shop:sesame@db/seckill'\n\
                    redis.url = 'redis://:sesame@cache/'\n\
                    mq.url = 'amqp://shop:sesame@rabbit/%2f'\n\
                    jwt.secret = 'sesame-sesame-sesame-sesame-sesame'\n\
                    engines.my_own = { key = 'sesame', redis.url = 'redis://:sesame@h/' }";
        let config: Config = toml::from_str(text).expect("it fits");
        let shown = format!(
            "{config:?} {config:#?} {:?} {:?} {:?} {:?}",
            config.database, config.redis, config.mq, config.jwt
        );
        assert!(!shown.contains("sesame"), "{shown}");
        assert!(shown.contains("mysql://shop:***@db/seckill"), "{shown}");
        assert!(shown.contains("max_connections: 8"), "{shown}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_quoted_with_its_secrets() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("seckill.toml");
        for line in [
            "[mq]\nurl = amqp://shop:sesame@rabbit/",
            "[jwt]\nsecret = sesame",
            "mq = 'amqp://shop:sesame@rabbit/'",
            "[mq]\nheartbeat_s = 'amqp://shop:sesame@rabbit/'",
        ] {
            fs::write(&path, line).expect("written");
            let path = path.display().to_string();
            let refused = Config::merged(Some(&path), Some(Default::default()));
            let refused = format!("{:#} {0:?}", refused.expect_err(line));
            assert!(!refused.contains("sesame"), "{refused}");
        }
    }
}
