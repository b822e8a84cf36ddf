//! Wants while the database's clock steps: they are judged by their number, never by their time.

use super::{ONE, Sale, request};
use engines::testing::TestDatabase;
use engines::{Tending, Verdict};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Came before the others, so that they let it go first.
const DEAD: i64 = 0;
const HOUR_MS: i64 = 3_600_000;
const WITHIN: Duration = Duration::from_secs(10);

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Sets the clock that the wants were written by.
async fn shift(sale: &Sale, by_ms: i64) {
    let shift = format!("UPDATE engine_wants SET at_ms = at_ms + {by_ms}");
    sale.rest.database.transaction(&[shift]).await.unwrap();
}

/// The idle units of one process go to the other that starves.
pub async fn a_want_is_heard_although_the_clock_leaps_forward(database: Arc<TestDatabase>) {
    let sale = Sale::new(database, 10, 10).await;
    assert!(sale.ask(&sale.one, request(2, 1)).await.is_granted());
    assert_eq!(sale.ask(&sale.two, request(1, 3)).await, Verdict::Busy);
    // By the clock, the want is an hour old.
    shift(&sale, -HOUR_MS).await;
    let pooled = "SELECT granted FROM allocations WHERE holder = 'pool'";
    let begun = Instant::now();
    while sale.rest.database.number(pooled).await == 0 {
        assert!(begun.elapsed() < WITHIN, "nobody hears who starves");
        let tending = Tending {
            term: sale.term,
            publisher: Some(ONE),
        };
        sale.one.tend(&tending).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(sale.ask(&sale.two, request(1, 3)).await.is_granted());
}

/// The pool is not kept for a process that will never come.
pub async fn the_want_of_a_dead_process_ends_although_the_clock_is_set_back(
    database: Arc<TestDatabase>,
) {
    let sale = Sale::new(database, 10, 4).await;
    let want = format!(
        "INSERT INTO engine_wants (sale_id, incarnation, epoch, units, at_ms, beats) VALUES ({}, {DEAD}, {}, 10, {}, 3)",
        sale.term.sale,
        sale.term.epoch,
        now_ms()
    );
    sale.rest.database.transaction(&[want]).await.unwrap();
    // By the clock, the want is written an hour from now.
    shift(&sale, HOUR_MS).await;
    let begun = Instant::now();
    while !sale.ask(&sale.one, request(2, 1)).await.is_granted() {
        assert!(begun.elapsed() < WITHIN, "units are kept for the dead");
    }
}
