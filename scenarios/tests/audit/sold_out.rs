//! Buyers who were told "sold out" while there was enough (f), and what excuses telling them so.

use crate::fixture::*;
use reports::outcome_log::{Operation, Outcome, Refusal};

const SOLD_OUT: &str = "sold out means sold";

#[tokio::test]
async fn a_refusal_while_enough_is_left_is_named() {
    let mut run = consistent_run!();
    run.told(62, 0, LEFT as u32, Outcome::Refused);
    let found = "1 offending: sale 1: 1 left; 1 of 2 told \"sold out\" wrongly, first user 62, who wanted 1 of 1";
    run.expect_found(SOLD_OUT, found).await;
}

#[tokio::test]
async fn a_refusal_before_the_last_unit_came_back_is_right() {
    let mut run = consistent_run!();
    run.refused_at(RELEASED_AT_MS - 1, 62, LEFT as u32);
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn a_cancelled_order_excuses_no_more_than_its_units() {
    let mut run = consistent_run!();
    run.add_units(2).await;
    run.refused_at(RELEASED_AT_MS - 1, 62, 2);
    run.expect_failed(&[]).await;
    run.refused_at(RELEASED_AT_MS - 1, 63, 1);
    let found = "1 offending: sale 1: 3 left; 1 of 3 told \"sold out\" wrongly, first user 63, who wanted 1 of 1";
    run.expect_found(SOLD_OUT, found).await;
}

#[tokio::test]
async fn units_that_came_back_long_before_excuse_nobody() {
    let mut run = consistent_run!();
    run.refused_at(RELEASED_AT_MS + 1_000, 62, LEFT as u32);
    run.expect_failed(&[SOLD_OUT]).await;
}

#[tokio::test]
async fn units_that_were_bought_only_later_excuse_nobody() {
    let mut run = consistent_run!();
    run.told(70, 1070, 1, Outcome::Accepted);
    run.move_last(START_MS + 900);
    run.order(1070, 70, 1).await;
    run.asked_about(Operation::Cancel, 1070, 70, Outcome::Accepted);
    run.cancel(1070, RELEASED_AT_MS).await;
    run.refused_at(START_MS + 500, 62, 2);
    run.expect_failed(&[]).await;
    run.add_units(3).await;
    let found = "1 offending: sale 1: 4 left; 1 of 2 told \"sold out\" wrongly, first user 62, who wanted 2 of 2";
    run.expect_found(SOLD_OUT, found).await;
}

#[tokio::test]
async fn a_release_that_the_engine_never_had_is_no_excuse_for_ever() {
    let mut run = consistent_run!();
    run.sql("UPDATE releases SET released_at_ms = NULL").await;
    run.expect_failed(&["no release is left"]).await;
    run.told(62, 0, LEFT as u32, Outcome::Refused);
    run.expect_failed(&["no release is left", SOLD_OUT]).await;
}

#[tokio::test]
async fn a_new_epoch_excuses_no_more_than_what_requests_without_rows_asked_for() {
    let mut run = consistent_run!();
    run.add_units(3).await;
    // The buyer with the unknown outcome and the one with the error may have held a unit each.
    run.reopen().await;
    run.told(62, 0, 3, Outcome::Refused);
    run.expect_failed(&[]).await;
    run.told(63, 0, 2, Outcome::Refused);
    let found = "1 offending: sale 1: 4 left; 1 of 3 told \"sold out\" wrongly, first user 63, who wanted 2 of 2";
    run.expect_found(SOLD_OUT, found).await;
}

#[tokio::test]
async fn without_a_new_epoch_requests_without_rows_excuse_nothing() {
    let mut run = consistent_run!();
    run.add_units(2).await;
    run.told(62, 0, 3, Outcome::Refused);
    run.expect_failed(&[SOLD_OUT]).await;
}

#[tokio::test]
async fn a_request_that_was_never_sent_or_sent_later_held_nothing() {
    let mut run = consistent_run!();
    run.reopen().await;
    run.refused_at(START_MS - 5_000, 62, LEFT as u32);
    run.expect_failed(&[SOLD_OUT]).await;
    run.log.pop();
    run.told(62, 0, LEFT as u32, Outcome::Refused);
    run.expect_failed(&[]).await;
    run.request_of(ERROR_USER).sent_at_unix_us = None;
    run.request_of(UNKNOWN_USER).sent_at_unix_us = None;
    run.expect_failed(&[SOLD_OUT]).await;
}

#[tokio::test]
async fn after_the_first_order_of_the_new_epoch_nothing_of_the_old_one_is_held() {
    let mut run = consistent_run!();
    run.add_units(1).await;
    run.reopen().await;
    run.told(62, 0, LEFT as u32, Outcome::Refused);
    run.expect_failed(&[]).await;
    run.told(70, 1070, 1, Outcome::Accepted);
    run.sql(&format!(
        "INSERT INTO orders VALUES (1070, 70, 1, 1, {PRICE_CENTS}, 2, 0, 1, {START_MS}, {START_MS}, 0);
         UPDATE allocations SET sold = 1 WHERE id = 2"
    ))
    .await;
    run.engine_stock[0].remaining -= 1;
    run.expect_failed(&[SOLD_OUT]).await;
}

#[tokio::test]
async fn a_voided_hold_excuses_its_units_until_they_must_be_back() {
    let mut run = consistent_run!();
    run.add_units(1).await;
    let voided_at_ms = REFUSED_AT_MS - 1_000;
    run.sql(&format!(
        "INSERT INTO orders VALUES (9042, {UNKNOWN_USER}, 1, 1, 0, 1, 4, NULL, {voided_at_ms}, {voided_at_ms}, 0)"
    ))
    .await;
    run.told(62, 0, 2, Outcome::Refused);
    run.expect_failed(&[]).await;
    run.told(63, 0, 1, Outcome::Refused);
    run.expect_failed(&[SOLD_OUT]).await;
    run.log.pop();
    run.refused_at(voided_at_ms + 10_000, 63, 2);
    run.expect_failed(&[SOLD_OUT]).await;
}

#[tokio::test]
async fn only_refusals_that_may_mean_sold_out_count() {
    let mut run = consistent_run!();
    for refusal in [
        Refusal::NotStarted,
        Refusal::Ended,
        Refusal::Limit,
        Refusal::NotAgain,
        Refusal::Conflict,
    ] {
        run.told(62, 0, LEFT as u32, Outcome::Refused);
        run.log.last_mut().expect("just added").refusal = Some(refusal);
    }
    run.expect_failed(&[]).await;
    run.told(62, 0, LEFT as u32, Outcome::Refused);
    run.log.last_mut().expect("just added").refusal = Some(Refusal::Other);
    run.expect_failed(&[SOLD_OUT]).await;
}

#[tokio::test]
async fn a_buyer_with_an_order_who_is_told_sold_out_counts_as_any_other() {
    let mut run = consistent_run!();
    run.told(5, 0, LEFT as u32, Outcome::Refused);
    run.expect_failed(&[SOLD_OUT]).await;
}

#[tokio::test]
async fn an_order_of_a_buyer_who_bought_again_excuses_only_what_came_after_it_was_asked_for() {
    let mut run = consistent_run!();
    run.add_units(2).await;
    // Order 1070 is held from 20 s to 21 s. Its buyer had another one until 2 s.
    run.told(CANCELLED_USER, 1070, 2, Outcome::Accepted);
    run.move_last(START_MS + 20_000);
    run.order(1070, CANCELLED_USER, 2).await;
    run.asked_about(Operation::Cancel, 1070, CANCELLED_USER, Outcome::Accepted);
    run.move_last(START_MS + 20_500);
    run.cancel_at(START_MS + 20_501, 1070, START_MS + 21_000)
        .await;
    run.refused_at(START_MS + 20_100, 62, 2);
    run.expect_failed(&[]).await;
    run.refused_at(START_MS + 10_000, 63, 2);
    let found = "1 offending: sale 1: 3 left; 1 of 3 told \"sold out\" wrongly, first user 63, who wanted 2 of 3";
    run.expect_found(SOLD_OUT, found).await;
    // Had the buyer asked in between without an answer, the order might have been of then.
    run.told(CANCELLED_USER, 0, 2, Outcome::Unknown);
    run.move_last(START_MS + 9_000);
    run.expect_failed(&[]).await;
    // But not from before the earlier order was asked for.
    run.move_last(START_MS - 9_000);
    run.refused_at(START_MS - 8_000, 64, 1);
    run.expect_failed(&[SOLD_OUT]).await;
}

#[tokio::test]
async fn a_duplicate_that_was_sent_first_says_that_the_order_was_held_since_then() {
    let mut run = consistent_run!();
    run.told(70, 1070, 1, Outcome::Accepted);
    run.move_last(START_MS + 900);
    run.order(1070, 70, 1).await;
    run.asked_about(Operation::Cancel, 1070, 70, Outcome::Accepted);
    run.cancel(1070, RELEASED_AT_MS).await;
    run.add_units(3).await;
    run.refused_at(START_MS + 500, 62, 2);
    run.expect_failed(&[SOLD_OUT]).await;
    run.told(70, 1070, 1, Outcome::Duplicate);
    run.move_last(START_MS + 600);
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn units_of_an_order_that_expired_are_back_with_its_release() {
    let mut run = consistent_run!();
    run.sale.time_to_pay_ms = Some(10_000);
    run.expire(1002, 10_000).await;
    run.engine_has(2);
    run.refused_at(START_MS + 9_000, 62, 2);
    run.expect_failed(&[]).await;
    run.refused_at(START_MS + 11_000, 63, 2);
    let found = "1 offending: sale 1: 3 left; 1 of 3 told \"sold out\" wrongly, first user 63, who wanted 2 of 3";
    run.expect_found(SOLD_OUT, found).await;
}

#[tokio::test]
async fn units_by_which_the_total_was_raised_excuse_nobody_after_the_next_epochs_first_order() {
    let mut run = consistent_run!();
    run.add_units(2).await;
    run.sale.total -= 2;
    run.sql(&format!(
        "INSERT INTO stock_changes VALUES ('key', 1, 2, {total}, {total}, {START_MS})",
        total = run.sale.total + 2
    ))
    .await;
    run.reopen().await;
    // Of 3 that are left 2 were not there; the requests without rows held none.
    run.request_of(ERROR_USER).sent_at_unix_us = None;
    run.request_of(UNKNOWN_USER).sent_at_unix_us = None;
    run.told(62, 0, 2, Outcome::Refused);
    run.expect_failed(&[]).await;
    run.told(70, 1070, 1, Outcome::Accepted);
    run.sql(&format!(
        "INSERT INTO orders VALUES (1070, 70, 1, 1, {PRICE_CENTS}, 2, 0, 1, {START_MS}, {START_MS}, 0);
         UPDATE allocations SET sold = 1 WHERE id = 2"
    ))
    .await;
    run.engine_has(-1);
    run.expect_failed(&[SOLD_OUT]).await;
}
