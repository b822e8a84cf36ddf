//! What is easy to overlook: a yes about an order that is gone that was nobody's duplicate, a sale
//! whose engine was not asked, refusals after an epoch in which nothing was sold, and how many checks
//! a run says that it made.

use crate::fixture::*;
use reports::outcome_log::Outcome;
use scenarios::audit::{ExpectedSale, audit};

const ENGINE: &str = "the engine agrees";

/// The request of user 41 was not answered; their order expires, and its units go back.
async fn unanswered_order_expires(run: &mut Run) {
    run.sale.time_to_pay_ms = Some(10_000);
    run.expire(1000 + UNKNOWN_USER_WITH_ROW, 10_000).await;
    run.engine_has(2);
}

#[tokio::test]
async fn the_first_yes_about_an_order_whose_units_went_back_long_before_is_named() {
    let mut run = consistent_run!();
    unanswered_order_expires(&mut run).await;
    let (user, order_id) = (UNKNOWN_USER_WITH_ROW, 1000 + UNKNOWN_USER_WITH_ROW);
    run.told(user, order_id, 2, Outcome::Accepted);
    // The units were back 10 ms after it expired.
    run.move_last(START_MS + 10_100);
    run.expect_failed(&[]).await;
    run.move_last(START_MS + 11_010);
    let found = "1 offending: order 1041 (user 41), 1000 ms after its release";
    run.expect_found("no yes about an order that was gone", found)
        .await;
}

#[tokio::test]
async fn a_sale_whose_engine_was_not_asked_is_named_where_that_of_another_was() {
    let mut run = consistent_run!();
    run.sql(&format!(
        "INSERT INTO products (id, name, description, price_cents, sale_starts_at, sale_ends_at, created_at, updated_at) \
         VALUES (2, 'q', '', {PRICE_CENTS}, 0, 1, 0, 0);
         INSERT INTO sales (product_id, total, newest_epoch) VALUES (2, 5, 1);
         INSERT INTO allocations (id, product_id, epoch, granted) VALUES (20, 2, 1, 5)"
    ))
    .await;
    let mut input = run.input();
    input.sales.push(ExpectedSale {
        product_id: 2,
        total: 5,
        ..run.sale
    });
    let report = audit(&input).await.expect("judged");
    let failed: Vec<&str> = report.failed_checks().map(|it| it.name.as_str()).collect();
    assert_eq!(failed, [ENGINE], "{}", scenarios::audit::text(&report));
    assert_eq!(
        actual(&report, ENGINE),
        "1 offending: sale 2: the engine was not asked"
    );
}

#[tokio::test]
async fn an_engine_that_was_not_asked_at_all_is_said() {
    let mut run = consistent_run!();
    let report = run.expect_failed(&[]).await;
    assert_eq!(report.blind_spots, [] as [&str; 0]);
    run.engine_stock.clear();
    let report = run.expect_failed(&[]).await;
    assert_eq!(
        report.blind_spots,
        ["the engine's own count of what is left: it was not asked"]
    );
}

#[tokio::test]
async fn a_refusal_long_after_a_raise_is_named_although_nothing_was_bought_since() {
    let mut run = consistent_run!();
    let total = run.sale.total;
    run.reopen().await;
    run.sql(&format!(
        "UPDATE allocations SET granted = granted + 5 WHERE id = 2; UPDATE sales SET total = total + 5;
         INSERT INTO stock_changes VALUES ('a', 1, 5, {total} + 5, {total} + 5, 1)"
    ))
    .await;
    run.engine_has(5);
    // When the epoch with the raise was open is not known: it may have been after the refusal.
    run.expect_failed(&[]).await;
    // The engine of that epoch took the cancelled units a minute before.
    run.sql("UPDATE releases SET epoch = 2").await;
    let found = "1 offending: sale 1: 6 left; 1 of 1 told \"sold out\" wrongly, first user 61, who wanted 5 of 6";
    run.expect_found("sold out means sold", found).await;
}

#[tokio::test]
async fn the_readme_says_how_many_checks_a_run_makes() {
    let run = consistent_run!();
    let report = run.expect_failed(&[]).await;
    let readme = include_str!("../../../README.md");
    let said = readme.split_once("Audit passed in ").expect("a sample").1;
    let numbers = said.split_once(')').expect("a number of checks").0;
    let numbers: Vec<usize> = numbers
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect();
    let [legs, checks] = numbers[..] else {
        panic!("{numbers:?}")
    };
    assert_eq!(checks, legs * report.checks.len());
}
