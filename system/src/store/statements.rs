//! The statements, written once. Either database compiles this file with its own types and dialect,
//! which are what `super` provides: `Database` with `readers()` and `begin()`, `DbConnection`,
//! `DbRow` and a few words of SQL.

#[path = "statements/epochs.rs"]
mod epochs;
#[path = "statements/incarnations.rs"]
mod incarnations;
#[path = "statements/orders.rs"]
mod orders;
#[path = "statements/sales.rs"]
mod sales;
#[path = "statements/write.rs"]
mod write;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::borrow::Cow;

/// Applies `files` (name and text) in this order, each once.
pub fn migrator(files: &[(&'static str, &'static str)]) -> Migrator {
    let migrations = files.iter().zip(1..).map(|((name, sql), version)| {
        Migration::new(
            version,
            Cow::Borrowed(*name),
            MigrationType::Simple,
            Cow::Borrowed(*sql),
            false,
        )
    });
    Migrator {
        migrations: migrations.collect(),
        ..Migrator::DEFAULT
    }
}
