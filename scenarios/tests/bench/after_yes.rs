//! Legs whose buyers cancel, pay and buy again while unpaid orders expire.

use std::process::Output;

use reports::result::{AuditVerdict, Operation};

use crate::{fresh_folder, has_servers, lab, measured, only_result, text};

const CHURN: &str = include_str!("../../catalog/cancel-churn.toml");

/// `cancel-churn` at a rate that a debug build keeps on a busy machine, for a shorter time, and by
/// buyers who leave such a machine the time to write their orders before they cancel. A machine whose
/// disk stands still for a second tells buyers to come back, which says nothing against the audit: that
/// nobody is told so is for the catalog's scenario, on a machine of its own, to expect.
fn churn(name: &str, arguments: &[&str]) {
    let folder = fresh_folder(name);
    let scenarios = fresh_folder(&format!("{name}_scenario"));
    let file = scenarios.join("small-churn.toml");
    let small = CHURN
        .replace("rate = 1_000\ntime = \"8s\"", "rate = 60\ntime = \"3s\"")
        .replace("rate = 500\ntime = \"3s\"", "rate = 20\ntime = \"1s\"")
        .replace("delay = \"50ms..500ms\"", "delay = \"500ms..1500ms\"")
        .replace("[\"errors==0\", \"gave_up==0\"]", "[]");
    for wanted in [
        "rate = 60",
        "rate = 20",
        "delay = \"500ms",
        "expectations = []",
    ] {
        assert!(small.contains(wanted), "the catalog has changed: {wanted}");
    }
    std::fs::write(&file, small).expect("written");
    let mut command = lab(&folder, &["bench", &file.display().to_string()]);
    let Output {
        status,
        stdout,
        stderr,
    } = command.args(arguments).output().expect("lab starts");
    let said = format!("{}\n{}", text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(0), "{said}");
    let result = only_result(&folder);
    let leg = &result.legs[0];
    let audit = leg.audit.as_ref().expect("audited");
    assert_eq!(audit.verdict, AuditVerdict::Passed, "{said}");
    let phase = measured(leg);
    for operation in [Operation::Cancel, Operation::Pay] {
        assert!(
            phase.operations[&operation].counts.accepted > 0,
            "{operation}"
        );
    }
    let again = phase.buy_again.as_ref().expect("bought again");
    assert!(again.hist.count > 0, "{again:?}");
}

#[test]
fn a_churn_on_the_embedded_stack_passes_its_audit() {
    let arguments = ["--stack", "embedded", "--engine", "preallocated"];
    churn("embedded_churn", &arguments);
}

#[test]
fn a_churn_on_servers_passes_its_audit() {
    if has_servers() {
        churn("servers_churn", &["--engine", "lua-single-key"]);
    }
}

/// Through the gateway, where each buyer has a token, which the order service believes.
#[test]
fn a_churn_over_http_passes_its_audit() {
    let arguments = [
        "--stack",
        "embedded",
        "--engine",
        "preallocated",
        "--driver",
        "http",
    ];
    churn("http_churn", &arguments);
}
