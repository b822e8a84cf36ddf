//! `seckill migrate`: tables of the system and of every engine, and what is refused.

use super::*;
use database::schema::{BINARY, Migration};
use engines::EngineFactory;

on_both!(
    tables_of_system_and_engines_are_made_once,
    a_migration_of_an_engine_that_collides_is_refused_and_nothing_is_changed,
    a_migration_that_was_changed_after_it_ran_is_refused,
    a_database_that_asks_for_a_newer_binary_is_left_alone,
    a_database_without_tables_is_refused_with_what_to_do,
    a_role_is_refused_a_database_without_the_tables_of_its_engine,
    two_that_migrate_at_a_time_take_turns,
    a_migration_that_broke_off_is_named_whoever_brought_it,
    a_table_of_an_engine_of_ones_own_is_made,
);

const MINE: Migration = Migration {
    version: 2026122401,
    name: "mine",
    oldest_binary: 0,
    tables: &["mine"],
    mysql: "CREATE TABLE mine (id BIGINT PRIMARY KEY)",
    sqlite: "CREATE TABLE mine (id INTEGER PRIMARY KEY)",
};

fn null() -> EngineFactory {
    Registry::standard().get("null").unwrap().clone()
}

fn with_engine(migrations: &'static [Migration]) -> Registry {
    let registry = Registry::standard();
    let null = registry.get("null").unwrap().clone();
    registry.register(EngineFactory {
        name: "my-own",
        migrations,
        ..null
    })
}

async fn refusal(url: &str, registry: &Registry) -> String {
    let refused = Store::migrate(&config(url), registry).await;
    format!("{:#}", refused.expect_err("a refusal"))
}

async fn tables_of_system_and_engines_are_made_once(url: String) {
    let store = migrated(&url).await;
    let tables = store.tables().await;
    for table in [
        "allocations",
        "consumers",
        "engine_gate",
        "engine_wants",
        "incarnations",
        "orders",
        "outbox",
        "parked",
        "releases",
        "sales",
    ] {
        assert!(
            tables.iter().any(|known| known == table),
            "{table}: {tables:?}"
        );
    }
    store.close().await;
    assert_eq!(migrated(&url).await.tables().await, tables);
    Store::connect(&config(&url), &null()).await.unwrap();
}

async fn a_migration_of_an_engine_that_collides_is_refused_and_nothing_is_changed(url: String) {
    const SAME_VERSION: Migration = Migration {
        version: 2026112603,
        ..MINE
    };
    const SAME_TABLE: Migration = Migration {
        tables: &["parked"],
        mysql: "CREATE TABLE parked (id BIGINT PRIMARY KEY)",
        sqlite: "CREATE TABLE parked (id INTEGER PRIMARY KEY)",
        ..MINE
    };
    assert_eq!(
        refusal(&url, &with_engine(&[SAME_VERSION])).await,
        r#"migration 2026112603 ("mine") of engine my-own has the same version as migration 2026112603 ("orders") of the system; every version is used once"#
    );
    assert_eq!(
        refusal(&url, &with_engine(&[SAME_TABLE])).await,
        r#"migration 2026122401 ("mine") of engine my-own creates table parked, and so does migration 2026112603 ("orders") of the system"#
    );
    let store = Store::open(&config(&url)).unwrap();
    assert!(store.tables().await.is_empty());
}

async fn a_migration_that_was_changed_after_it_ran_is_refused(url: String) {
    let store = migrated(&url).await;
    store
        .change(
            "UPDATE _sqlx_migrations SET checksum = X'0123456789AB' WHERE description = 'orders'",
        )
        .await;
    let before = store.tables().await;
    let refused = refusal(&url, &with_engine(&[MINE])).await;
    let named = r#"migration 2026112603 ("orders") of the system is not what has run in this database as 2026112603 ("orders")"#;
    assert!(
        refused.starts_with(named) && refused.contains("0123456789ab"),
        "{refused}"
    );
    assert_eq!(store.tables().await, before);
}

async fn a_database_that_asks_for_a_newer_binary_is_left_alone(url: String) {
    let store = migrated(&url).await;
    store
        .change("UPDATE schema_migrations SET oldest_binary = 7 WHERE name = 'outbox'")
        .await;
    let sentence = format!(
        r#"this database has had migration 2026112605 ("outbox"), which allows binaries from 7 on; this one is {BINARY}"#
    );
    let before = store.tables().await;
    assert_eq!(refusal(&url, &with_engine(&[MINE])).await, sentence);
    assert_eq!(store.tables().await, before);
    let connecting = Store::connect(&config(&url), &null())
        .await
        .expect_err("refused");
    assert_eq!(connecting.to_string(), sentence);
}

async fn a_database_without_tables_is_refused_with_what_to_do(url: String) {
    let refused = Store::connect(&config(&url), &null())
        .await
        .expect_err("refused");
    assert_eq!(
        refused.to_string(),
        r#"this database has not had migration 2026112601 ("products") of the system; run `seckill migrate` first"#
    );
}

async fn a_table_of_an_engine_of_ones_own_is_made(url: String) {
    migrated(&url).await;
    let registry = with_engine(&[MINE]);
    let store = Store::migrate(&config(&url), &registry).await.unwrap();
    assert_eq!(store.number("SELECT COUNT(*) FROM mine").await, 0);
    // A binary without that engine can use the database as before.
    migrated(&url).await;
}

async fn a_role_is_refused_a_database_without_the_tables_of_its_engine(url: String) {
    migrated(&url).await;
    let registry = with_engine(&[MINE]);
    let engine = registry.get("my-own").unwrap();
    let refused = Store::connect(&config(&url), engine)
        .await
        .expect_err("refused");
    assert_eq!(
        refused.to_string(),
        r#"this database has not had migration 2026122401 ("mine") of engine my-own; run `seckill migrate` first"#
    );
}

async fn two_that_migrate_at_a_time_take_turns(url: String) {
    let (config, registry) = (config(&url), Registry::standard());
    let (one, other) = tokio::join!(
        Store::migrate(&config, &registry),
        Store::migrate(&config, &registry)
    );
    one.unwrap();
    other.unwrap();
}

async fn a_migration_that_broke_off_is_named_whoever_brought_it(url: String) {
    let store = migrated(&url).await;
    store
        .change("UPDATE _sqlx_migrations SET success = 0 WHERE description = 'outbox'")
        .await;
    let sentence = refusal(&url, &Registry::standard()).await;
    assert!(
        sentence.starts_with(r#"migration 2026112605 ("outbox") broke off in the middle"#),
        "{sentence}"
    );
}
