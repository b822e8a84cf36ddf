//! The database's section, and which database its URL names.

use anyhow::Context;
use database::DatabaseKind;
use serde::{Deserialize, Serialize};

/// MySQL, MariaDB or a SQLite file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `mysql://user:password@host:port/database`, or `sqlite:///path/file.db` for `seckill all`.
    pub url: String,
    /// Most connections of one process.
    pub max_connections: u32,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "mysql://root@127.0.0.1:3306/seckill".to_owned(),
            max_connections: 8,
        }
    }
}

impl DatabaseConfig {
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
