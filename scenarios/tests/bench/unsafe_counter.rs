//! `unsafe-counter` tells more buyers yes than there are units. The consumer's guard keeps the
//! database right, so what is left is a broken promise: the audit finds it, and the run does not
//! wait long for rows that never come.

use std::time::Duration;

use crate::{fresh_folder, lab, only_result, text};

/// Longest drain: until holds of orders that were refused are given back, and then for so long as
/// nothing moves. Far below what is waited for while something still can come.
const DRAIN_MOST: Duration = Duration::from_secs(40);

const SCENARIO: &str = r#"
title = "many buyers, few units"
question = "Is a counter that loses updates found out?"
engines = ["unsafe-counter"]
driver = "grpc"
ack = "confirmed"
rounds = 1

may_sell_out = true
unsafe_engines = true

[products]
total = 300
price_cents = 9_900

[load]
connections = 20
timeout = "2s"
users = 3_000
max_quantity = 1
seed = 1

[[phases]]
name = "measure"
purpose = "measure"
concurrency = 100
requests = 3_000
"#;

#[test]
fn a_counter_that_loses_updates_is_found_out_by_the_audit_and_not_waited_for() {
    let folder = fresh_folder("unsafe_counter");
    let scenario = folder.join("oversold.toml");
    std::fs::write(&scenario, SCENARIO).expect("written");
    let results = fresh_folder("unsafe_counter_results");
    let arguments = [
        "bench",
        scenario.to_str().expect("UTF-8"),
        "--stack",
        "embedded",
        "--set",
        "reconciler.grace_ms=2000",
    ];
    let output = lab(&results, &arguments).output().expect("lab starts");
    let (tables, log) = (text(&output.stdout), text(&output.stderr));
    // That the audit catches it is what is expected of it.
    assert_eq!(output.status.code(), Some(0), "{tables}\n{log}");
    assert!(tables.contains("caught unsafe-counter"), "{tables}");
    let result = only_result(&results);
    let leg = &result.legs[0];
    let failed: Vec<&str> = leg
        .audit
        .as_ref()
        .expect("audited")
        .failed_checks()
        .map(|check| check.name.as_str())
        .collect();
    // Told yes, and refused by the guard: void and parked, every one of them.
    assert!(failed.contains(&"no accepted order is void"), "{failed:?}");
    let error = leg.error.as_deref().unwrap_or_default();
    let waited_s: u64 = error
        .split_once("not drained within ")
        .and_then(|(_, rest)| rest.split_once(" s: 300 of "))
        .and_then(|(seconds, _)| seconds.parse().ok())
        .unwrap_or_else(|| panic!("every unit is sold, and no more: {error}"));
    assert!(waited_s < DRAIN_MOST.as_secs(), "{error}");
}
