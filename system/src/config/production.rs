//! What is refused in production mode because everybody knows it, or because orders can be lost or
//! oversold with it.

use super::{Ack, Config, Mode};
use ::database::{DatabaseKind, has_password};
use ::engines::Registry;
use anyhow::ensure;
use lapin::uri::AMQPUri;
use std::collections::BTreeSet;
use std::str::FromStr;

/// Different bytes that a key holds at the least: a word that is repeated has fewer.
const SECRET_DIFFERENT_BYTES_MIN: usize = 12;
/// The user of a fresh RabbitMQ, and their password.
const GUEST: &str = "guest";

impl Config {
    /// Refuses what must not be sold with, if this system is run for customers; otherwise nothing.
    ///
    /// Of the servers themselves an engine asks whether they forget or evict; here only what makes
    /// it accept that is refused.
    pub fn check_production(&self, registry: &Registry) -> anyhow::Result<()> {
        if self.mode != Mode::Production {
            return Ok(());
        }
        self.check_key()?;
        self.check_passwords(registry)?;
        ensure!(
            !self.engine.allow_volatile,
            "engine.allow_volatile: not in production mode, where a server that forgets or evicts loses orders; \
             take it away, and --allow-volatile, too"
        );
        ensure!(
            !self.engine.allow_unsafe,
            "engine.allow_unsafe: not in production mode, where an unsafe engine sells what is gone; \
             take it away, and --allow-unsafe, too"
        );
        ensure!(
            self.seckill.ack == Ack::Confirmed,
            "seckill.ack: not published in production mode, where an order can be lost by it; set confirmed"
        );
        Ok(())
    }

    fn check_key(&self) -> anyhow::Result<()> {
        let different: BTreeSet<u8> = self.jwt.secret.bytes().collect();
        ensure!(
            different.len() >= SECRET_DIFFERENT_BYTES_MIN,
            "jwt.secret: of {} different bytes, which can be guessed; in production mode make it at random, \
             with `openssl rand -base64 48` for example",
            different.len()
        );
        Ok(())
    }

    fn check_passwords(&self, registry: &Registry) -> anyhow::Result<()> {
        if self.database.kind()? != DatabaseKind::Sqlite {
            ensure!(
                has_password(&self.database.url),
                "database.url: in production mode with a user who has a password, \
                 mysql://user:password@host:port/database"
            );
            let uri = AMQPUri::from_str(&self.mq.url).map_err(anyhow::Error::msg);
            let uri = uri.map_err(|error| error.context("mq.url: not a valid address"))?;
            let login = uri.authority.userinfo;
            ensure!(
                login.username != GUEST && login.password != GUEST && !login.password.is_empty(),
                "mq.url: in production mode with a user of your own and their password, instead of guest, \
                 whom everybody knows: amqp://user:password@host:port/vhost"
            );
        }
        let factory = registry.get(self.seckill.engine.name())?;
        let told = self.engine_env(factory)?;
        let of_engine = |name: &str| match self.engines.is_empty() {
            true => name.to_owned(),
            false => format!("{name} or engines.{}.{name}", factory.name),
        };
        if let Some(url) = told.get("redis.url") {
            ensure!(
                has_password(url),
                "{}: in production mode with a password, redis://:password@host:port/, which requirepass or an \
                 ACL of the server asks for",
                of_engine("redis.url")
            );
        }
        if let Some(url) = told.get("database.url") {
            ensure!(
                has_password(url) || DatabaseKind::of_url(url) == Some(DatabaseKind::Sqlite),
                "{}: in production mode with a user who has a password, \
                 mysql://user:password@host:port/database",
                of_engine("database.url")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "qmh3ZK0tVr9s5wXjUe7cLb2nAy8dPf4g";

    fn safe() -> Config {
        let mut config = Config {
            mode: Mode::Production,
            ..Config::default()
        };
        config.jwt.secret = KEY.to_owned();
        config.database.url = "mysql://shop:pw@db/seckill".to_owned();
        config.redis.url = "redis://:pw@cache/".to_owned();
        config.mq.url = "amqp://shop:pw@rabbit/%2f".to_owned();
        config
    }

    fn refusal(change: impl Fn(&mut Config)) -> String {
        let mut config = safe();
        change(&mut config);
        let refused = config.check_production(&Registry::standard());
        let refused = format!("{:#}", refused.expect_err("must be refused"));
        // To try things on, all of it will do.
        config.mode = Mode::Development;
        config
            .check_production(&Registry::standard())
            .expect("development");
        refused
    }

    #[test]
    fn what_is_safe_is_accepted() {
        safe()
            .check_production(&Registry::standard())
            .expect("safe");
        let mut embedded = safe();
        embedded.database.url = "sqlite:///shop.db".to_owned();
        embedded.mq = Default::default();
        embedded.redis = Default::default();
        embedded.seckill.engine = "preallocated".parse().expect("a name");
        embedded
            .check_production(&Registry::standard())
            .expect("one process and its file");
    }

    #[test]
    fn a_key_that_can_be_guessed_is_refused() {
        let refused = refusal(|config| config.jwt.secret = "changeme".repeat(5));
        assert!(
            refused.starts_with("jwt.secret: of 7 different bytes"),
            "{refused}"
        );
    }

    #[test]
    fn guest_at_the_broker_is_refused_also_where_nobody_is_named() {
        for url in [
            "amqp://guest:guest@rabbit/%2f",
            "amqp://rabbit/%2f",
            "amqp://shop:guest@rabbit/%2f",
            "amqp://guest:pw@rabbit/%2f",
            "amqp://shop:@rabbit/%2f",
        ] {
            let refused = refusal(|config| config.mq.url = url.to_owned());
            assert!(refused.starts_with("mq.url: in production mode"), "{url}");
        }
        for broken in [
            "amqp:/shop:sesame@h",
            "amqp//shop:sesame@h",
            "http://shop:sesame@h/",
        ] {
            let refused = refusal(|config| config.mq.url = broken.to_owned());
            assert!(
                refused.starts_with("mq.url: ") && !refused.contains("sesame"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_database_or_a_redis_without_a_password_is_refused() {
        for url in ["mysql://root@db/seckill", "mysql://root:@db/seckill"] {
            let refused = refusal(|config| config.database.url = url.to_owned());
            assert!(
                refused.starts_with("database.url: in production"),
                "{refused}"
            );
        }
        for url in [
            "redis://cache/",
            "redis://u:@cache/",
            "redis-cluster://a:1,b:2/",
        ] {
            let refused = refusal(|config| config.redis.url = url.to_owned());
            assert!(refused.starts_with("redis.url: in production"), "{refused}");
        }
        let own = refusal(|config| {
            let section = "redis.url = 'redis://cache/'";
            let section = toml::from_str(section).expect("a table");
            config.engines.insert("lua-single-key".to_owned(), section);
        });
        assert!(
            own.starts_with("redis.url or engines.lua-single-key.redis.url: in production"),
            "{own}"
        );
    }

    #[test]
    fn what_loses_or_oversells_is_refused() {
        let refused = refusal(|config| config.engine.allow_volatile = true);
        assert!(refused.starts_with("engine.allow_volatile: not in production mode"));
        let refused = refusal(|config| config.engine.allow_unsafe = true);
        assert!(refused.starts_with("engine.allow_unsafe: not in production mode"));
        let refused = refusal(|config| config.seckill.ack = Ack::Published);
        assert!(refused.starts_with("seckill.ack: not published in production mode"));
    }
}
