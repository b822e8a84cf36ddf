//! Units that come back: of a process that was killed or retired, and of an order that was cancelled
//! before it was settled.

use super::{ONE, Sale, release, request};
use engines::testing::TestDatabase;
use engines::{Finished, Verdict};
use std::sync::Arc;

/// The first is killed with units sold, in open holds and idle: what has no row goes back, exactly
/// once.
pub async fn a_killed_process_gives_back_what_it_had_not_sold(database: Arc<TestDatabase>) {
    let sale = Sale::new(database, 100, 40).await;
    let sold = request(2, 3);
    let allocation = sale.allocation_of(sold).await;
    assert_eq!(
        sale.allocation_of(request(4, 5)).await,
        allocation,
        "every grant names the one lease"
    );
    sale.insert_row(&sold, allocation).await;
    assert!(sale.ask(&sale.two, request(1, 1)).await.is_granted());
    let retired = Arc::downgrade(&sale.one);
    let Sale {
        rest,
        one,
        two,
        term,
    } = sale;
    drop(one);
    assert!(
        retired.upgrade().is_none(),
        "nothing of the killed process is left"
    );
    for _ in 0..2 {
        rest.database.close_leases_of(ONE).await;
        let of_lease = format!("WHERE id = {allocation}");
        for (what, expected) in [("granted", 3), ("sold", 3), ("idle", 0)] {
            let sql = format!("SELECT {what} FROM allocations {of_lease}");
            assert_eq!(
                rest.database.number(&sql).await,
                expected,
                "{what} of the closed lease"
            );
        }
        assert_eq!(
            rest.database
                .number("SELECT granted FROM allocations WHERE holder = 'pool'")
                .await,
            100 - 40 - 3
        );
    }
    // All of it can be sold by the other, and not one unit more.
    let verdicts = two
        .reserve(&term, &[request(3, 96), request(5, 1), request(7, 0)])
        .await;
    assert!(verdicts[0].as_ref().unwrap().is_granted());
    assert_eq!(
        *verdicts[1].as_ref().unwrap(),
        Verdict::SoldOut { remaining: 0 }
    );
    assert!(
        verdicts[2]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("0 units")
    );
    assert_eq!(
        rest.database
            .number("SELECT CAST(SUM(granted) AS SIGNED) FROM allocations")
            .await,
        100
    );
}

/// A process that was only frozen while others retired it finds out, and sells nothing more.
pub async fn a_retired_process_that_lives_on_is_not_open(database: Arc<TestDatabase>) {
    let sale = Sale::new(database, 100, 10).await;
    assert!(sale.ask(&sale.one, request(2, 1)).await.is_granted());
    sale.rest.database.close_leases_of(ONE).await;
    let late = sale.ask(&sale.one, request(4, 20)).await;
    assert_eq!(late, Verdict::NotOpen);
    assert_eq!(
        sale.ask(&sale.one, request(6, 1)).await,
        Verdict::NotOpen,
        "not from memory either"
    );
    assert_eq!(
        sale.one
            .finish(&sale.term, &[release(&request(2, 1))])
            .await[0]
            .as_ref()
            .unwrap(),
        &Finished::NotOpen
    );
    assert_eq!(sale.sum("granted").await, 100);
    assert_eq!(sale.sum("idle").await, 0);
}

/// The row is there and cancelled before the settle came: its units moved with the cancel and must
/// not move again.
pub async fn a_cancel_that_overtakes_the_settle_gives_back_once(database: Arc<TestDatabase>) {
    let sale = Sale::new(database, 10, 4).await;
    let bought = request(2, 3);
    let allocation = sale.allocation_of(bought).await;
    sale.insert_row(&bought, allocation).await;
    let cancel = [
        format!(
            "UPDATE orders SET status = 2, live = NULL WHERE order_id = {}",
            bought.order
        ),
        "UPDATE allocations SET granted = granted + 3 WHERE holder = 'pool'".to_owned(),
        format!(
            "UPDATE allocations SET sold = sold - 3, granted = granted - 3 WHERE id = {allocation}"
        ),
    ];
    sale.rest.database.transaction(&cancel).await.unwrap();
    assert_eq!(
        sale.one.finish(&sale.term, &[release(&bought)]).await[0]
            .as_ref()
            .unwrap(),
        &Finished::Done
    );
    assert_eq!(sale.one.stock(&sale.term).await.unwrap().remaining, 10);
    let verdicts = sale
        .one
        .reserve(&sale.term, &[request(2, 9), request(4, 1), request(6, 1)])
        .await;
    let granted = verdicts
        .iter()
        .filter(|verdict| verdict.as_ref().unwrap().is_granted())
        .count();
    assert_eq!(granted, 2, "10 units of 10: {verdicts:?}");
    let lease = format!("SELECT granted - sold FROM allocations WHERE id = {allocation}");
    assert_eq!(
        sale.rest.database.number(&lease).await,
        10,
        "the guard admits every order that was granted"
    );
}
