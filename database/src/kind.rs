//! Which of the two databases it is, and the words of SQL that they say differently.

use std::borrow::Cow;

/// Which database a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// `mysql://…` or `mariadb://…`
    MySql,
    /// `sqlite:///path/of.db`
    Sqlite,
}

impl DatabaseKind {
    /// `None` if it is neither.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "mysql" | "mariadb" => Some(Self::MySql),
            _ => None,
        }
    }

    /// What makes a `SELECT` lock its rows against writers and other lockers. A writing transaction
    /// of SQLite has the whole file.
    #[must_use]
    pub fn for_update(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// What makes a `SELECT` read what is committed now, and keeps that from changing.
    #[must_use]
    pub fn for_share(self) -> &'static str {
        match self {
            Self::MySql => " LOCK IN SHARE MODE",
            Self::Sqlite => "",
        }
    }

    /// The clock of the database, unix ms: one clock for all processes. Read when the row is, not
    /// when the statement begins: that may be long ago if it had to wait for a lock.
    #[must_use]
    pub fn now_ms(self) -> &'static str {
        match self {
            Self::MySql => "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
            Self::Sqlite => "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
        }
    }

    /// Behind an `INSERT`: a row whose unique key `key` (its columns) is there already is changed
    /// as `set` says. On MySQL any other unique key has the same effect.
    #[must_use]
    pub fn or_update(self, key: &str, set: &str) -> String {
        match self {
            Self::MySql => format!(" ON DUPLICATE KEY UPDATE {set}"),
            Self::Sqlite => format!(" ON CONFLICT ({key}) DO UPDATE SET {set}"),
        }
    }

    /// Behind an `INSERT`: a row whose key is there already is left as it is. Unlike `INSERT
    /// IGNORE` it hides no other fault, but a conflict on any other unique key it does. `key` is any
    /// column of the table.
    #[must_use]
    pub fn or_nothing(self, key: &str) -> Cow<'static, str> {
        match self {
            Self::MySql => format!(" ON DUPLICATE KEY UPDATE {key} = {key}").into(),
            Self::Sqlite => " ON CONFLICT DO NOTHING".into(),
        }
    }
}
