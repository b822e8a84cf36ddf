//! Faults of single orders: lost, void, wrong or parked (b), doubled (c), or belonging to a buyer
//! who should have none (e).

use crate::fixture::*;
use reports::outcome_log::{Operation, Outcome};

const PARK: &str = "INSERT INTO parked (id, incarnation, message_id, order_id, reason, body, resolved, created_at_ms) VALUES";

#[tokio::test]
async fn one_unknown_outcome_does_not_account_for_two_orders() {
    let mut run = consistent_run!();
    run.engine_stock.clear();
    let (user, order_id) = (UNKNOWN_USER_WITH_ROW, 1000 + UNKNOWN_USER_WITH_ROW);
    run.asked_about(Operation::Cancel, order_id, user, Outcome::Accepted);
    run.cancel(order_id, RELEASED_AT_MS).await;
    run.order(9001, UNKNOWN_USER_WITH_ROW, 2).await;
    run.expect_found("no order from nowhere", "1 offending: order 9001 (user 41)")
        .await;
}

#[tokio::test]
async fn a_lost_order_is_named() {
    let mut run = consistent_run!();
    run.sql("DELETE FROM orders WHERE order_id = 1003; UPDATE allocations SET sold = sold - 1")
        .await;
    run.engine_stock[0].remaining += 1;
    run.expect_found(
        "every accepted order has a row",
        "1 offending: order 1003 (user 3)",
    )
    .await;
}

#[tokio::test]
async fn a_yes_without_an_order_id_is_a_lost_order() {
    let mut run = consistent_run!();
    run.told(70, 0, 1, Outcome::Accepted);
    run.expect_found(
        "every accepted order has a row",
        "1 offending: order 0 (user 70)",
    )
    .await;
}

#[tokio::test]
async fn an_accepted_order_that_is_void_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE orders SET status = 4, live = NULL WHERE order_id = 1003; UPDATE allocations SET sold = sold - 1")
        .await;
    run.engine_stock[0].remaining += 1;
    run.expect_found(
        "no accepted order is void",
        "1 offending: order 1003 (user 3)",
    )
    .await;
}

#[tokio::test]
async fn an_order_of_another_buyer_than_was_told_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE orders SET user_id = 888 WHERE order_id = 1005")
        .await;
    let found = "1 offending: order 1005 (user 888) of product 1, told to user 5";
    run.expect_found("orders belong to the buyer who was told", found)
        .await;
}

#[tokio::test]
async fn a_wrong_quantity_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE orders SET quantity = 2, total_price_cents = 19800 WHERE order_id = 1005")
        .await;
    run.sql("UPDATE allocations SET sold = sold + 1").await;
    run.engine_stock[0].remaining = 0;
    run.expect_found(
        "quantities as asked",
        "1 offending: order 1005 (user 5): 2 units instead of 1",
    )
    .await;
}

#[tokio::test]
async fn a_wrong_price_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE orders SET total_price_cents = 9901 WHERE order_id = 1005")
        .await;
    run.expect_found(
        "prices as quoted",
        "1 offending: order 1005 (user 5): 1 units for 9901 cents",
    )
    .await;
}

#[tokio::test]
async fn an_accepted_order_that_was_parked_is_named_even_when_resolved() {
    let mut run = consistent_run!();
    run.sql(&format!("{PARK} (1, 1, 'm', 1004, 'guard', X'', 1, 0)"))
        .await;
    run.expect_found(
        "no accepted order is parked",
        "1 offending: order 1004 (guard)",
    )
    .await;
}

#[tokio::test]
async fn a_parked_message_that_nobody_resolved_is_named() {
    let mut run = consistent_run!();
    run.sql(&format!(
        "{PARK} (3, 1, 'm', 0, 'not an envelope', X'', 0, 0)"
    ))
    .await;
    run.expect_found(
        "nothing is left parked",
        "1 offending: record 3 (not an envelope)",
    )
    .await;
}

#[tokio::test]
async fn a_duplicate_that_names_another_order_is_named() {
    let mut run = consistent_run!();
    run.told(2, 1003, 2, Outcome::Duplicate);
    run.expect_found(
        "duplicates name the accepted order",
        "1 offending: order 1003 told to user 2",
    )
    .await;
}

#[tokio::test]
async fn two_live_orders_of_one_buyer_are_named_without_the_index() {
    let mut run = consistent_run!();
    run.unprotect("orders", "KEY orders_one_live_per_buyer")
        .await;
    run.told(3, 0, 1, Outcome::Unknown);
    run.order(9003, 3, 1).await;
    run.engine_stock[0].remaining -= 1;
    run.expect_found(
        "one live order per buyer",
        "1 offending: user 3 has 2 live orders of product 1",
    )
    .await;
}

#[tokio::test]
async fn two_rows_of_one_order_are_named_without_the_primary_key() {
    let mut run = consistent_run!();
    run.unprotect("orders", "PRIMARY KEY").await;
    run.sql("INSERT INTO orders SELECT * FROM orders WHERE order_id = 1020")
        .await;
    run.expect_found("order ids are unique", "1 offending: order 1020 has 2 rows")
        .await;
}

#[tokio::test]
async fn a_status_that_disagrees_with_live_is_named() {
    let mut run = consistent_run!();
    run.unprotect("orders", "CONSTRAINT orders_live_matches_status")
        .await;
    run.sql("UPDATE orders SET live = NULL WHERE order_id = 1003")
        .await;
    let found = "1 offending: order 1003 (user 3) with status 0 and live NULL";
    run.expect_found("statuses are legal", found).await;
}

#[tokio::test]
async fn an_order_of_a_refused_buyer_is_named() {
    let mut run = consistent_run!();
    run.order(9061, REFUSED_USER, 1).await;
    run.engine_stock[0].remaining -= 1;
    run.expect_found(
        "refused buyers have no order",
        "1 offending: order 9061 (user 61)",
    )
    .await;
}

#[tokio::test]
async fn an_order_of_a_buyer_who_only_met_errors_is_named() {
    let mut run = consistent_run!();
    run.order(9031, ERROR_USER, 1).await;
    run.engine_stock[0].remaining -= 1;
    run.expect_found(
        "buyers with errors have no order",
        "1 offending: order 9031 (user 31)",
    )
    .await;
}

#[tokio::test]
async fn an_order_from_nowhere_is_named() {
    let mut run = consistent_run!();
    run.order(9999, 999, 1).await;
    run.engine_stock[0].remaining -= 1;
    run.expect_found(
        "no order from nowhere",
        "1 offending: order 9999 (user 999)",
    )
    .await;
}

#[tokio::test]
async fn an_order_of_a_product_that_is_not_on_sale_is_named() {
    let mut run = consistent_run!();
    run.sql("INSERT INTO orders VALUES (9777, 777, 2, 1, 9900, 1, 0, 1, 0, 0, 0)")
        .await;
    run.expect_found(
        "orders are of a sale",
        "1 offending: order 9777 (user 777) of product 2",
    )
    .await;
}

#[tokio::test]
async fn a_void_row_of_a_product_that_is_not_on_sale_is_named_too() {
    let mut run = consistent_run!();
    run.sql("INSERT INTO orders VALUES (9777, 777, 2, 1, 0, 1, 4, NULL, 0, 0, 0)")
        .await;
    run.expect_found(
        "orders are of a sale",
        "1 offending: order 9777 (user 777) of product 2",
    )
    .await;
}
