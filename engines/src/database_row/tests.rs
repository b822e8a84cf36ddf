//! Broken copies of this engine: the conformance suite catches each, and what it cannot see is
//! provoked here.

use super::*;
use crate::conformance::{self, Harness, Subject};
use servers::DatabaseServer;

struct Copy {
    url: String,
    faults: Faults,
}

#[async_trait::async_trait]
impl Subject for Copy {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let database = database_server::connect(NAME, &self.url)?;
        Ok(Arc::new(DatabaseRow::new(database, self.faults)))
    }
}

/// The check that catches it, and how.
async fn first_failure(url: String, only: Option<Fault>) -> Option<(&'static str, String)> {
    let harness = Harness::new(Copy {
        url,
        faults: Faults { only },
    });
    let caught = conformance::first_failure(&harness).await.unwrap();
    caught.map(|(check, how)| (check.name, format!("{how}; {}", harness.seed_line())))
}

async fn is_caught_at(url: String, fault: Fault) {
    let (name, how) = first_failure(url, Some(fault))
        .await
        .unwrap_or_else(|| panic!("{fault:?} was not caught"));
    eprintln!(
        "{fault:?}: caught by {name} ({})",
        how.lines().next().unwrap_or_default()
    );
}

/// A file with the tables, for as long as the folder lives.
async fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("sales.db").display());
    FACTORY.create_tables(&url).await.unwrap();
    (folder, url)
}

async fn is_caught(fault: Fault) {
    let (_folder, url) = file().await;
    is_caught_at(url, fault).await;
}

macro_rules! caught {
    ($($test:ident: $fault:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $test() {
            is_caught(Fault::$fault).await;
        })+
    };
}

caught!(
    a_decrement_without_a_check_is_caught: SellsWithoutCheck,
    a_sale_after_the_deadline_is_caught: SellsToTheLate,
    a_missing_user_gate_is_caught: NoUserGate,
    a_touch_of_a_marked_hold_is_caught: TouchesTheMarked,
    a_hold_that_forgets_who_touched_it_is_caught: ForgetsWhoTouched,
    a_release_that_counts_twice_is_caught: ReleasesTwice,
    a_release_of_another_order_is_caught: ReleasesAnyOrder,
    a_settle_that_moves_units_is_caught: SettlesIntoStock,
    a_mark_on_a_young_hold_is_caught: MarksTheYoung,
    a_second_opening_that_resets_is_caught: OpensTheSameAgain,
    an_older_epoch_that_opens_is_caught: OpensTheOlder,
    a_sale_under_a_stale_nonce_is_caught: SellsUnderAnyNonce,
    buyers_that_are_not_loaded_are_caught: LoadsNoBuyers,
);

/// On SQLite the transaction is the lock, which cannot be left out.
#[tokio::test]
async fn a_stock_row_that_nobody_locks_is_caught() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let url = server.create_database().await;
    FACTORY.create_tables(&url).await.unwrap();
    is_caught_at(url, Fault::LocksNothing).await;
}

#[tokio::test]
async fn the_healthy_copy_is_not() {
    let (_folder, url) = file().await;
    assert_eq!(first_failure(url, None).await, None);
}

/// Rows of both tables.
async fn rows(engine: &DatabaseRow) -> i64 {
    let sql = "SELECT (SELECT COUNT(*) FROM engine_stock) + (SELECT COUNT(*) FROM engine_gate)";
    let rows = engine
        .sales
        .database
        .rows::<[i64; 1]>(sql, database::NO_ARGS)
        .await
        .unwrap();
    rows[0][0]
}

#[tokio::test]
async fn a_retirement_takes_several_steps_and_leaves_a_newer_epoch_alone() {
    const BUYERS: i64 = 12_000;
    let (_folder, url) = file().await;
    let database = database_server::connect(NAME, &url).unwrap();
    let engine = DatabaseRow::new(database, Faults::default());
    let sale = SaleId(1);
    let buyer = |user| crate::OpeningBuyer {
        user: crate::UserId(user),
        order: crate::OrderId(user),
        quantity: 1,
    };
    let opening = |epoch| Opening {
        term: Term {
            sale,
            epoch: Epoch(epoch),
            nonce: crate::Nonce(7),
        },
        granted: 1,
        buyers: (1..=BUYERS).map(buyer).collect(),
        publishers: Vec::new(),
    };
    engine.open(&opening(1)).await.unwrap();
    let token = 99;
    assert!(!engine.sales.retire_some(sale, token, true).await.unwrap());
    assert!(!engine.stock(&opening(1).term).await.unwrap().is_open);
    assert!(rows(&engine).await < BUYERS);
    engine.open(&opening(2)).await.unwrap();
    assert!(engine.sales.retire_some(sale, token, false).await.unwrap());
    assert_eq!(rows(&engine).await, BUYERS + 1);
    engine.retire(sale).await.unwrap();
    assert_eq!(rows(&engine).await, 0);
}
