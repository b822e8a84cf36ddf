//! The database's section, and which database its URL names.

use super::mask::mask_password;
use anyhow::bail;
use database::sqlite::SqliteFile;
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

/// Which database a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// `mysql://…` or `mariadb://…`
    MySql,
    /// `sqlite://…`, which selects the embedded queue too.
    Sqlite,
}

impl DatabaseConfig {
    /// The kind of database that `database.url` names.
    pub fn kind(&self) -> anyhow::Result<DatabaseKind> {
        if SqliteFile::is_url(&self.url) {
            return Ok(DatabaseKind::Sqlite);
        }
        if self.url.starts_with("mysql://") || self.url.starts_with("mariadb://") {
            return Ok(DatabaseKind::MySql);
        }
        bail!(
            "database.url: {} is neither mysql://user:password@host:port/database nor sqlite:///path/file.db",
            mask_password(&self.url)
        )
    }
}
