//! Which sales are looked after, and how many of them.

use super::*;
use engines::{Epoch, UserId};

on_both!(
    every_sale_is_found_however_many_there_are,
    every_queue_is_found_however_many_there_are,
    an_ended_sale_is_left_out_until_its_window_moves,
);

/// Inserts sales 1 to 10,000 × `tens`, of one unit each, whose windows end at `ends_at`, unix s.
async fn many(store: &Store, tens: i64, ends_at: i64) {
    let digits = "SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
                  UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9";
    let ids = format!(
        "SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS id FROM ({digits}) a, ({digits}) b,
         ({digits}) c, ({digits}) e, ({digits}) f WHERE f.d < {tens}"
    );
    let products = format!(
        "INSERT INTO products (id, name, description, price_cents, sale_starts_at, sale_ends_at, created_at, updated_at)
         SELECT id, 'thing', '', 1, 0, {ends_at}, 0, 0 FROM ({ids}) ids"
    );
    store.change(&products).await;
    let sales = "INSERT INTO sales (product_id, total) SELECT id, 1 FROM products";
    store.change(sales).await;
}

async fn every_sale_is_found_however_many_there_are(url: String) {
    let store = migrated(&url).await;
    many(&store, 2, 4_102_444_800).await;
    let found = store.sales().await.unwrap();
    let ids = found.iter().map(|row| row.sale.0);
    assert!(ids.eq(1..=20_000), "{} of 20000", found.len());
}

async fn every_queue_is_found_however_many_there_are(url: String) {
    let store = migrated(&url).await;
    many(&store, 1, 10).await;
    store
        .change(
            "INSERT INTO incarnations (worker_id, queue, lease_ms, heartbeat_at_ms)
             SELECT 1, 'q', 1, 1 FROM products WHERE id <= 2500",
        )
        .await;
    let found = store.queues(1_000).await.unwrap();
    assert_eq!(found.len(), 2_500);
}

async fn an_ended_sale_is_left_out_until_its_window_moves(url: String) {
    let store = migrated(&url).await;
    many(&store, 1, 10).await;
    store
        .change("UPDATE sales SET ended = 1 WHERE product_id <> 7")
        .await;
    let [row] = store.sales().await.unwrap()[..] else {
        panic!("one has not ended");
    };
    assert!(
        store.claim_end(&row, 9_999).await.unwrap().is_none(),
        "its window is on"
    );
    let epoch = store.claim_end(&row, 10_000).await.unwrap().unwrap();
    assert!(
        store.claim_end(&row, 10_000).await.unwrap().is_none(),
        "claimed before"
    );
    let asked = [UserId(1)];
    let past = store.past_sale(row.sale, &asked).await.unwrap().unwrap();
    assert!(past.is_ending && !past.has_ended);
    let end = async |now_ms| store.end_sale(row.sale, epoch, now_ms).await.unwrap();
    assert!(!end(9_999).await, "its window was moved meanwhile");
    store
        .change(
            "INSERT INTO parked (incarnation, message_id, order_id, kind, reason, body, digest, created_at_ms)
             VALUES (1, 'm', 0, 'bytes', 'unreadable', x'00', '', 1)",
        )
        .await;
    assert!(!end(10_000).await, "what is parked may be an order of it");
    store.change("UPDATE parked SET resolved = 1").await;
    assert!(end(10_000).await);
    assert!(store.sales().await.unwrap().is_empty());
    let past = store.past_sale(row.sale, &asked).await.unwrap().unwrap();
    assert!(past.has_ended && past.orders.is_empty());

    assert_eq!(store.take_back_moved(10_000).await.unwrap(), 0);
    store
        .change("UPDATE products SET sale_ends_at = 11 WHERE id = 7")
        .await;
    assert_eq!(store.take_back_moved(10_000).await.unwrap(), 1);
    let [row] = store.sales().await.unwrap()[..] else {
        panic!("one is looked after again");
    };
    // Until the next epoch is claimed, only what ended it may go on.
    assert!(row.is_ending && row.open.is_none());
    let next = store.claim_epoch(row.sale).await.unwrap();
    assert_eq!(next, Some(Epoch(epoch.0 + 1)));
    assert!(!store.end_sale(row.sale, epoch, 11_000).await.unwrap());
    assert!(!store.sales().await.unwrap()[0].is_ending);
}
