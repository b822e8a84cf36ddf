//! Units of cancelled orders on their way back to the engine (d): missing, double, of a live order,
//! left or wrong, and what the engine's own count says of them.

use crate::fixture::*;
use reports::outcome_log::{Operation, Outcome};

const ONE_EACH: &str = "every cancelled order has one release";
const STRAY: &str = "no release without a cancel";
const AS_ORDERS: &str = "releases are as their orders";
const LEFT_OVER: &str = "no release is left";
const ENGINE: &str = "the engine agrees";

#[tokio::test]
async fn releases_are_counted() {
    let run = consistent_run!();
    let report = run.expect_failed(&[]).await;
    for (name, found) in [
        (ONE_EACH, "1 of 1 orders"),
        (STRAY, "1 of 1 releases of cancelled orders"),
        (AS_ORDERS, "1 of 1 releases"),
        (LEFT_OVER, "1 of 1 done"),
    ] {
        assert_eq!(actual(&report, name), found, "{name}");
    }
}

#[tokio::test]
async fn a_cancelled_order_without_its_release_is_named() {
    let mut run = consistent_run!();
    run.sql("DELETE FROM releases").await;
    run.expect_found(ONE_EACH, "1 offending: order 1020 (user 20) has 0")
        .await;
}

#[tokio::test]
async fn an_expired_order_without_its_release_is_named() {
    let mut run = consistent_run!();
    run.sale.time_to_pay_ms = Some(10_000);
    run.expire(1003, 10_000).await;
    run.engine_has(1);
    run.expect_failed(&[]).await;
    run.sql("DELETE FROM releases WHERE orders LIKE '[[1003,%'")
        .await;
    run.expect_found(ONE_EACH, "1 offending: order 1003 (user 3) has 0")
        .await;
}

#[tokio::test]
async fn two_releases_of_one_order_are_named() {
    let mut run = consistent_run!();
    // In one row, in two, and once more as an older version of the system wrote them.
    for (change, found) in [
        (
            "UPDATE releases SET orders = '[[1020,20,2],[1020,20,2]]'".to_owned(),
            "1 offending: order 1020 (user 20) has 2",
        ),
        (
            "INSERT INTO releases (product_id, epoch, orders, order_count, units, written_at_ms, released_at_ms) \
             SELECT product_id, epoch, '[[1020,20,2]]', order_count, units, written_at_ms, released_at_ms FROM releases"
                .to_owned(),
            "1 offending: order 1020 (user 20) has 3",
        ),
        (
            older(1020, 20, 2),
            "1 offending: order 1020 (user 20) has 4",
        ),
    ] {
        run.sql(&change).await;
        run.expect_found(ONE_EACH, found).await;
    }
}

/// A release that is done, as an older version of the system wrote it.
fn older(order_id: i64, user: i64, quantity: u32) -> String {
    format!(
        "INSERT INTO outbox (kind, routing_key, body, order_id, user_id, product_id, quantity, epoch, released_at_ms) \
         VALUES ('release', '', X'', {order_id}, {user}, 1, {quantity}, 1, {RELEASED_AT_MS})"
    )
}

#[tokio::test]
async fn releases_of_an_older_version_count_with_and_without_the_table_of_this_one() {
    let mut run = consistent_run!();
    run.sql("DELETE FROM releases").await;
    run.sql(&older(1020, 20, 2)).await;
    run.expect_failed(&[]).await;
    run.sql("DROP TABLE releases").await;
    run.expect_failed(&[]).await;
    run.sql("UPDATE outbox SET released_at_ms = NULL").await;
    run.expect_found(LEFT_OVER, "1 offending: order 1020 (user 20)")
        .await;
}

#[tokio::test]
async fn a_copy_for_listeners_is_no_release() {
    let mut run = consistent_run!();
    run.sql(
        "INSERT INTO outbox (kind, routing_key, body, order_id, user_id, product_id, quantity, epoch) VALUES \
         ('copy', 'order.create.1', X'', 1003, 3, 1, 1, 1), ('copy', 'order.canceled', X'', 1020, 20, 1, 2, 1)",
    )
    .await;
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn a_release_of_an_order_that_is_not_cancelled_or_not_there_is_named() {
    let mut run = consistent_run!();
    for (order_id, found) in [
        (1003, "1 offending: order 1003 (user 3) is to pay"),
        (9500, "1 offending: order 9500 (user 3) has no row"),
    ] {
        run.sql(&of_this_version(order_id)).await;
        run.expect_found(STRAY, found).await;
        run.sql(&format!(
            "DELETE FROM releases WHERE orders LIKE '[[{order_id},%'"
        ))
        .await;
    }
    run.pay(1003).await;
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Accepted);
    run.sql(&of_this_version(1003)).await;
    run.expect_found(STRAY, "1 offending: order 1003 (user 3) is paid")
        .await;
}

/// One unit of user 3, back in the engine.
fn of_this_version(order_id: i64) -> String {
    format!(
        "INSERT INTO releases (product_id, epoch, orders, order_count, units, written_at_ms, released_at_ms) \
         VALUES (1, 1, '[[{order_id},3,1]]', 1, 1, {CHANGED_AT_MS}, {RELEASED_AT_MS})"
    )
}

#[tokio::test]
async fn a_release_that_says_something_else_than_its_order_is_named() {
    let mut run = consistent_run!();
    let early_ms = CHANGED_AT_MS - 400;
    for (change, found) in [
        (
            "orders = '[[1020,20,3]]'",
            "3 units of product 1 for user 20",
        ),
        (
            "orders = '[[1020,21,2]]'",
            "2 units of product 1 for user 21",
        ),
        ("product_id = 2", "2 units of product 2 for user 20"),
        ("epoch = 0", "epoch 0, not 1 to 1"),
        ("epoch = 2", "epoch 2, not 1 to 1"),
        (
            &*format!("released_at_ms = {early_ms}"),
            "done 400 ms before the cancel",
        ),
    ] {
        run.sql(&format!("UPDATE releases SET {change}")).await;
        let found = format!("1 offending: order 1020 (user 20): {found}");
        run.expect_found(AS_ORDERS, &found).await;
        run.sql(&format!(
            "UPDATE releases SET orders = '[[1020,20,2]]', product_id = 1, epoch = 1, released_at_ms = {RELEASED_AT_MS}"
        ))
        .await;
    }
    run.reopen().await;
    run.sql("UPDATE releases SET epoch = 2").await;
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn a_release_that_is_left_explains_what_the_engine_lacks() {
    let mut run = consistent_run!();
    run.sql("UPDATE releases SET released_at_ms = NULL").await;
    run.engine_has(-2);
    let report = run.expect_failed(&[ENGINE, LEFT_OVER]).await;
    assert_eq!(
        actual(&report, ENGINE),
        "1 offending: sale 1: engine has -1 remaining and 0 open, database 1: 2 fewer, those of 1 releases that are left"
    );
    assert_eq!(
        actual(&report, LEFT_OVER),
        "1 offending: order 1020 (user 20)"
    );
}

#[tokio::test]
async fn units_that_were_released_twice_or_never_are_named_by_the_engines_count() {
    let mut run = consistent_run!();
    run.add_units(3).await;
    run.engine_has(2);
    let found = "1 offending: sale 1: engine has 6 remaining and 0 open, database 4: 2 more: units released twice?";
    run.expect_found(ENGINE, found).await;
    run.engine_has(-4);
    let found = "1 offending: sale 1: engine has 2 remaining and 0 open, database 4: 2 fewer: releases lost?";
    run.expect_found(ENGINE, found).await;
}

#[tokio::test]
async fn a_right_that_was_given_back_twice_or_not_at_all_is_named() {
    let mut run = consistent_run!();
    run.add_units(3).await;
    run.sql("UPDATE allocations SET sold = sold - 2").await;
    run.engine_has(2);
    run.expect_failed(&["sold matches live rows", "stock is conserved"])
        .await;
    run.sql("UPDATE allocations SET sold = sold + 4").await;
    run.engine_has(-4);
    run.expect_failed(&["sold matches live rows", "stock is conserved"])
        .await;
}
