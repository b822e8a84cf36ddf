//! A run that has come to rest, made by hand: the system's tables, filled so that every invariant
//! holds, and the log of what the buyers were told. A test plants one fault in either of them and
//! audits.

use reports::{
    outcome_log::{Operation, Outcome, Record, Refusal, Writer},
    result::{AuditReport, AuditVerdict},
};
use scenarios::audit::{AuditInput, EngineStock, ExpectedSale, audit};
use std::{path::PathBuf, process::Output};
use tempfile::TempDir;

use crate::database::Database;

pub const PRICE_CENTS: i64 = 9_900;
/// Units that the consistent run leaves unsold, and what the refused buyer wanted.
pub const LEFT: i64 = 1;
pub const REFUSED_QUANTITY: u32 = 5;
/// Buyers of the consistent run by what they were told. Users 1 to 20 were accepted with order 1000
/// + user id.
pub const CANCELLED_USER: i64 = 20;
pub const ERROR_USER: i64 = 31;
pub const UNKNOWN_USER_WITH_ROW: i64 = 41;
pub const UNKNOWN_USER: i64 = 42;
pub const REFUSED_USER: i64 = 61;

pub const START_MS: i64 = 1_700_000_000_000;
/// When orders are cancelled and paid.
pub const CHANGED_AT_MS: i64 = START_MS + 1_000;
/// When the units of the cancelled order were back.
pub const RELEASED_AT_MS: i64 = START_MS + 2_000;
/// Long after everything else.
pub const REFUSED_AT_MS: i64 = START_MS + 60_000;

pub struct Run {
    database: Database,
    pub log: Vec<Record>,
    pub sale: ExpectedSale,
    pub engine_stock: Vec<EngineStock>,
    database_url: String,
    folder: TempDir,
}

impl Run {
    /// A consistent run in a fresh database of a server.
    pub async fn on_server(database_url: String) -> Self {
        let database = Database::create_on_server(&database_url).await;
        Self::consistent(
            database,
            database_url,
            tempfile::tempdir().expect("a temporary folder"),
        )
        .await
    }

    /// A consistent run in a fresh SQLite file.
    pub async fn in_file() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database_url = format!("sqlite://{}/audit.db", folder.path().display());
        let database = Database::create_file(&database_url).await;
        Self::consistent(database, database_url, folder).await
    }

    async fn consistent(database: Database, database_url: String, folder: TempDir) -> Self {
        let mut run = Self {
            database,
            log: Vec::new(),
            sale: ExpectedSale {
                product_id: 1,
                total: 0,
                price_cents: PRICE_CENTS,
                time_to_pay_ms: None,
            },
            engine_stock: Vec::new(),
            database_url,
            folder,
        };
        run.fill().await;
        run
    }

    async fn fill(&mut self) {
        self.sql(&format!(
            "INSERT INTO products (id, name, description, price_cents, sale_starts_at, sale_ends_at, created_at, \
             updated_at) VALUES (1, 'p', '', {PRICE_CENTS}, 0, 1, 0, 0);
             INSERT INTO sales (product_id, total, newest_epoch, open_epoch, nonce, allocation_id) \
             VALUES (1, 0, 1, 1, 7, 1);
             INSERT INTO allocations (id, product_id, epoch, granted, sold) VALUES (1, 1, 1, 1000, 0)"
        ))
        .await;
        for user in 1..=CANCELLED_USER {
            let quantity = quantity(user);
            self.told(user, 1000 + user, quantity, Outcome::Accepted);
            self.order(1000 + user, user, quantity).await;
        }
        self.told(1, 1001, quantity(1), Outcome::Duplicate);
        self.told(ERROR_USER, 0, 1, Outcome::Error);
        self.told(UNKNOWN_USER_WITH_ROW, 0, 2, Outcome::Unknown);
        self.order(1000 + UNKNOWN_USER_WITH_ROW, UNKNOWN_USER_WITH_ROW, 2)
            .await;
        self.told(UNKNOWN_USER, 0, 1, Outcome::Unknown);
        self.told(REFUSED_USER, 0, REFUSED_QUANTITY, Outcome::Refused);
        self.asked_about(
            Operation::Cancel,
            1000 + CANCELLED_USER,
            CANCELLED_USER,
            Outcome::Accepted,
        );
        self.cancel(1000 + CANCELLED_USER, RELEASED_AT_MS).await;
        let sold = self.database.number("SELECT sold FROM allocations").await;
        self.sale.total = sold + LEFT;
        let total = self.sale.total;
        self.sql(&format!(
            "UPDATE sales SET total = {total}; UPDATE allocations SET granted = {total}"
        ))
        .await;
        self.engine_stock = vec![EngineStock {
            product_id: 1,
            remaining: LEFT,
            open_units: 0,
        }];
    }

    pub async fn sql(&mut self, statements: &str) {
        self.database.execute(statements).await;
    }

    /// Removes from a table what would refuse the fault: on a server `constraint`; on SQLite, which
    /// cannot drop a single one, all constraints.
    pub async fn unprotect(&mut self, table: &str, constraint: &str) {
        self.database.unprotect(table, constraint).await;
    }

    /// A live order as the consumer would write it, with its allocation guard.
    pub async fn order(&mut self, order_id: i64, user: i64, quantity: u32) {
        let price = i64::from(quantity) * PRICE_CENTS;
        self.sql(&format!(
            "INSERT INTO orders VALUES ({order_id}, {user}, 1, {quantity}, {price}, 1, 0, 1, {START_MS}, {START_MS}, 0);
             UPDATE allocations SET sold = sold + {quantity} WHERE id = 1"
        ))
        .await;
    }

    /// Makes a live order a cancelled one, with its release; what its buyer asked for is not logged.
    pub async fn cancel(&mut self, order_id: i64, released_at_ms: i64) {
        self.cancel_at(CHANGED_AT_MS, order_id, released_at_ms)
            .await;
    }

    /// As [`Self::cancel`], at another time.
    pub async fn cancel_at(&mut self, now_ms: i64, order_id: i64, released_at_ms: i64) {
        self.sql(&format!(
            "UPDATE allocations SET sold = sold - (SELECT quantity FROM orders WHERE order_id = {order_id}) WHERE id = 1;
             UPDATE orders SET status = 2, live = NULL, updated_at_ms = {now_ms} WHERE order_id = {order_id};
             INSERT INTO releases (product_id, epoch, orders, order_count, units, written_at_ms, released_at_ms) \
             SELECT product_id, 1, CONCAT('[[', order_id, ',', user_id, ',', quantity, ']]'), 1, quantity, {now_ms}, \
             {released_at_ms} FROM orders WHERE order_id = {order_id}"
        ))
        .await;
    }

    /// Cancels an order because it was not paid for so long.
    pub async fn expire(&mut self, order_id: i64, age_ms: i64) {
        let now_ms = START_MS + age_ms;
        self.cancel_at(now_ms, order_id, now_ms + 10).await;
        self.sql(&format!(
            "UPDATE orders SET expired = 1 WHERE order_id = {order_id}"
        ))
        .await;
    }

    /// Makes a live order a paid one; what its buyer asked for is not logged.
    pub async fn pay(&mut self, order_id: i64) {
        self.sql(&format!(
            "UPDATE orders SET status = 1, updated_at_ms = {CHANGED_AT_MS} WHERE order_id = {order_id}"
        ))
        .await;
    }

    /// The engine has so many units more, or fewer.
    pub fn engine_has(&mut self, more: i64) {
        self.engine_stock[0].remaining += more;
    }

    /// Adds units that nobody buys.
    pub async fn add_units(&mut self, units: i64) {
        self.sale.total += units;
        self.engine_stock[0].remaining += units;
        self.sql(&format!(
            "UPDATE sales SET total = total + {units}; UPDATE allocations SET granted = granted + {units} WHERE id = 1"
        ))
        .await;
    }

    /// Everything that is left moves to a second epoch.
    pub async fn reopen(&mut self) {
        let left = self
            .database
            .number("SELECT granted - sold FROM allocations")
            .await;
        self.sql(&format!(
            "UPDATE allocations SET state = 'closed', granted = sold;
             INSERT INTO allocations (id, product_id, epoch, granted) VALUES (2, 1, 2, {left})"
        ))
        .await;
    }

    /// What a buyer was told; a refusal means "sold out" and comes after everything else.
    pub fn told(&mut self, user_id: i64, order_id: i64, quantity: u32, outcome: Outcome) {
        let refused = outcome == Outcome::Refused;
        let began_at_ms = if refused { REFUSED_AT_MS } else { START_MS };
        let began_at_unix_us = began_at_ms * 1_000 + self.log.len() as i64;
        self.log.push(Record {
            operation: Operation::Buy,
            user_id,
            product_id: 1,
            asked_order_id: 0,
            quantity,
            outcome,
            refusal: refused.then_some(Refusal::SoldOut),
            order_id,
            due_at_unix_us: began_at_unix_us,
            sent_at_unix_us: Some(began_at_unix_us),
            ended_at_unix_us: began_at_unix_us + 500,
        });
    }

    /// A buyer who was told "sold out" at this time.
    pub fn refused_at(&mut self, at_ms: i64, user_id: i64, quantity: u32) {
        self.told(user_id, 0, quantity, Outcome::Refused);
        self.move_last(at_ms);
    }

    /// A cancel or a pay, just before the row of the order was changed.
    pub fn asked_about(&mut self, what: Operation, order_id: i64, user_id: i64, outcome: Outcome) {
        self.told(user_id, 0, 0, outcome);
        self.move_last(CHANGED_AT_MS - 1);
        let record = self.log.last_mut().expect("just added");
        record.operation = what;
        record.asked_order_id = order_id;
        record.product_id = 0;
        record.refusal = (outcome == Outcome::Refused).then_some(Refusal::Conflict);
    }

    /// Moves the newest record to another time.
    pub fn move_last(&mut self, at_ms: i64) {
        let record = self.log.last_mut().expect("a record");
        record.due_at_unix_us = at_ms * 1_000;
        record.sent_at_unix_us = Some(at_ms * 1_000);
        record.ended_at_unix_us = at_ms * 1_000 + 500;
    }

    pub fn request_of(&mut self, user_id: i64) -> &mut Record {
        self.log
            .iter_mut()
            .find(|record| record.user_id == user_id)
            .expect("a request of this user")
    }

    pub fn write_log(&self, records: &[Record], name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let mut writer = Writer::create(&path).expect("a log in the temporary folder");
        for record in records {
            writer.push(record).expect("a record is written");
        }
        writer.finish().expect("the log is written");
        path
    }

    pub fn input(&self) -> AuditInput {
        AuditInput {
            database_url: self.database_url.clone(),
            logs: vec![self.write_log(&self.log, "driver.log")],
            sales: vec![self.sale],
            engine_stock: self.engine_stock.clone(),
        }
    }

    /// Audits and compares the names of the failed checks, in the order of the report.
    pub async fn expect_failed(&self, names: &[&str]) -> AuditReport {
        let report = audit(&self.input()).await.expect("the audit can judge");
        let failed: Vec<&str> = report
            .failed_checks()
            .map(|check| check.name.as_str())
            .collect();
        assert_eq!(failed, names, "{}", scenarios::audit::text(&report));
        let verdict = if names.is_empty() {
            AuditVerdict::Passed
        } else {
            AuditVerdict::Failed
        };
        assert_eq!(report.verdict, verdict);
        report
    }

    /// As [`Self::expect_failed`] with one name; also compares what that check found.
    pub async fn expect_found(&self, name: &str, actual: &str) {
        let report = self.expect_failed(&[name]).await;
        let found: Vec<&str> = report
            .failed_checks()
            .map(|check| check.actual.as_str())
            .collect();
        assert_eq!(found, [actual]);
    }

    /// Runs `lab audit` on this run.
    pub fn lab_audit(&self) -> Output {
        let ExpectedSale {
            product_id,
            total,
            price_cents,
            ..
        } = self.sale;
        std::process::Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["audit", "--database-url", &self.database_url])
            .arg("--log")
            .arg(self.write_log(&self.log, "driver.log"))
            .args(["--sale", &format!("{product_id}:{total}:{price_cents}")])
            .arg("--json")
            .arg(self.json_path())
            .output()
            .expect("lab starts")
    }

    pub fn json_path(&self) -> PathBuf {
        self.folder.path().join("audit.json")
    }
}

pub fn quantity(user: i64) -> u32 {
    if user % 2 == 0 { 2 } else { 1 }
}

/// What a check found, by its name.
pub fn actual(report: &AuditReport, name: &str) -> String {
    let check = report.checks.iter().find(|check| check.name == name);
    check
        .unwrap_or_else(|| panic!("no check {name}"))
        .actual
        .clone()
}
