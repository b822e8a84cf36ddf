//! Faults in the count of units: oversold (a), stranded (d), or refused while enough were left (f).

use crate::fixture::*;
use reports::outcome_log::Outcome;

#[tokio::test]
async fn an_oversold_unit_is_named_without_the_guard() {
    let mut run = consistent_run!();
    run.unprotect("allocations", "CONSTRAINT allocations_never_oversold")
        .await;
    run.told(80, 9080, 2, Outcome::Accepted);
    run.order(9080, 80, 2).await;
    run.engine_stock[0].remaining = -1;
    let report = run
        .expect_failed(&["sold within granted", "nothing is oversold"])
        .await;
    assert_eq!(
        actual(&report, "nothing is oversold"),
        "1 offending: sale 1: 32 sold of 31"
    );
}

#[tokio::test]
async fn rights_beyond_the_total_are_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE allocations SET granted = granted + 1")
        .await;
    run.engine_stock[0].remaining += 1;
    run.expect_failed(&["granted within total", "stock is conserved"])
        .await;
}

#[tokio::test]
async fn a_guard_that_miscounts_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE allocations SET sold = sold + 1").await;
    run.engine_stock[0].remaining -= 1;
    run.expect_failed(&["sold matches live rows", "stock is conserved"])
        .await;
}

#[tokio::test]
async fn an_order_that_names_no_allocation_of_its_sale_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE orders SET allocation_id = 77 WHERE order_id = 1003; UPDATE allocations SET sold = sold - 1").await;
    run.engine_stock.clear();
    run.expect_failed(&[
        "orders name an allocation of their sale",
        "stock is conserved",
    ])
    .await;
}

#[tokio::test]
async fn a_unit_stranded_in_a_closed_epoch_is_named() {
    let mut run = consistent_run!();
    let total = run.sale.total;
    run.sql("UPDATE allocations SET state = 'closed', granted = sold + 1")
        .await;
    run.sql("INSERT INTO allocations (product_id, epoch, granted) VALUES (1, 2, 0)")
        .await;
    run.engine_stock[0].remaining = 0;
    let found = format!(
        "1 offending: sale 1: 0 + 0 + {} = {} of {total}, 1 stranded",
        total - 1,
        total - 1
    );
    run.expect_found("stock is conserved", &found).await;
}

#[tokio::test]
async fn a_reopened_sale_that_kept_every_unit_passes() {
    let mut run = consistent_run!();
    run.reopen().await;
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn a_unit_that_the_only_pool_was_never_granted_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE allocations SET granted = granted - 1")
        .await;
    run.engine_stock[0].remaining -= 1;
    run.expect_failed(&["stock is conserved"]).await;
}

#[tokio::test]
async fn rights_between_a_pool_and_its_leases_pass_and_one_lost_on_the_way_is_named() {
    let mut run = consistent_run!();
    run.sql(&format!(
        "UPDATE allocations SET granted = granted - {LEFT}"
    ))
    .await;
    run.sql(&format!(
        "INSERT INTO allocations (product_id, epoch, holder, granted, owner) VALUES (1, 1, 'lease', {LEFT}, 7)"
    ))
    .await;
    run.expect_failed(&[]).await;
    run.sql("UPDATE allocations SET granted = 0 WHERE holder = 'lease'")
        .await;
    run.engine_stock.clear();
    run.expect_failed(&["stock is conserved"]).await;
}

#[tokio::test]
async fn a_sale_whose_total_was_changed_is_named() {
    let mut run = consistent_run!();
    run.sql("UPDATE sales SET total = total + 1").await;
    run.expect_failed(&["total as set up"]).await;
}

#[tokio::test]
async fn an_engine_with_open_holds_or_another_rest_is_named() {
    let mut run = consistent_run!();
    run.engine_stock[0].open_units = 1;
    run.expect_failed(&["the engine agrees"]).await;
    run.engine_stock[0].open_units = 0;
    run.engine_stock[0].remaining -= 1;
    run.expect_failed(&["the engine agrees"]).await;
}

#[tokio::test]
async fn a_total_that_was_changed_by_what_the_log_says_was_applied_passes() {
    let mut run = consistent_run!();
    let total = run.sale.total;
    run.add_units(3).await;
    run.sale.total = total;
    run.sql(&format!(
        "INSERT INTO stock_changes VALUES ('a', 1, 5, {total} + 5, {total} + 5, 1), \
         ('b', 1, -2, {total} + 3, {total} + 3, 2), ('c', 1, 40, {total} + 43, NULL, 3);
         UPDATE sales SET wanted_total = {total} + 43"
    ))
    .await;
    let report = run.expect_failed(&[]).await;
    let found = format!(
        "sale 1: {} in the database, {total} set up, +3 by 2 changes, {} wanted",
        total + 3,
        total + 43
    );
    assert_eq!(actual(&report, "total as set up"), found);
    run.sql("UPDATE stock_changes SET applied_total = NULL")
        .await;
    run.expect_failed(&[
        "granted within total",
        "total as set up",
        "stock is conserved",
    ])
    .await;
}

#[tokio::test]
async fn a_cut_that_was_applied_in_part_passes_and_one_that_was_not_applied_is_named() {
    let mut run = consistent_run!();
    let total = run.sale.total;
    // One unit was free, so of five one could be taken.
    run.sql(&format!(
        "INSERT INTO stock_changes VALUES ('a', 1, -5, {total} - 5, {total} - 1, 1);
         UPDATE sales SET total = total - 1; UPDATE allocations SET granted = granted - 1"
    ))
    .await;
    run.engine_has(-1);
    let report = run.expect_failed(&[]).await;
    let found = format!(
        "sale 1: {} in the database, {total} set up, -1 by 1 changes of which 4 more could not be cut",
        total - 1
    );
    assert_eq!(actual(&report, "total as set up"), found);
    for applied in ["wanted_total - 1", "wanted_total + 6", "wanted_total"] {
        run.sql(&format!(
            "UPDATE stock_changes SET applied_total = {applied}"
        ))
        .await;
        run.expect_failed(&[
            "granted within total",
            "nothing is oversold",
            "total as set up",
            "stock is conserved",
        ])
        .await;
    }
}
