//! The audit against a real database: a consistent run passes, and each planted fault is named by
//! exactly the checks that it breaks. The same cases run on a database server and on the SQLite
//! file of the embedded stack.
#![allow(clippy::duplicate_mod, reason = "the same cases on both databases")]

#[path = "audit/database.rs"]
mod database;
#[path = "audit/fixture.rs"]
mod fixture;

/// A consistent run in a database of its own, or the end of the test when there is no server
/// binary.
macro_rules! consistent_run {
    () => {
        match servers::DatabaseServer::shared().await {
            Some(server) => Run::on_server(server.fresh_database_url()).await,
            None => return,
        }
    };
}

#[path = "audit/changes.rs"]
mod changes_on_mysql;
#[path = "audit/orders.rs"]
mod orders_on_mysql;
#[path = "audit/overlooked.rs"]
mod overlooked_on_mysql;
#[path = "audit/releases.rs"]
mod releases_on_mysql;
#[path = "audit/runs.rs"]
mod runs_on_mysql;
#[path = "audit/sold_out.rs"]
mod sold_out_on_mysql;
#[path = "audit/stock.rs"]
mod stock_on_mysql;

/// From here on, a consistent run in a SQLite file.
macro_rules! consistent_run {
    () => {
        Run::in_file().await
    };
}

#[path = "audit/changes.rs"]
mod changes_on_sqlite;
#[path = "audit/orders.rs"]
mod orders_on_sqlite;
#[path = "audit/overlooked.rs"]
mod overlooked_on_sqlite;
#[path = "audit/releases.rs"]
mod releases_on_sqlite;
#[path = "audit/runs.rs"]
mod runs_on_sqlite;
#[path = "audit/sold_out.rs"]
mod sold_out_on_sqlite;
#[path = "audit/stock.rs"]
mod stock_on_sqlite;

#[tokio::test]
async fn lab_audit_without_a_sale_is_wrong_usage() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lab"))
        .args([
            "audit",
            "--database-url",
            "mysql://127.0.0.1:1/x",
            "--log",
            "none.log",
        ])
        .output()
        .expect("lab starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("PRODUCT:TOTAL:PRICE_CENTS"));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error_that_names_it() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lab"))
        .args([
            "audit",
            "--database-url",
            "sqlite:///nowhere/leg.db",
            "--sale",
            "1:1:1",
            "--log",
        ])
        .arg(log.path())
        .output()
        .expect("lab starts");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.starts_with("error: ") && error.lines().count() == 1,
        "{error}"
    );
}
