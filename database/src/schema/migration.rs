//! One migration, and who brings it.

use crate::DatabaseKind;
use sqlx::migrate::MigrationType;
use std::borrow::Cow;

/// Which tables and columns this binary knows how to use: grows by one with every change that an
/// older binary must not meet, and is what [`Migration::oldest_binary`] compares with.
pub const BINARY: u32 = 2;

/// One step of the schema. Once it has run anywhere it is never changed; a change is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Unique over everything that is run together: the day it was written and a number of that
    /// day, such as `2026112601`. They run in the order in which they are brought.
    pub version: i64,
    /// What it is for, in a word or two.
    pub name: &'static str,
    /// The smallest [`BINARY`] that may use a database in which it has run; 0 allows all.
    pub oldest_binary: u32,
    /// Every table that it creates, on either database.
    pub tables: &'static [&'static str],
    /// Its statements for MySQL and MariaDB, separated by `;`. Empty: nothing to do there.
    pub mysql: &'static str,
    /// The same for SQLite.
    pub sqlite: &'static str,
}

/// A migration and who brings it.
#[derive(Clone, Debug)]
pub struct Part {
    pub owner: String,
    pub migration: Migration,
}

impl Migration {
    /// With its row of `schema_migrations`, so that both are there or neither.
    pub(super) fn to_sqlx(self, kind: DatabaseKind) -> sqlx::migrate::Migration {
        let sql = format!(
            "REPLACE INTO schema_migrations (version, name, oldest_binary) VALUES ({}, '{}', {});\n{}",
            self.version,
            self.name.replace('\'', "''"),
            self.oldest_binary,
            self.text(kind)
        );
        sqlx::migrate::Migration::new(
            self.version,
            Cow::Borrowed(self.name),
            MigrationType::Simple,
            Cow::Owned(sql),
            false,
        )
    }

    pub(super) fn text(&self, kind: DatabaseKind) -> &'static str {
        match kind {
            DatabaseKind::MySql => self.mysql,
            DatabaseKind::Sqlite => self.sqlite,
        }
    }
}
