//! What may go from the outbox, and what stays.

use super::writing::open_sale;
use super::*;
use engines::IncarnationId;

on_both!(
    what_is_done_goes_after_a_while_and_what_is_not_stays,
    a_copy_that_nobody_took_goes_when_it_is_old_however_old_its_order_is,
    a_dead_letter_goes_when_it_has_been_resolved_for_long_and_its_publisher_is_over,
    a_key_goes_when_it_is_old_and_what_was_asked_under_it_is_done,
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

async fn a_dead_letter_goes_when_it_has_been_resolved_for_long_and_its_publisher_is_over(
    url: String,
) {
    let (store, publisher, _) = open_sale(&url).await;
    let old = NOW - 1;
    let gone = IncarnationId(publisher.0 + 1);
    for (order, incarnation, resolved, resolved_at) in [
        (1, gone, 0, "NULL".to_owned()),
        (2, gone, 1, old.to_string()),
        (3, gone, 1, NOW.to_string()),
        (4, publisher, 1, old.to_string()),
    ] {
        store
            .change(&format!(
                "INSERT INTO parked (incarnation, message_id, order_id, kind, reason, body, digest, created_at_ms, resolved,
                 resolved_at_ms) VALUES ({incarnation}, 'm', {order}, 'order', 'why', x'00', '{order}', 1, {resolved}, {resolved_at})"
            ))
            .await;
    }
    let left = async || {
        let sum = "SELECT CAST(SUM(order_id * order_id) AS SIGNED) FROM parked";
        store.number(sum).await
    };
    assert_eq!(store.forget_dead_letters(NOW).await.unwrap(), 1);
    assert_eq!(left().await, 1 + 9 + 16);
    store.change("UPDATE incarnations SET state = 'gone'").await;
    assert_eq!(store.forget_dead_letters(NOW).await.unwrap(), 1);
    assert_eq!(left().await, 1 + 9);
    assert_eq!(store.forget_dead_letters(NOW + 1).await.unwrap(), 1);
    assert_eq!(store.forget_dead_letters(i64::MAX).await.unwrap(), 0);
    assert_eq!(left().await, 1, "what is open stays");
}

async fn a_key_goes_when_it_is_old_and_what_was_asked_under_it_is_done(url: String) {
    let store = migrated(&url).await;
    let (old, young) = ((NOW - 1).to_string(), NOW.to_string());
    for (key, created, applied_total, applied_at) in [
        ("waits", &old, "NULL", "NULL"),
        ("before", &old, "7", "NULL"),
        ("Before", &young, "7", "NULL"),
        ("both", &old, "7", old.as_str()),
        ("late", &old, "7", young.as_str()),
    ] {
        store
            .change(&format!(
                "INSERT INTO stock_changes (idempotency_key, product_id, delta, wanted_total, applied_total, created_at_ms,
                 applied_at_ms) VALUES ('{key}', 7, 1, 7, {applied_total}, {created}, {applied_at})"
            ))
            .await;
    }
    for (key, order, created, turn_ends_at) in [
        ("made", 1, &old, &old),
        ("unknown", 0, &old, &old),
        ("buying", 0, &old, &young),
        ("young", 1, &young, &old),
    ] {
        store
            .change(&format!(
                "INSERT INTO made_orders (idempotency_key, user_id, product_id, quantity, order_id, created_at_ms, turn,
                 turn_ends_at_ms) VALUES ('{key}', 5, 7, 1, {order}, {created}, 1, {turn_ends_at})"
            ))
            .await;
    }
    assert_eq!(store.forget_keys(NOW).await.unwrap(), 4);
    let changes =
        "SELECT COUNT(*) FROM stock_changes WHERE idempotency_key IN ('waits', 'Before', 'late')";
    let made = "SELECT COUNT(*) FROM made_orders WHERE idempotency_key IN ('buying', 'young')";
    assert_eq!(
        (store.number(changes).await, store.number(made).await),
        (3, 2)
    );
    assert_eq!(store.forget_keys(i64::MAX).await.unwrap(), 4);
    let waits = "SELECT COUNT(*) FROM stock_changes";
    assert_eq!(store.number(waits).await, 1, "what is not answered stays");
}
