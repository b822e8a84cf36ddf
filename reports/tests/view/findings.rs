//! What was found about legs: limits and audits.

use reports::result::*;
use std::collections::BTreeMap;

pub fn limit(by: LimitBy, share: f64) -> Limit {
    Limit {
        by,
        process: None,
        thread: None,
        share: Some(share),
        evidence: BTreeMap::from([
            ("busiest_thread_share".to_owned(), 0.71),
            ("idle_share".to_owned(), 0.012),
            ("steal_share".to_owned(), 0.002),
        ]),
    }
}

pub fn thread_limit(process: &str, thread: &str) -> Limit {
    Limit {
        process: Some(process.to_owned()),
        thread: Some(thread.to_owned()),
        ..limit(LimitBy::Thread, 0.97)
    }
}

pub fn check(name: &str, invariant: &str, fault: Option<(&str, &str)>) -> AuditCheck {
    let (expected, actual) = fault.unwrap_or(("0", "0"));
    AuditCheck {
        name: name.to_owned(),
        invariant: invariant.to_owned(),
        passed: fault.is_none(),
        expected: expected.to_owned(),
        actual: actual.to_owned(),
    }
}

pub fn passed() -> AuditReport {
    AuditReport::of(vec![
        check("granted units are at most the total", "a", None),
        check("every accepted order has exactly one row", "b", None),
        check("one live order per buyer and product", "c", None),
        check("total = remaining + open + sold", "d", None),
        check("no order of a refused buyer", "e", None),
        check("everything is sold when demand exceeds stock", "f", None),
    ])
}
