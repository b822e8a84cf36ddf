//! What may go from the outbox, and what stays.

use super::*;

on_both!(
    what_is_done_goes_after_a_while_and_what_is_not_stays,
    a_copy_that_nobody_took_goes_when_it_is_old_however_old_its_order_is,
);

const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

/// One row; `order` is an id, times are SQL.
async fn outbox(store: &Store, kind: &str, order: i64, released: &str, published: &str) {
    let sql = format!(
        "INSERT INTO outbox (kind, routing_key, body, order_id, user_id, product_id, quantity, epoch, released_at_ms,
         published_at_ms) VALUES ('{kind}', 'k', x'00', {order}, 1, 7, 1, 2, {released}, {published})"
    );
    store.change(&sql).await;
}

async fn left(store: &Store) -> i64 {
    store.number("SELECT COUNT(*) FROM outbox").await
}

async fn what_is_done_goes_after_a_while_and_what_is_not_stays(url: String) {
    let store = migrated(&url).await;
    let (old, young) = ((NOW - 1).to_string(), NOW.to_string());
    outbox(&store, "release", 1, "NULL", "NULL").await;
    outbox(&store, "release", 2, "NULL", &old).await;
    outbox(&store, "release", 3, &old, "NULL").await;
    outbox(&store, "release", 4, &young, "NULL").await;
    outbox(&store, "copy", 5, "NULL", &old).await;
    outbox(&store, "copy", 6, "NULL", &young).await;
    assert_eq!(store.forget_outbox(NOW).await.unwrap(), 2);
    let kept = "SELECT COUNT(*) FROM outbox WHERE order_id IN (1, 2, 4, 6)";
    assert_eq!((store.number(kept).await, left(&store).await), (4, 4));
    // No more than a page at once, however many there are.
    let digits = "SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
                  UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9";
    let many = format!(
        "INSERT INTO outbox (kind, routing_key, body, order_id, user_id, product_id, quantity, epoch, released_at_ms)
         SELECT 'release', 'k', x'00', 100 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d, 1, 7, 1, 2, {old}
         FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) e WHERE e.d < 2"
    );
    store.change(&many).await;
    for forgotten in [1_000, 1_000, 0] {
        assert_eq!(store.forget_outbox(NOW).await.unwrap(), forgotten);
    }
    assert_eq!(left(&store).await, 4);
    let releases = format!(
        "INSERT INTO releases (product_id, epoch, orders, order_count, units, written_at_ms, released_at_ms)
         VALUES (7, 1, '[[7,1,1]]', 1, 1, 0, NULL), (7, 1, '[[8,1,1]]', 1, 1, 0, {old}), (7, 1, '[[9,1,1]]', 1, 1, 0, {young})"
    );
    store.change(&releases).await;
    assert_eq!(store.forget_outbox(NOW).await.unwrap(), 1);
    let kept = "SELECT COUNT(*) FROM releases WHERE orders <> '[[8,1,1]]'";
    assert_eq!(store.number(kept).await, 2);
}

async fn a_copy_that_nobody_took_goes_when_it_is_old_however_old_its_order_is(url: String) {
    let store = migrated(&url).await;
    for order in 1..=3 {
        outbox(&store, "copy", order, "NULL", "NULL").await;
    }
    // The order of each is the oldest there is; the copy of the first was written just now, as by a
    // replay.
    let written = |order: i64, at_ms: i64| {
        format!("UPDATE outbox SET written_at_ms = {at_ms} WHERE order_id = {order}")
    };
    for (order, at_ms) in [(1, NOW), (2, NOW - 1), (3, NOW + DAY)] {
        store.change(&written(order, at_ms)).await;
    }
    assert_eq!(store.forget_outbox(NOW).await.unwrap(), 1);
    let kept = "SELECT COUNT(*) FROM outbox WHERE order_id IN (1, 3)";
    assert_eq!((store.number(kept).await, left(&store).await), (2, 2));
}
