//! A leg whose database lost an order never drains; it is audited all the same, and the order is
//! named.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reports::result::AuditVerdict;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::{fresh_folder, lab, only_result, text};

/// Longest time until the run has made its tables; building the system may come first.
const TABLES_LIMIT: Duration = Duration::from_secs(900);
const POLL: Duration = Duration::from_millis(10);

/// From the hundredth unit on, one order vanishes as if it had never been written.
const LOSE_ONE: &str = "
    CREATE TABLE lost (order_id INTEGER NOT NULL) STRICT;
    CREATE TRIGGER lose_one AFTER INSERT ON orders
    WHEN NEW.product_id = 1 AND NOT EXISTS (SELECT 1 FROM lost)
        AND (SELECT sold FROM allocations WHERE id = NEW.allocation_id) >= 100
    BEGIN
        INSERT INTO lost VALUES (NEW.order_id);
        DELETE FROM orders WHERE order_id = NEW.order_id;
        UPDATE allocations SET sold = sold - NEW.quantity WHERE id = NEW.allocation_id;
    END";

#[test]
fn a_lost_order_is_named_although_the_leg_never_drains() {
    let folder = fresh_folder("lost_order");
    let scratch = fresh_folder("lost_order_scratch");
    let arguments = [
        "bench",
        "smoke",
        "--stack",
        "embedded",
        "--engine",
        "database-row",
        "--requests",
        "5000",
    ];
    let child = lab(&folder, &arguments)
        .arg("--scratch")
        .arg(&scratch)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lab starts");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(lose_one(&scratch));
    let output = child.wait_with_output().expect("its end");
    let (tables, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{tables}\n{log}");

    let result = only_result(&folder);
    let leg = &result.legs[0];
    let error = leg.error.as_deref().unwrap_or_default();
    assert!(error.starts_with("not drained within "), "{error}");
    let audit = leg.audit.as_ref().expect("audited");
    assert_eq!(audit.verdict, AuditVerdict::Failed);
    let lost = audit
        .checks
        .iter()
        .find(|check| check.name == "every accepted order has a row")
        .expect("checked");
    assert!(
        lost.actual.starts_with("1 offending: order "),
        "{}",
        lost.actual
    );
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.contains("not drained") && last.contains(&lost.actual),
        "{log}"
    );
    assert!(tables.contains(&lost.actual), "{tables}");
}

/// Plants the fault as soon as the tables are there.
async fn lose_one(scratch: &Path) {
    let deadline = Instant::now() + TABLES_LIMIT;
    loop {
        for file in files_below(scratch) {
            if plant(&file).await.is_ok() {
                return;
            }
        }
        assert!(Instant::now() < deadline, "no tables");
        tokio::time::sleep(POLL).await;
    }
}

async fn plant(file: &Path) -> sqlx::Result<()> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(Duration::from_secs(10));
    let mut connection: SqliteConnection = options.connect().await?;
    let mut planting = connection.begin().await?;
    sqlx::raw_sql(LOSE_ONE).execute(&mut *planting).await?;
    planting.commit().await?;
    connection.close().await
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            _ => vec![entry.path()],
        })
        .filter(|path| path.extension().is_some_and(|ending| ending == "db"))
        .collect()
}
