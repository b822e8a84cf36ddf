//! Whole runs: consistent ones pass, what cannot be judged is an error, and `lab audit` ends with
//! the right exit code.

use crate::fixture::*;
use reports::{
    outcome_log::Outcome,
    result::{AuditReport, AuditVerdict},
};
use scenarios::audit::audit;

#[tokio::test]
async fn a_consistent_run_passes_with_every_check() {
    let run = consistent_run!();
    let report = run.expect_failed(&[]).await;
    let mut invariants: Vec<&str> = report
        .checks
        .iter()
        .map(|check| check.invariant.as_str())
        .collect();
    invariants.dedup();
    assert_eq!(invariants, ["a", "b", "c", "d", "e", "f"]);
    assert!(
        report
            .checks
            .iter()
            .all(|check| !check.actual.is_empty() && !check.expected.is_empty())
    );
}

#[tokio::test]
async fn a_database_of_an_older_version_is_read_as_if_nothing_had_expired_or_been_changed() {
    let mut run = consistent_run!();
    run.sql("ALTER TABLE orders DROP COLUMN expired; DROP TABLE stock_changes")
        .await;
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn an_unknown_outcome_passes_with_and_without_a_row() {
    let mut run = consistent_run!();
    run.expect_failed(&[]).await;
    run.sql(&format!(
        "DELETE FROM orders WHERE user_id = {UNKNOWN_USER_WITH_ROW}"
    ))
    .await;
    run.sql("UPDATE allocations SET sold = sold - 2").await;
    run.order(9001, UNKNOWN_USER, 1).await;
    run.engine_stock[0].remaining = LEFT + 1;
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn a_retry_may_be_given_the_order_of_its_first_request() {
    let mut run = consistent_run!();
    let first = run.request_of(UNKNOWN_USER_WITH_ROW);
    first.sent_at_unix_us = Some(START_MS * 1_000 - 1_000);
    run.told(
        UNKNOWN_USER_WITH_ROW,
        1000 + UNKNOWN_USER_WITH_ROW,
        1,
        Outcome::Accepted,
    );
    run.expect_failed(&[]).await;
}

#[tokio::test]
async fn several_drivers_logs_are_judged_together() {
    let run = consistent_run!();
    let mut input = run.input();
    let (first, second) = run.log.split_at(7);
    input.logs = vec![
        run.write_log(first, "1.log"),
        run.write_log(second, "2.log"),
    ];
    assert_eq!(
        audit(&input).await.expect("judged").verdict,
        AuditVerdict::Passed
    );
    input.logs.pop();
    assert_eq!(
        audit(&input).await.expect("judged").verdict,
        AuditVerdict::Failed
    );
}

#[tokio::test]
async fn of_many_faults_five_are_named_and_all_are_counted() {
    let mut run = consistent_run!();
    run.sql(
        "INSERT INTO orders WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
         SELECT 20000 + i, 20000 + i, 1, 1, 9900, 1, 2, NULL, 0, 0, 0 FROM n",
    )
    .await;
    let report = run
        .expect_failed(&[
            "cancelled orders were cancelled by their buyer",
            "every cancelled order has one release",
            "no order from nowhere",
        ])
        .await;
    let found = actual(&report, "no order from nowhere");
    assert!(
        found.starts_with("900 offending: order 20001 (user 20001), "),
        "{found}"
    );
    assert!(
        found.ends_with(" and 895 more") && found.matches("order ").count() == 5,
        "{found}"
    );
}

#[tokio::test]
async fn a_run_that_cannot_be_judged_is_an_error_and_not_a_pass() {
    let run = consistent_run!();
    let mut input = run.input();
    input.logs = vec![run.write_log(&[], "empty.log")];
    let message = format!("{:#}", audit(&input).await.expect_err("no request"));
    assert!(message.contains("empty.log holds no requests"), "{message}");

    input.logs.clear();
    let message = format!("{:#}", audit(&input).await.expect_err("no log"));
    assert!(message.contains("no outcome log"), "{message}");

    let mut input = run.input();
    input.engine_stock.clear();
    input.sales[0].product_id = 2;
    let message = format!(
        "{:#}",
        audit(&input).await.expect_err("another product was sold")
    );
    assert!(message.contains("product 1 was sold"), "{message}");

    let mut input = run.input();
    input.sales.push(scenarios::audit::ExpectedSale {
        product_id: 2,
        ..run.sale
    });
    let message = format!("{:#}", audit(&input).await.expect_err("an unknown sale"));
    assert!(
        message.contains("sale 2 is not in the database; it has: 1"),
        "{message}"
    );
}

#[tokio::test]
async fn lab_audit_ends_with_one_and_names_the_check() {
    let mut run = consistent_run!();
    let output = run.lab_audit();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("audit passed"), "{text}");

    let faults = [
        (
            "UPDATE orders SET total_price_cents = 1 WHERE order_id = 1005",
            "prices as quoted",
        ),
        (
            "DELETE FROM orders WHERE order_id = 1003",
            "every accepted order has a row",
        ),
        (
            "INSERT INTO orders VALUES (9061, 61, 1, 1, 9900, 1, 0, 1, 0, 0, 0)",
            "refused buyers have no order",
        ),
        (
            "INSERT INTO orders VALUES (9999, 999, 1, 1, 9900, 1, 0, 1, 0, 0, 0)",
            "no order from nowhere",
        ),
    ];
    for (statement, name) in faults {
        run.sql(statement).await;
        let output = run.lab_audit();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("audit FAILED") && last.contains(name),
            "{text}"
        );
        let json = std::fs::read_to_string(run.json_path()).expect("the report as JSON");
        let report: AuditReport = serde_json::from_str(&json).expect("a report");
        assert!(report.failed_checks().any(|check| check.name == name));
    }
}
