//! Legs whose buyers come through the gateway.

use std::process::Output;

use reports::result::AuditVerdict;

use crate::{fresh_folder, lab, measured, only_result, text};

const BOTS: &str = include_str!("../../catalog/bots.toml");

/// `bots` with so few buyers that each asks about a hundred times within a second or two: many times
/// as often as the gateway lets a person ask.
#[test]
fn however_often_a_buyer_asks_over_http_no_limit_of_the_gateway_is_in_the_way() {
    let folder = fresh_folder("http_bots");
    let scenarios = fresh_folder("http_bots_scenario");
    let file = scenarios.join("few-bots.toml");
    let few = BOTS
        .replace("users = 2_000", "users = 20")
        .replace("concurrency = 500", "concurrency = 20")
        .replace("connections = 200", "connections = 20")
        .replace("time = \"3s\"", "time = \"300ms\"")
        .replace("requests = 200_000", "requests = 2_000");
    for wanted in ["users = 20\n", "time = \"300ms\"", "requests = 2_000\n"] {
        assert!(few.contains(wanted), "the catalog has changed: {wanted}");
    }
    std::fs::write(&file, few).expect("written");
    let file = file.display().to_string();
    let arguments = ["bench", &file, "--stack", "embedded", "--rounds", "1"];
    let of_driver = ["--engine", "preallocated", "--driver", "http"];
    let Output {
        status,
        stdout,
        stderr,
    } = lab(&folder, &[&arguments[..], &of_driver].concat())
        .output()
        .expect("lab starts");
    let said = format!("{}\n{}", text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(0), "{said}");
    let result = only_result(&folder);
    let leg = &result.legs[0];
    let phase = measured(leg);
    let told: Vec<_> = phase
        .statuses
        .iter()
        .map(|(told, count)| (&**told, *count))
        .collect();
    assert_eq!(told, [("200 OK", 2_000)]);
    assert_eq!(phase.outcomes().accepted, 20, "one order each");
    let audit = leg.audit.as_ref().expect("audited");
    assert_eq!(audit.verdict, AuditVerdict::Passed, "{said}");
}
