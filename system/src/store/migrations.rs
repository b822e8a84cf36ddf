//! Brings the schema up to date; the files under `migrations/` and the engines' allocation tables, in this order.

use anyhow::Context;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{MySqlPool, migrate::MigrateDatabase};
use std::borrow::Cow;

/// Creates the database if it is missing and applies what has not been applied yet.
pub async fn migrate(url: &str, connect: impl AsyncFnOnce() -> anyhow::Result<MySqlPool>) -> anyhow::Result<MySqlPool> {
    let exists = sqlx::MySql::database_exists(url).await.context("cannot ask the database server for its databases")?;
    if !exists {
        sqlx::MySql::create_database(url).await.context("cannot create the database")?;
    }
    let pool = connect().await?;
    migrator().run(&pool).await.context("cannot bring the schema up to date")?;
    Ok(pool)
}

fn migrator() -> Migrator {
    let files = [
        ("products", include_str!("../../migrations/0001_products.sql")),
        ("allocations", engines::ALLOCATIONS_MYSQL),
        ("orders", include_str!("../../migrations/0003_orders.sql")),
        ("incarnations", include_str!("../../migrations/0004_incarnations.sql")),
        ("database-row engine", engines::DATABASE_ROW_MYSQL),
    ];
    let migrations = files.into_iter().zip(1..).map(|((name, sql), version)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, Cow::Borrowed(sql), false)
    });
    Migrator { migrations: migrations.collect(), ..Migrator::DEFAULT }
}
