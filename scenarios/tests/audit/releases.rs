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
    run.sql("DELETE FROM outbox").await;
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
    run.sql("DELETE FROM outbox WHERE order_id = 1003").await;
    run.expect_found(ONE_EACH, "1 offending: order 1003 (user 3) has 0")
        .await;
}

#[tokio::test]
async fn two_releases_of_one_order_are_named() {
    let mut run = consistent_run!();
    run.sql(
        "INSERT INTO outbox (kind, routing_key, body, order_id, user_id, product_id, quantity, epoch, released_at_ms) \
         SELECT kind, 'again', body, order_id, user_id, product_id, quantity, epoch, released_at_ms FROM outbox",
    )
    .await;
    run.expect_found(ONE_EACH, "1 offending: order 1020 (user 20) has 2")
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
        run.sql(&format!(
            "INSERT INTO outbox (kind, routing_key, body, order_id, user_id, product_id, quantity, epoch, released_at_ms) \
             VALUES ('release', '', X'', {order_id}, 3, 1, 1, 1, {RELEASED_AT_MS})"
        ))
        .await;
        run.expect_found(STRAY, found).await;
        run.sql(&format!("DELETE FROM outbox WHERE order_id = {order_id}"))
            .await;
    }
    run.pay(1003).await;
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Accepted);
    run.sql(&format!(
        "INSERT INTO outbox (kind, routing_key, body, order_id, user_id, product_id, quantity, epoch, released_at_ms) \
         VALUES ('release', '', X'', 1003, 3, 1, 1, 1, {RELEASED_AT_MS})"
    ))
    .await;
    run.expect_found(STRAY, "1 offending: order 1003 (user 3) is paid")
        .await;
}

#[tokio::test]
async fn a_release_that_says_something_else_than_its_order_is_named() {
    let mut run = consistent_run!();
    let early_ms = CHANGED_AT_MS - 400;
    for (change, found) in [
        ("quantity = 3", "3 units of product 1 for user 20"),
        ("user_id = 21", "2 units of product 1 for user 21"),
        ("product_id = 2", "2 units of product 2 for user 20"),
        ("epoch = 0", "epoch 0, not 1 to 1"),
        ("epoch = 2", "epoch 2, not 1 to 1"),
        (
            &*format!("released_at_ms = {early_ms}"),
            "done 400 ms before the cancel",
        ),
    ] {
        run.sql(&format!("UPDATE outbox SET {change}")).await;
        let found = format!("1 offending: order 1020 (user 20): {found}");
        run.expect_found(AS_ORDERS, &found).await;
        run.sql(&format!(
            "UPDATE outbox SET quantity = 2, user_id = 20, product_id = 1, epoch = 1, released_at_ms = {RELEASED_AT_MS}"
        ))
        .await;
    }
    run.reopen().await;
    run.sql("UPDATE outbox SET epoch = 2").await;
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn a_release_that_is_left_explains_what_the_engine_lacks() {
    let mut run = consistent_run!();
    run.sql("UPDATE outbox SET released_at_ms = NULL").await;
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
