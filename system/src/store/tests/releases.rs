//! Units of cancelled orders on their way back: rows of many, and those that an older binary has left.

use super::changing::{cancel, with_orders};
use super::writing::{SALE, sale};
use super::*;
use crate::store::schema;
use engines::{Epoch, OrderId, UserId};

on_both!(
    what_is_cancelled_together_is_one_row_and_is_done_in_parts,
    what_an_older_binary_has_left_in_the_outbox_is_taken_over_once,
    a_database_with_releases_left_is_taken_along,
);

fn orders(left: &[ReleasesLeft]) -> Vec<Vec<i64>> {
    let of_row = |row: &ReleasesLeft| row.releases.iter().map(|one| one.order.0).collect();
    left.iter().map(of_row).collect()
}

async fn done(store: &Store) -> i64 {
    let done = "SELECT CAST(COALESCE(SUM(order_count), 0) AS SIGNED) FROM releases WHERE released_at_ms IS NOT NULL";
    store.number(done).await
}

async fn what_is_cancelled_together_is_one_row_and_is_done_in_parts(url: String) {
    let (store, ..) = with_orders(&url, &[1, 2, 3, 4], false).await;
    for together in [vec![1, 2, 3], vec![4]] {
        let changes: Vec<OrderChange> = together.into_iter().map(cancel).collect();
        store.change_orders(&changes, false).await.unwrap();
    }
    let left = store.releases().await;
    assert_eq!(orders(&left), [vec![1, 2, 3], vec![4]]);
    let first = left[0].releases.clone();
    assert_eq!(
        store.releases_left(&[SALE]).await.unwrap(),
        [(SALE, 4)].into()
    );
    // Those that an engine in one process has: the others are another's.
    for _ in 0..2 {
        store.mark_released(&first[1..2]).await.unwrap();
        assert_eq!(orders(&store.releases().await), [vec![1, 3], vec![4]]);
        assert_eq!(done(&store).await, 1);
    }
    let units = "SELECT CAST(SUM(units) AS SIGNED) FROM releases";
    assert_eq!(store.number(units).await, 10);
    // Whoever has read the row as it was does all of it.
    let rest = [&first[..], &left[1].releases].concat();
    store.mark_released(&rest).await.unwrap();
    assert!(store.releases().await.is_empty());
    assert_eq!((done(&store).await, store.number(units).await), (4, 10));
    assert!(store.releases_left(&[SALE]).await.unwrap().is_empty());
}

/// As an older binary writes it; the time is SQL.
async fn by_older(store: &Store, order: i64, released_at_ms: &str) {
    let sql = format!(
        "INSERT INTO outbox (order_id, user_id, product_id, quantity, epoch, kind, routing_key, body, released_at_ms)
         VALUES ({order}, {order} + 1000, 7, 2, {order}, 'release', '', X'', {released_at_ms})"
    );
    store.change(&sql).await;
}

async fn is_taken_over(store: &Store) {
    let left = store.releases().await;
    assert_eq!(orders(&left), [[1], [2]]);
    let second = left[1].releases[0];
    assert_eq!(
        (second.user, second.sale, second.quantity, second.epoch),
        (UserId(1_002), SALE, 2, Epoch(2))
    );
    // What is done stays where it is, for the audit; nothing is there twice.
    let kept = "SELECT COUNT(*) FROM outbox WHERE order_id = 3 AND released_at_ms = 99";
    assert_eq!(store.number(kept).await, 1);
    assert_eq!(store.number("SELECT COUNT(*) FROM outbox").await, 1);
}

async fn what_an_older_binary_has_left_in_the_outbox_is_taken_over_once(url: String) {
    let (store, ..) = with_orders(&url, &[2, 2, 2], false).await;
    for (order, released) in [(2, "NULL"), (1, "NULL"), (3, "99")] {
        by_older(&store, order, released).await;
    }
    for _ in 0..2 {
        store.take_over_releases().await.unwrap();
        is_taken_over(&store).await;
    }
    let release = store.releases().await[0].releases[0];
    assert_eq!(release.order, OrderId(1));
    store.mark_released(&[release]).await.unwrap();
    assert_eq!(orders(&store.releases().await), [[2]]);
}

async fn a_database_with_releases_left_is_taken_along(url: String) {
    const RELEASES: i64 = 2026112725;
    let older = Store::open(&config(&url)).unwrap();
    database::Database::create_if_missing(&url).await.unwrap();
    let before = schema::before(RELEASES).unwrap();
    before.migrate(&older.database).await.unwrap();
    older.create_sale(&sale(), 0).await.unwrap();
    for (order, released) in [(1, "NULL"), (2, "NULL"), (3, "99")] {
        by_older(&older, order, released).await;
    }
    older.close().await;
    let store = migrated(&url).await;
    store.take_over_releases().await.unwrap();
    is_taken_over(&store).await;
}
