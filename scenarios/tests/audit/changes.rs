//! What buyers were told about cancels and payments, against the rows: done or not done, both, too
//! early, without a reason, or about an order of somebody else (b); and several orders of one buyer
//! (c).

use crate::fixture::*;
use reports::outcome_log::{Operation, Outcome};

const CANCEL_YES: &str = "every cancel told yes has a cancelled row";
const PAY_YES: &str = "every payment told yes has a paid row";
const BOTH: &str = "no order was told cancelled and paid";
const REASON: &str = "refused cancels and payments had a reason";
const CANCELLED: &str = "cancelled orders were cancelled by their buyer";
const PAID: &str = "paid orders were paid by their buyer";
const EXPIRED: &str = "orders expired only after their time to pay";
const ONE_AT_A_TIME: &str = "one live order at a time";
const GONE: &str = "no yes about an order that was gone";

#[tokio::test]
async fn cancels_payments_and_expiries_that_are_right_pass_and_are_counted() {
    let mut run = consistent_run!();
    run.sale.time_to_pay_ms = Some(10_000);
    run.pay(1001).await;
    run.asked_about(Operation::Pay, 1001, 1, Outcome::Unknown);
    run.asked_about(Operation::Pay, 1001, 1, Outcome::Accepted);
    run.asked_about(Operation::Cancel, 1001, 1, Outcome::Refused);
    run.move_last(CHANGED_AT_MS + 10);
    run.sql("UPDATE orders SET status = 3 WHERE order_id = 1001")
        .await;
    run.pay(1002).await;
    run.asked_about(Operation::Pay, 1002, 2, Outcome::Accepted);
    run.expire(1003, 10_000).await;
    run.engine_has(1);
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Refused);
    run.move_last(START_MS + 10_050);
    run.asked_about(Operation::Cancel, 1004, 4, Outcome::Error);
    run.asked_about(Operation::Cancel, 1004, 4, Outcome::Unknown);
    run.asked_about(Operation::Cancel, 1004, 5, Outcome::Error);
    let report = run.expect_failed(&[]).await;
    for (name, found) in [
        (CANCEL_YES, "1 of 1 cancels"),
        (PAY_YES, "2 of 2 payments"),
        (BOTH, "3 of 3 orders"),
        (REASON, "2 of 2 refusals"),
        (CANCELLED, "1 of 1 cancelled orders"),
        (PAID, "2 of 2 paid orders"),
        (EXPIRED, "1 of 1 expired orders"),
    ] {
        assert_eq!(actual(&report, name), found, "{name}");
    }
}

#[tokio::test]
async fn a_cancel_told_yes_whose_order_is_live_is_named() {
    let mut run = consistent_run!();
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Accepted);
    run.expect_found(CANCEL_YES, "1 offending: order 1003 (user 3) is to pay")
        .await;
    run.log.last_mut().expect("the cancel").outcome = Outcome::Duplicate;
    run.expect_failed(&[CANCEL_YES]).await;
}

#[tokio::test]
async fn an_order_that_is_paid_although_its_cancel_was_told_yes_is_named() {
    let mut run = consistent_run!();
    run.pay(1003).await;
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Unknown);
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Accepted);
    run.expect_found(CANCEL_YES, "1 offending: order 1003 (user 3) is paid")
        .await;
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Accepted);
    run.expect_failed(&[CANCEL_YES, BOTH]).await;
    run.sql("UPDATE orders SET status = 3 WHERE order_id = 1003")
        .await;
    run.expect_failed(&[CANCEL_YES, BOTH]).await;
}

#[tokio::test]
async fn an_order_that_is_cancelled_although_its_payment_was_told_yes_is_named() {
    let mut run = consistent_run!();
    run.cancel(1003, RELEASED_AT_MS).await;
    run.engine_has(1);
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Unknown);
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Accepted);
    run.expect_found(PAY_YES, "1 offending: order 1003 (user 3) is cancelled")
        .await;
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Accepted);
    let report = run.expect_failed(&[PAY_YES, BOTH]).await;
    assert_eq!(actual(&report, BOTH), "1 offending: order 1003 (user 3)");
}

#[tokio::test]
async fn an_order_that_expired_although_its_payment_or_its_cancel_was_told_yes_is_named() {
    let mut run = consistent_run!();
    run.sale.time_to_pay_ms = Some(10_000);
    run.expire(1003, 10_000).await;
    run.engine_has(1);
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Accepted);
    let found = "1 offending: order 1003 (user 3) is expired";
    run.expect_found(PAY_YES, found).await;
    run.log.last_mut().expect("the payment").operation = Operation::Cancel;
    run.expect_found(CANCEL_YES, found).await;
}

#[tokio::test]
async fn a_yes_long_before_the_order_was_changed_is_named() {
    let mut run = consistent_run!();
    run.asked_about(
        Operation::Cancel,
        1000 + CANCELLED_USER,
        CANCELLED_USER,
        Outcome::Accepted,
    );
    run.move_last(CHANGED_AT_MS - 400);
    let found = "1 offending: order 1020 (user 20) was so only 400 ms later";
    run.expect_found(CANCEL_YES, found).await;
    run.log.pop();
    run.pay(1003).await;
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Accepted);
    run.expect_failed(&[]).await;
    run.move_last(CHANGED_AT_MS - 400);
    run.expect_failed(&[PAY_YES]).await;
}

#[tokio::test]
async fn what_was_told_about_an_order_that_has_no_row_is_named() {
    let mut run = consistent_run!();
    run.asked_about(Operation::Cancel, 9500, 3, Outcome::Error);
    run.asked_about(Operation::Cancel, 9500, 3, Outcome::Unknown);
    run.expect_failed(&[]).await;
    run.asked_about(Operation::Cancel, 9500, 3, Outcome::Accepted);
    run.expect_found(CANCEL_YES, "1 offending: order 9500 (user 3) has no row")
        .await;
    run.asked_about(Operation::Pay, 9500, 3, Outcome::Accepted);
    run.asked_about(Operation::Pay, 9501, 3, Outcome::Refused);
    run.expect_failed(&[CANCEL_YES, PAY_YES, BOTH, REASON])
        .await;
}

#[tokio::test]
async fn a_void_order_that_was_told_cancelled_is_named() {
    let mut run = consistent_run!();
    run.sql(&format!(
        "INSERT INTO orders VALUES (9042, {UNKNOWN_USER}, 1, 1, 0, 1, 4, NULL, {START_MS}, {START_MS}, 0)"
    ))
    .await;
    run.asked_about(Operation::Cancel, 9042, UNKNOWN_USER, Outcome::Accepted);
    run.expect_found(CANCEL_YES, "1 offending: order 9042 (user 42) is void")
        .await;
}

#[tokio::test]
async fn a_refused_cancel_or_payment_without_a_reason_is_named() {
    let mut run = consistent_run!();
    for what in [Operation::Cancel, Operation::Pay] {
        run.asked_about(what, 1003, 3, Outcome::Refused);
        run.expect_found(REASON, "1 offending: order 1003 (user 3) is to pay")
            .await;
        run.log.pop();
    }
    // The order was paid, but long after the refusal.
    run.pay(1003).await;
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Accepted);
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Refused);
    run.expect_failed(&[]).await;
    run.move_last(CHANGED_AT_MS - 400);
    run.expect_failed(&[REASON]).await;
    run.sql(&format!(
        "UPDATE orders SET status = 3, updated_at_ms = {CHANGED_AT_MS} + 1000 WHERE order_id = 1003"
    ))
    .await;
    run.expect_failed(&[REASON]).await;
}

#[tokio::test]
async fn an_order_that_was_cancelled_by_the_cancel_that_was_refused_is_named() {
    let mut run = consistent_run!();
    run.cancel(1003, RELEASED_AT_MS).await;
    run.engine_has(1);
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Refused);
    run.expect_failed(&[REASON, CANCELLED]).await;
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Unknown);
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn an_answer_about_somebody_elses_order_is_named() {
    let mut run = consistent_run!();
    for outcome in [Outcome::Accepted, Outcome::Refused] {
        run.asked_about(Operation::Pay, 1003, 4, outcome);
        run.expect_found(
            "cancels and payments are of one's own orders",
            "1 offending: order 1003 (user 3), told to user 4",
        )
        .await;
        run.log.pop();
    }
}

#[tokio::test]
async fn a_lost_order_that_is_marked_cancelled_is_named() {
    let mut run = consistent_run!();
    run.cancel(1003, RELEASED_AT_MS).await;
    run.engine_has(1);
    run.expect_found(CANCELLED, "1 offending: order 1003 (user 3)")
        .await;
}

#[tokio::test]
async fn only_a_cancel_of_its_own_buyer_that_may_have_been_done_explains_a_cancelled_order() {
    let mut run = consistent_run!();
    run.cancel(1003, RELEASED_AT_MS).await;
    run.engine_has(1);
    for (what, user, outcome) in [
        (Operation::Cancel, 3, Outcome::Error),
        (Operation::Cancel, 4, Outcome::Unknown),
        (Operation::Pay, 3, Outcome::Unknown),
    ] {
        run.asked_about(what, 1003, user, outcome);
    }
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Accepted);
    // Long after the row was changed.
    run.move_last(REFUSED_AT_MS);
    run.expect_found(CANCELLED, "1 offending: order 1003 (user 3)")
        .await;
    // The time to pay explains only what says that it expired.
    run.sale.time_to_pay_ms = Some(1_000);
    run.expect_failed(&[CANCELLED]).await;
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Unknown);
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn an_order_that_is_paid_although_nobody_paid_is_named() {
    let mut run = consistent_run!();
    run.pay(1003).await;
    for (what, user, outcome) in [
        (Operation::Pay, 3, Outcome::Error),
        (Operation::Pay, 4, Outcome::Unknown),
        (Operation::Cancel, 3, Outcome::Unknown),
    ] {
        run.asked_about(what, 1003, user, outcome);
    }
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Unknown);
    run.move_last(REFUSED_AT_MS);
    let found = "1 offending: order 1003 (user 3)";
    run.expect_found(PAID, found).await;
    run.sql("UPDATE orders SET status = 3 WHERE order_id = 1003")
        .await;
    run.expect_found(PAID, found).await;
    run.asked_about(Operation::Pay, 1003, 3, Outcome::Unknown);
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn an_order_that_expired_too_early_is_named() {
    let mut run = consistent_run!();
    run.expire(1003, 9_000).await;
    run.engine_has(1);
    let found = "1 offending: order 1003 (user 3) need not be paid in time";
    run.expect_found(EXPIRED, found).await;
    run.sale.time_to_pay_ms = Some(10_000);
    let found = "1 offending: order 1003 (user 3) after 9000 ms of 10000";
    run.expect_found(EXPIRED, found).await;
    // A cancel by its buyer is no excuse.
    run.asked_about(Operation::Cancel, 1003, 3, Outcome::Unknown);
    run.expect_failed(&[EXPIRED]).await;
    run.sale.time_to_pay_ms = Some(9_100);
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn an_order_is_no_older_than_its_buyers_first_request() {
    let mut run = consistent_run!();
    run.sale.time_to_pay_ms = Some(10_000);
    run.expire(1003, 9_000).await;
    run.engine_has(1);
    run.sql("UPDATE orders SET created_at_ms = created_at_ms - 60000 WHERE order_id = 1003")
        .await;
    let found = "1 offending: order 1003 (user 3) after 9000 ms of 10000";
    run.expect_found(EXPIRED, found).await;
}

#[tokio::test]
async fn an_order_that_expired_and_is_not_cancelled_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE orders SET expired = 1 WHERE order_id = 1003")
        .await;
    let found = "1 offending: order 1003 (user 3) with status 0 and live 1 and expired 1";
    run.expect_found("statuses are legal", found).await;
}

/// User 20 cancels order 1020 and buys again.
async fn buy_again(run: &mut Run, at_ms: i64) {
    run.told(CANCELLED_USER, 1070, 1, Outcome::Accepted);
    run.move_last(at_ms);
    run.order(1070, CANCELLED_USER, 1).await;
    run.engine_has(-1);
}

#[tokio::test]
async fn a_buyer_may_cancel_and_buy_again_also_after_being_refused() {
    let mut run = consistent_run!();
    buy_again(&mut run, RELEASED_AT_MS + 100).await;
    run.refused_at(RELEASED_AT_MS + 50, CANCELLED_USER, 40);
    let report = run.expect_failed(&[]).await;
    assert_eq!(
        actual(&report, ONE_AT_A_TIME),
        "1 buyers with several orders, 2 in all, never two at once"
    );
}

#[tokio::test]
async fn an_order_while_the_earlier_one_was_surely_live_is_named() {
    let mut run = consistent_run!();
    // A moment before the cancel was sent.
    buy_again(&mut run, CHANGED_AT_MS - 2).await;
    let found =
        "1 offending: user 20 was told of order 1070 of product 1 while order 1020 was live";
    run.expect_found(ONE_AT_A_TIME, found).await;
}

#[tokio::test]
async fn an_order_that_was_told_while_the_cancel_was_under_way_passes() {
    let mut run = consistent_run!();
    buy_again(&mut run, CHANGED_AT_MS - 2).await;
    run.log.last_mut().expect("the buy").ended_at_unix_us = CHANGED_AT_MS * 1_000;
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn an_order_long_before_the_earlier_one_expired_is_named() {
    let mut run = consistent_run!();
    run.sale.time_to_pay_ms = Some(10_000);
    run.expire(1003, 10_000).await;
    run.told(3, 1070, 1, Outcome::Accepted);
    run.order(1070, 3, 1).await;
    run.move_last(START_MS + 9_600);
    let found = "1 offending: user 3 was told of order 1070 of product 1 while order 1003 was live";
    run.expect_found(ONE_AT_A_TIME, found).await;
    run.move_last(START_MS + 9_900);
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn two_live_orders_at_once_are_named_although_both_are_cancelled_later() {
    let mut run = consistent_run!();
    buy_again(&mut run, START_MS + 500).await;
    run.cancel(1070, RELEASED_AT_MS).await;
    run.engine_has(1);
    run.asked_about(Operation::Cancel, 1070, CANCELLED_USER, Outcome::Accepted);
    run.expect_failed(&[ONE_AT_A_TIME]).await;
}

#[tokio::test]
async fn a_lost_order_of_a_buyer_who_bought_again_is_named() {
    let mut run = consistent_run!();
    run.told(CANCELLED_USER, 1070, 1, Outcome::Accepted);
    run.move_last(RELEASED_AT_MS + 100);
    let found = "1 offending: order 1070 (user 20)";
    run.expect_found("every accepted order has a row", found)
        .await;
}

#[tokio::test]
async fn a_cancelled_order_may_be_named_again_until_its_release_and_not_afterwards() {
    let mut run = consistent_run!();
    run.told(CANCELLED_USER, 1020, 2, Outcome::Duplicate);
    run.move_last(RELEASED_AT_MS + 200);
    run.expect_failed(&[]).await;
    run.move_last(RELEASED_AT_MS + 1_000);
    let found = "1 offending: order 1020 (user 20), 1000 ms after its release";
    run.expect_found(GONE, found).await;
}
