//! `[load.after]` and `time_to_pay`: what they mean, and what is refused.

use std::time::Duration;

use scenarios::catalog;
use scenarios::scenario::{After, Scenario};

use super::SMOKE;

const AFTER: &str = "\n[load.after]\ncancel = 0.25\npay = 0.5\ndelay = \"50ms..500ms\"\n";

/// `smoke` with some text replaced, behind it the table.
fn parse(after: &str, from: &str, to: &str) -> Result<Scenario, String> {
    assert!(SMOKE.contains(from), "smoke.toml has no {from}");
    let text =
        SMOKE
            .replacen(from, to, 1)
            .replacen("\n[[phases]]", &format!("{after}\n[[phases]]"), 1);
    Scenario::parse("my", "my.toml", &text).map_err(|error| error.to_string())
}

#[test]
fn what_follows_the_yes_has_shares_and_a_time() {
    let scenario = parse(
        AFTER,
        "total = 10_000",
        "total = 10_000\ntime_to_pay = \"2s\"",
    );
    let scenario = scenario.expect("valid");
    let after = scenario.load.after.expect("there");
    let expected = After {
        cancel: 0.25,
        pay: 0.5,
        cancel_and_pay: 0.0,
        again: 0.0,
        twice: 0.0,
        delay_min: Duration::from_millis(50),
        delay_max: Duration::from_millis(500),
    };
    assert_eq!(after, expected);
    assert_eq!(scenario.products.time_to_pay, Some(Duration::from_secs(2)));
    let same = parse(&AFTER.replace("50ms..500ms", "1s"), "errors", "errors");
    let after = same.expect("valid").load.after.expect("there");
    assert_eq!(
        (after.delay_min, after.delay_max),
        (Duration::from_secs(1), Duration::from_secs(1))
    );
    let smoke = catalog::load("smoke").expect("known");
    assert_eq!((smoke.load.after, smoke.products.time_to_pay), (None, None));
}

#[test]
fn mistakes_in_it_are_refused_with_their_line_and_what_is_allowed() {
    // The table begins in line 20 of the file.
    for (from, to, said) in [
        (
            "cancel = 0.25",
            "cancel = 1.5",
            "21: cancel = 1.5 is out of range; allowed: 0 to 1",
        ),
        (
            "pay = 0.5",
            "pay = 0.8",
            "22: cancel, pay and cancel_and_pay are 1.05 together",
        ),
        (
            "cancel = 0.25",
            "cancel = 0.2\ncancel_and_pay = 0.31",
            "23: cancel, pay and cancel_and_pay are 1.01 together",
        ),
        (
            "cancel = 0.25\npay = 0.5",
            "again = 0.5",
            "20: nothing follows; allowed: a share of cancel, pay or cancel_and_pay",
        ),
        (
            "cancel = 0.25",
            "twice = 0.5",
            "21: twice is a share of the cancels, of which there are none",
        ),
        (
            "50ms..500ms",
            "500ms..50ms",
            "23: delay = 500ms..50ms is out of range; allowed: from a shorter to a longer time, 0s to 60s",
        ),
        (
            "50ms..500ms",
            "soon",
            "23: \"soon\": \"soon\" is no length of time",
        ),
        ("pay = 0.5", "payed = 0.5", "22: unknown field `payed`"),
        ("delay = \"50ms..500ms\"", "", "20: missing field `delay`"),
    ] {
        let after = AFTER.replacen(from, to, 1);
        let error = parse(&after, "errors", "errors").expect_err(to);
        let said = format!("my.toml:{said}");
        assert!(error.starts_with(&said), "{to}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    for (from, to, said) in [
        (
            "driver = \"grpc\"",
            "driver = \"ghz\"",
            "my.toml:4: the driver ghz only buys; allowed with [load.after]: grpc",
        ),
        (
            "driver = \"grpc\"",
            "driver = \"grpc\"\nconsumer = \"held-back\"",
            "my.toml:5: orders without rows can be neither cancelled nor paid",
        ),
    ] {
        let error = parse(AFTER, from, to).expect_err(to);
        assert!(error.starts_with(said), "{to}: {error}");
    }
    for time in ["1500ms", "0s", "2h"] {
        let to = format!("total = 10_000\ntime_to_pay = \"{time}\"");
        let error = parse("", "total = 10_000", &to).expect_err(time);
        assert!(error.starts_with("my.toml:11: time_to_pay = "), "{error}");
        assert!(
            error.contains("allowed: whole seconds, 1s to 3600s"),
            "{error}"
        );
    }
}

/// Who cancels or pays before there is a row is turned away for now, and where as many come as can be
/// served, rows fall behind.
#[test]
fn no_scenario_expects_that_a_saturating_crowd_can_cancel_without_an_error() {
    let mut followed = 0;
    for scenario in catalog::all().expect("valid") {
        if scenario.load.after.is_none() {
            continue;
        }
        followed += 1;
        let measured = &scenario.phases[scenario.measured_phase()];
        let expects_none = scenario
            .expectations
            .iter()
            .any(|it| it.metric.id == "errors");
        assert!(
            expects_none && measured.arrival.is_open(),
            "{}",
            scenario.name
        );
    }
    assert!(followed >= 2, "{followed}");
}

#[test]
fn there_are_units_for_those_who_buy_again() {
    let scenario = catalog::load("cancel-churn").expect("known");
    let after = scenario.load.after.expect("there");
    let requests = scenario.expected_requests(1, |_| None).expect("by time");
    let purchases = requests as f64 * (1.0 + (after.cancel + after.cancel_and_pay) * after.again);
    let units = scenario.sales_of(1)[0].total as f64;
    assert!(
        units >= purchases * f64::from(scenario.load.max_quantity),
        "{units}"
    );
}

#[test]
fn a_record_tells_apart_what_follows_the_yes() {
    let scenario = catalog::load("cancel-churn").expect("known");
    let record = scenario.record();
    assert_eq!(record.time_to_pay_ns, Some(2_000_000_000));
    let after = record.phases[1].data.after.as_ref().expect("recorded");
    assert_eq!((after.cancel, after.delay_max_ns), (0.4, 500_000_000));
    let mut later = scenario.clone();
    later.products.time_to_pay = Some(Duration::from_secs(3));
    let mut fewer = scenario.clone();
    fewer.load.after = None;
    for other in [later, fewer] {
        assert_ne!(other.record().sha256, record.sha256);
    }
}
