//! What is refused, on a file; the same on a server is in the tests of `system`.

use super::*;
use crate::{NO_ARGS, PoolLimits};
use std::time::Duration;

const SHOES: Migration = Migration {
    version: 2026010101,
    name: "shoes",
    oldest_binary: 0,
    tables: &["shoes"],
    mysql: "",
    sqlite: "-- CREATE TABLE hats is a comment.\nCREATE TABLE shoes (id INTEGER PRIMARY KEY) STRICT;",
};
const HATS: Migration = Migration {
    version: 2026010102,
    name: "hats",
    tables: &["hats"],
    sqlite: "create table if not exists hats (id INTEGER PRIMARY KEY)",
    ..SHOES
};

const BOTH: &[Migration] = &[SHOES, HATS];

fn file() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("a.db").display());
    let limits = PoolLimits {
        connections_max: 1,
        acquire_max: Duration::from_secs(1),
        statement_max: Duration::from_secs(1),
        lock_wait_max: None,
        idle_transaction_max: None,
    };
    (folder, Database::open(&url, &limits).unwrap())
}

async fn tables(database: &Database) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    database.rows(sql, NO_ARGS).await.unwrap()
}

fn schema(migrations: &'static [Migration]) -> Schema {
    Schema::new([("the shop", migrations)]).unwrap()
}

#[track_caller]
fn refusal(owners: [&'static [Migration]; 2]) -> String {
    let owners = ["engine a", "engine b"].into_iter().zip(owners);
    Schema::new(owners).unwrap_err().to_string()
}

#[tokio::test]
async fn each_runs_once_and_one_that_two_bring_counts_once() {
    let (_folder, database) = file();
    let missing = schema(BOTH).check(&database).await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        r#"this database has not had migration 2026010101 ("shoes") of the shop; run `seckill migrate` first"#
    );
    schema(&[HATS]).migrate(&database).await.unwrap();
    let all = Schema::new([("the shop", BOTH), ("engine b", &[HATS])]).unwrap();
    for _ in 0..2 {
        all.migrate(&database).await.unwrap();
    }
    all.check(&database).await.unwrap();
    // One that this binary does not bring does no harm.
    schema(&[SHOES]).migrate(&database).await.unwrap();
    assert_eq!(
        tables(&database).await,
        ["_sqlx_migrations", "hats", "schema_migrations", "shoes"]
    );
}

#[test]
fn two_with_the_same_version_are_refused() {
    const TWIN: Migration = Migration {
        version: SHOES.version,
        ..HATS
    };
    assert_eq!(
        refusal([&[SHOES], &[TWIN]]),
        r#"migration 2026010101 ("hats") of engine b has the same version as migration 2026010101 ("shoes") of engine a; every version is used once"#
    );
}

#[test]
fn two_that_create_the_same_table_are_refused() {
    const AGAIN: Migration = Migration {
        tables: &["SHOES"],
        sqlite: "CREATE TABLE SHOES (id INTEGER)",
        ..HATS
    };
    assert_eq!(
        refusal([&[SHOES], &[AGAIN]]),
        r#"migration 2026010102 ("hats") of engine b creates table shoes, and so does migration 2026010101 ("shoes") of engine a"#
    );
}

#[test]
fn one_that_does_not_say_what_it_creates_is_refused() {
    const SILENT: Migration = Migration {
        tables: &[],
        ..HATS
    };
    const LOUD: Migration = Migration {
        tables: &["hats", "gloves"],
        ..HATS
    };
    let silent = refusal([&[SHOES], &[SILENT]]);
    assert!(
        silent.contains("of engine b creates table hats, which is not among"),
        "{silent}"
    );
    let loud = refusal([&[SHOES], &[LOUD]]);
    assert!(
        loud.ends_with("names table gloves and does not create it"),
        "{loud}"
    );
}

#[test]
fn one_for_a_newer_binary_is_refused() {
    const NEWER: Migration = Migration {
        oldest_binary: BINARY + 1,
        ..HATS
    };
    let newer = BINARY + 1;
    assert_eq!(
        refusal([&[SHOES], &[NEWER]]),
        format!(
            r#"migration 2026010102 ("hats") of engine b is for binaries from {newer} on; this one is {BINARY}"#
        )
    );
}

#[tokio::test]
async fn one_that_was_changed_after_it_ran_is_refused_and_nothing_is_changed() {
    const CHANGED: Migration = Migration {
        sqlite: "CREATE TABLE shoes (id INTEGER PRIMARY KEY, size INTEGER) STRICT",
        ..SHOES
    };
    let (_folder, database) = file();
    schema(&[SHOES]).migrate(&database).await.unwrap();
    let before = tables(&database).await;
    let refused = schema(&[HATS, CHANGED]).migrate(&database).await;
    let refused = refused.unwrap_err().to_string();
    let named = r#"migration 2026010101 ("shoes") of the shop is not what has run in this database as 2026010101 ("shoes")"#;
    assert!(refused.starts_with(named), "{refused}");
    assert_eq!(tables(&database).await, before);
}

#[tokio::test]
async fn a_database_that_asks_for_a_newer_binary_is_left_alone() {
    let (_folder, database) = file();
    schema(&[SHOES]).migrate(&database).await.unwrap();
    let newer = "UPDATE schema_migrations SET oldest_binary = 7";
    database.run(newer, NO_ARGS).await.unwrap();
    let before = tables(&database).await;
    let sentence = format!(
        r#"this database has had migration 2026010101 ("shoes"), which allows binaries from 7 on; this one is {BINARY}"#
    );
    let refused = schema(BOTH).migrate(&database).await.unwrap_err();
    assert_eq!(refused.to_string(), sentence);
    assert_eq!(tables(&database).await, before);
    let refused = schema(&[SHOES]).check(&database).await.unwrap_err();
    assert_eq!(refused.to_string(), sentence);
}

#[tokio::test]
async fn a_table_from_somewhere_else_is_not_touched() {
    let (_folder, database) = file();
    let theirs = "CREATE TABLE hats (feathers INTEGER)";
    database.run(theirs, NO_ARGS).await.unwrap();
    let refused = schema(BOTH)
        .migrate(&database)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("creates table hats, which this database has already"),
        "{refused}"
    );
    assert_eq!(tables(&database).await, ["hats"]);
}

#[tokio::test]
async fn one_that_fails_leaves_nothing_behind() {
    const BROKEN: Migration = Migration {
        sqlite: "CREATE TABLE hats (id INTEGER); INSERT INTO nowhere VALUES (1)",
        ..HATS
    };
    let (_folder, database) = file();
    let failed = schema(&[SHOES, BROKEN]).migrate(&database).await;
    assert!(failed.is_err());
    assert!(tables(&database).await.is_empty());
}

#[test]
fn the_tables_of_the_history_itself_are_refused() {
    const HISTORY: Migration = Migration {
        tables: &["Schema_Migrations"],
        sqlite: "CREATE TABLE Schema_Migrations (id INTEGER)",
        ..HATS
    };
    assert_eq!(
        refusal([&[SHOES], &[HISTORY]]),
        r#"migration 2026010102 ("hats") of engine b creates table Schema_Migrations, in which it is kept what has run"#
    );
}

#[tokio::test]
async fn a_table_of_an_unknown_migration_is_called_that() {
    const OTHER: Migration = Migration {
        version: 2026010103,
        ..SHOES
    };
    let (_folder, database) = file();
    schema(&[SHOES]).migrate(&database).await.unwrap();
    let refused = schema(&[OTHER]).migrate(&database).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"migration 2026010103 ("shoes") of the shop creates table shoes, which this database has already from migration 2026010101 ("shoes"), which this binary does not know; use an empty database"#
    );
}
