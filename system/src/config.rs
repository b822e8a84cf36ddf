//! Layered configuration: defaults, then the files named by `CONFIG_PATH`, with a colon between two,
//! of which a later one overrides an earlier one, then `SECKILL__SECTION__KEY` variables. So what is
//! secret can have a file of its own.
//!
//! Unknown keys and impossible values are refused with the key's name and what is allowed. The
//! effective configuration is printed at start with secrets masked.

mod accounts;
mod after_sale;
mod breaker;
mod database_config;
#[cfg(test)]
mod deployed;
mod engines;
#[cfg(test)]
mod example;
mod gateway;
pub mod list;
mod names;
mod production;
mod rate_limits;
mod secrets;
mod sections;
mod telemetry;
mod tls_config;

pub use accounts::{Argon2Config, AuthConfig, JwtConfig, Mode, UserConfig, one_line, secret_in};
pub use after_sale::{OrderConfig, OutboxConfig, ProductConfig};
pub use breaker::BreakerConfig;
pub use database::masked as mask_password;
pub use database_config::DatabaseConfig;
pub use gateway::{GatewayConfig, UpstreamAddress, UpstreamsConfig, items, upstreams};
pub use rate_limits::{RateConfig, RateLimitsConfig};
pub use sections::{
    Ack, AdminConfig, EngineConfig, GroupCommitConfig, IncarnationConfig, LogConfig, LogFormat,
    MqConfig, QueueType, ReconcilerConfig, RedisConfig, SeckillConfig,
};
pub use telemetry::TelemetryConfig;
pub use tls_config::TlsConfig;

use ::database::DatabaseKind;
use ::engines::Registry;
use anyhow::{Context, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// What separates the names in `CONFIG_PATH`.
const BETWEEN_FILES: char = ':';
/// Longest label of a process, characters.
const LABEL_MAX: usize = 128;

/// The ranges of all numbers, bounds included.
#[rustfmt::skip]
const RANGES: [(&str, u64, u64); 74] = [
    ("database.max_connections", 1, 1_000),
    ("database.acquire_timeout_ms", 100, 60_000),
    ("database.heartbeat_timeout_ms", 50, 60_000),
    ("database.statement_timeout_ms", 100, 600_000),
    ("database.long_timeout_ms", 1_000, 3_600_000),
    ("database.lock_wait_s", 1, 600),
    ("database.idle_transaction_s", 1, 600),
    ("mq.heartbeat_s", 1, 600),
    ("mq.consumer_prefetch", 2, 10_000),
    ("mq.order_batch_size", 1, 5_000),
    ("mq.order_batch_interval_ms", 1, 10_000),
    ("mq.channel_pool_size", 1, 64),
    ("mq.queue_max_messages", 1, 100_000_000),
    ("seckill.threads", 0, 256),
    ("seckill.max_pending", 1, 1_000_000),
    ("seckill.max_quantity", 1, 1_000_000),
    ("seckill.look_ups_per_s", 1, 100_000),
    ("seckill.publish_timeout_ms", 10, 60_000),
    ("seckill.max_connections", 0, 1_000_000),
    ("seckill.first_bytes_timeout_ms", 100, 60_000),
    ("seckill.keepalive_interval_ms", 1_000, 600_000),
    ("seckill.keepalive_timeout_ms", 100, 600_000),
    ("group_commit.max_batch", 1, 1_000),
    ("group_commit.max_in_flight", 1, 64),
    ("group_commit.gather_us_per_request", 0, 1_000),
    ("group_commit.max_gather_us", 0, 100_000),
    ("incarnation.heartbeat_ms", 50, 60_000),
    ("incarnation.lease_ms", 200, 600_000),
    ("incarnation.margin_ms", 100, 60_000),
    ("reconciler.interval_ms", 50, 600_000),
    ("reconciler.grace_ms", 100, 600_000),
    ("reconciler.drain_timeout_ms", 1_000, 600_000),
    ("reconciler.marker_retention_s", 60, 31_536_000),
    ("mq.consumer_heartbeat_ms", 50, 60_000),
    ("mq.consumer_lease_ms", 200, 600_000),
    ("order.time_to_pay_s", 0, 31_536_000),
    ("order.row_wait_ms", 0, 60_000),
    ("order.max_pending", 1, 1_000_000),
    ("order.max_batch", 1, 1_000),
    ("product.stock_timeout_ms", 100, 600_000),
    ("product.stock_age_ms", 10, 60_000),
    ("product.changes_interval_ms", 50, 1_000),
    ("auth.max_hashing", 0, 256),
    ("auth.max_waiting", 1, 10_000),
    ("auth.argon2.memory_kib", 8, 1_048_576),
    ("auth.argon2.passes", 1, 100),
    ("auth.argon2.lanes", 1, 64),
    ("jwt.leeway_s", 0, 300),
    ("jwt.expiration_s", 60, 2_592_000),
    ("jwt.refresh_window_s", 0, 2_592_000),
    ("jwt.revocation_interval_ms", 100, 5_000),
    ("gateway.threads", 0, 256),
    ("gateway.timeout_ms", 100, 60_000),
    ("gateway.wait_max_ms", 0, 60_000),
    ("gateway.max_in_flight", 1, 1_000_000),
    ("gateway.max_connections", 0, 1_000_000),
    ("gateway.connections_per_address", 0, 1_000_000),
    ("gateway.header_timeout_ms", 100, 600_000),
    ("gateway.body_timeout_ms", 100, 600_000),
    ("outbox.interval_ms", 5, 60_000),
    ("outbox.retention_s", 60, 31_536_000),
    ("rate_limits.max_keys", 1_000, 10_000_000),
    ("rate_limits.global.rps", 0, 1_000_000),
    ("rate_limits.global.burst", 1, 1_000_000),
    ("rate_limits.seckill.rps", 0, 1_000_000),
    ("rate_limits.seckill.burst", 1, 1_000_000),
    ("rate_limits.order.rps", 0, 1_000_000),
    ("rate_limits.order.burst", 1, 1_000_000),
    ("rate_limits.login.rps", 0, 1_000_000),
    ("rate_limits.login.burst", 1, 1_000_000),
    ("breaker.failures_percent", 1, 100),
    ("breaker.window_ms", 100, 600_000),
    ("breaker.open_ms", 10, 600_000),
    ("log.files_kept", 1, 3_650),
];

/// The shares of something, 0 to 1.
const SHARES: [&str; 1] = ["telemetry.sample_ratio"];

/// Where the setting of this key is in the configuration as JSON: `/mq/order_batch_size`.
fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

/// Everything a role can be configured with; a role reads the sections it needs.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What this system is run for.
    pub mode: Mode,
    /// MySQL or MariaDB.
    pub database: DatabaseConfig,
    /// Redis, for engines that use it.
    pub redis: RedisConfig,
    /// RabbitMQ.
    pub mq: MqConfig,
    /// The seckill service.
    pub seckill: SeckillConfig,
    /// What only operators may reach.
    pub admin: AdminConfig,
    /// How requests are gathered into batches.
    pub group_commit: GroupCommitConfig,
    /// Leases of publishing processes.
    pub incarnation: IncarnationConfig,
    /// The reconciler.
    pub reconciler: ReconcilerConfig,
    /// The order service, and what happens to orders.
    pub order: OrderConfig,
    /// The product service.
    pub product: ProductConfig,
    /// The auth service, and how passwords are hashed.
    pub auth: AuthConfig,
    /// The user service.
    pub user: UserConfig,
    /// The HTTP gateway.
    pub gateway: GatewayConfig,
    /// Tokens that say who asks.
    pub jwt: JwtConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// What is still to be done about orders.
    pub outbox: OutboxConfig,
    /// How often the gateway is asked.
    pub rate_limits: RateLimitsConfig,
    /// When the gateway stops asking a service that fails.
    pub breaker: BreakerConfig,
    /// Checks of the engine and of the server behind it.
    pub engine: EngineConfig,
    /// Settings of engines, by the name of the engine.
    pub engines: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    /// Logs.
    pub log: LogConfig,
    /// Traces.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Reads files and environment.
    pub fn load() -> anyhow::Result<Self> {
        let path = std::env::var("CONFIG_PATH")
            .ok()
            .filter(|path| !path.is_empty());
        let mut config = Self::merged(path.as_deref(), None)?;
        config.read_secrets()?;
        config.validate()?;
        Ok(config)
    }

    /// The defaults, the files at `path`, and `variables`, or those of the environment; their values
    /// are not judged together yet.
    fn merged(
        path: Option<&str>,
        variables: Option<HashMap<String, String>>,
    ) -> anyhow::Result<Self> {
        let environment = config::Environment::with_prefix("SECKILL")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .source(variables);
        let mut builder = config::Config::builder();
        let files = path.unwrap_or_default().split(BETWEEN_FILES);
        for file in files.filter(|file| !file.is_empty()) {
            builder = builder.add_source(config::File::with_name(file));
        }
        let from = path.unwrap_or("the environment");
        let merged = builder
            .add_source(environment)
            .build()
            .map_err(misread)
            .with_context(|| format!("cannot read configuration from {from}"))?;
        merged
            .try_deserialize()
            .map_err(misread)
            .with_context(|| format!("invalid configuration from {from}"))
    }

    fn validate(&self) -> anyhow::Result<()> {
        let values = serde_json::to_value(self)?;
        for (key, low, high) in RANGES {
            let value = values.pointer(&pointer(key)).and_then(|it| it.as_u64());
            let value = value.with_context(|| format!("{key} is no number"))?;
            ensure!(
                (low..=high).contains(&value),
                "{key}: {value} is out of range, allowed are {low} to {high}"
            );
        }
        for key in SHARES {
            let value = values.pointer(&pointer(key)).and_then(|it| it.as_f64());
            let value = value.with_context(|| format!("{key} is no number"))?;
            ensure!(
                (0.0..=1.0).contains(&value),
                "{key}: {value} is out of range, allowed are 0 to 1"
            );
        }
        ensure!(
            self.incarnation.label.chars().count() <= LABEL_MAX,
            "incarnation.label: longer than {LABEL_MAX} characters"
        );
        self.database.validate(&self.incarnation)?;
        if self.incarnation.heartbeat_ms * 2 > self.incarnation.lease_ms {
            bail!(
                "incarnation.lease_ms: {} must be at least twice incarnation.heartbeat_ms ({})",
                self.incarnation.lease_ms,
                self.incarnation.heartbeat_ms
            );
        }
        if self.mq.consumer_heartbeat_ms * 2 > self.mq.consumer_lease_ms {
            bail!(
                "mq.consumer_lease_ms: {} must be at least twice mq.consumer_heartbeat_ms ({})",
                self.mq.consumer_lease_ms,
                self.mq.consumer_heartbeat_ms
            );
        }
        ensure!(
            !self.order.copies || self.database.kind()? != DatabaseKind::Sqlite,
            "order.copies: a SQLite file has no exchange that anybody could listen to"
        );
        self.jwt.validate(self.mode)?;
        self.auth.validate(self.mode)?;
        self.gateway.validate()?;
        self.tls.validate()?;
        self.telemetry.validate()?;
        if self.reconciler.grace_ms <= self.seckill.publish_timeout_ms {
            // deadline-before-reserve (R7): a hold must not look orphaned while its publisher may
            // still be about to publish it.
            bail!(
                "reconciler.grace_ms: {} must be greater than seckill.publish_timeout_ms ({})",
                self.reconciler.grace_ms,
                self.seckill.publish_timeout_ms
            );
        }
        Ok(())
    }

    /// The effective configuration as one JSON value, passwords in URLs and secrets
    /// masked.
    pub fn masked(&self, registry: &Registry) -> serde_json::Value {
        let mut copy = self.without_secrets();
        copy.engines = self.masked_engines(registry);
        serde_json::to_value(copy).unwrap_or_default()
    }
}

/// What the configuration's reader says, without the secrets of the lines that it quotes.
fn misread(error: config::ConfigError) -> anyhow::Error {
    anyhow::Error::msg(::database::masked_lines(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().expect("defaults");
    }

    #[test]
    fn passwords_never_reach_the_log() {
        let mut config = Config::default();
        config.database.url = "mysql://shop:hunter2@db:3306/seckill".to_owned();
        config.redis.url = "redis://:hunter2@cache/".to_owned();
        config.jwt.secret = "hunter2-hunter2-hunter2-hunter2-hunter2".to_owned();
        let text = config.masked(&Registry::standard()).to_string();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("mysql://shop:***@db:3306/seckill"), "{text}");
    }

    #[test]
    fn of_several_files_a_later_one_overrides_and_one_that_is_missing_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let shared = file("shared.toml", "[mq]\nprefix = \"a\"\nheartbeat_s = 7\n");
        let secret = file("secret.toml", "[mq]\nprefix = \"b\"\n");
        let both = format!("{shared}:{secret}");
        let config = Config::merged(Some(&both), Some(HashMap::new())).expect("two files");
        assert_eq!(config.mq.prefix, "b");
        assert_eq!(config.mq.heartbeat_s, 7);
        let missing = format!("{shared}:/nowhere/secret.toml");
        let error = Config::merged(Some(&missing), Some(HashMap::new())).expect_err("missing");
        assert!(
            format!("{error:#}").contains("/nowhere/secret.toml"),
            "{error:#}"
        );
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_key_and_what_is_allowed() {
        let mut config = Config::default();
        config.mq.order_batch_size = 0;
        let error = config.validate().expect_err("must be refused").to_string();
        assert_eq!(
            error,
            "mq.order_batch_size: 0 is out of range, allowed are 1 to 5000"
        );
    }

    #[test]
    fn a_share_of_more_than_all_or_of_nothing_known_is_refused() {
        let refusal = |share| {
            let mut config = Config::default();
            config.telemetry.sample_ratio = share;
            config.validate().map_err(|error| error.to_string())
        };
        for share in [0.0, 0.001, 1.0] {
            refusal(share).expect("a share");
        }
        assert_eq!(
            refusal(1.5),
            Err("telemetry.sample_ratio: 1.5 is out of range, allowed are 0 to 1".to_owned())
        );
        refusal(-0.1).expect_err("less than nothing");
        refusal(f64::NAN).expect_err("no number");
    }

    #[test]
    fn a_grace_period_within_the_publish_deadline_is_refused() {
        let mut config = Config::default();
        config.reconciler.grace_ms = config.seckill.publish_timeout_ms;
        assert!(
            config
                .validate()
                .expect_err("must be refused")
                .to_string()
                .contains("reconciler.grace_ms")
        );
    }
}
