//! The database's section, and which database its URL names.

use super::sections::IncarnationConfig;
use anyhow::{Context, ensure};
use database::DatabaseKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// MySQL, MariaDB or a SQLite file.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `mysql://user:password@host:port/database`, or `sqlite:///path/file.db` for `seckill all`.
    pub url: String,
    /// A file that holds this address instead, and perhaps a line break behind it.
    pub url_file: String,
    /// Most connections of one process, without those of its engine.
    pub max_connections: u32,
    /// Longest wait for a connection, ms.
    pub acquire_timeout_ms: u64,
    /// Longest wait for the answer to a heartbeat, ms.
    pub heartbeat_timeout_ms: u64,
    /// Longest wait for the answer to any other statement, or for its next row, ms.
    pub statement_timeout_ms: u64,
    /// The same where a statement concerns every row of a sale, ms: an epoch is granted, the leases
    /// of a dead process are closed.
    pub long_timeout_ms: u64,
    /// Longest wait of a statement for a lock, s.
    pub lock_wait_s: u64,
    /// After so long without a statement the server ends a transaction, s.
    pub idle_transaction_s: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "mysql://root@127.0.0.1:3306/seckill".to_owned(),
            url_file: String::new(),
            max_connections: 8,
            acquire_timeout_ms: 5_000,
            heartbeat_timeout_ms: 1_000,
            statement_timeout_ms: 5_000,
            long_timeout_ms: 20_000,
            lock_wait_s: 3,
            idle_transaction_s: 2,
        }
    }
}

impl DatabaseConfig {
    /// Refuses limits that would defeat each other; those of a file have no effect.
    pub(super) fn validate(&self, incarnation: &IncarnationConfig) -> anyhow::Result<()> {
        if DatabaseKind::of_url(&self.url) == Some(DatabaseKind::Sqlite) {
            return Ok(());
        }
        // fence-wait (R1): a heartbeat that is lost must not take the lease along unnoticed.
        ensure!(
            incarnation.heartbeat_ms + self.heartbeat_timeout_ms < incarnation.lease_ms,
            "database.heartbeat_timeout_ms: {} and incarnation.heartbeat_ms ({}) must together be less than incarnation.lease_ms ({})",
            self.heartbeat_timeout_ms,
            incarnation.heartbeat_ms,
            incarnation.lease_ms
        );
        // A wait for a lock ends with an answer, and its connection lives on.
        ensure!(
            self.lock_wait_s * 1_000 < self.statement_timeout_ms,
            "database.lock_wait_s: {} s must be less than database.statement_timeout_ms ({})",
            self.lock_wait_s,
            self.statement_timeout_ms
        );
        Ok(())
    }

    /// The kind of database that `database.url` names.
    pub fn kind(&self) -> anyhow::Result<DatabaseKind> {
        DatabaseKind::of_url(&self.url).with_context(|| {
            format!(
                "database.url: {} is neither mysql://user:password@host:port/database nor sqlite:///path/file.db",
                database::masked(&self.url)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(database: &DatabaseConfig) -> String {
        let refused = database.validate(&IncarnationConfig::default());
        refused.expect_err("must be refused").to_string()
    }

    #[test]
    fn limits_that_defeat_each_other_are_refused() {
        let late = DatabaseConfig {
            heartbeat_timeout_ms: 2_500,
            ..DatabaseConfig::default()
        };
        assert_eq!(
            refused(&late),
            "database.heartbeat_timeout_ms: 2500 and incarnation.heartbeat_ms (500) must together be less than incarnation.lease_ms (3000)"
        );
        let mut hasty = DatabaseConfig {
            statement_timeout_ms: 3_000,
            ..DatabaseConfig::default()
        };
        assert_eq!(
            refused(&hasty),
            "database.lock_wait_s: 3 s must be less than database.statement_timeout_ms (3000)"
        );
        hasty.url = "sqlite:///a.db".to_owned();
        hasty
            .validate(&IncarnationConfig::default())
            .expect("a file");
    }
}
