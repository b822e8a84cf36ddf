//! Phases by time, open loops, other drivers and profilers, in whole runs without servers.

use std::path::Path;
use std::process::Output;

use reports::result::{AuditVerdict, Flag, Leg, LimitBy, Operation, Run, metric};

use crate::{fresh_folder, lab, leg, measured, only_result, text, told};

/// A closed calibration, and then an open loop at a share of it.
const OPEN: &str = r#"
title = "an open loop at a tenth of what a closed one reaches"
question = "Does it keep its rate?"
engines = ["preallocated"]
driver = "grpc"
rounds = 1
expectations = ["errors==0", "dropped==0"]

[products]
count = 3
price_cents = 100

[load]
connections = 10
timeout = "5s"
max_quantity = 2
seed = 1
popularity = "zipf"
zipf_exponent = 1.0

[[phases]]
name = "warm-up"
purpose = "warm-up"
concurrency = 20
requests = 200

[[phases]]
name = "calibrate"
purpose = "calibrate"
concurrency = 20
time = "1s"

[[phases]]
name = "measure"
purpose = "measure"
arrival = "poisson"
rate = "10% of calibrate"
time = "2s"
"#;

fn run(folder: &Path, scenario: &str, more: &[&str]) -> (Run, String) {
    let arguments = [&["bench", scenario, "--stack", "embedded"], more].concat();
    let Output {
        status,
        stdout,
        stderr,
    } = lab(folder, &arguments).output().expect("lab starts");
    let (screen, log) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(0), "{screen}\n{log}");
    (only_result(folder), screen)
}

fn audited(leg: &Leg) -> AuditVerdict {
    leg.audit.as_ref().expect("audited").verdict.clone()
}

#[test]
fn an_open_loop_runs_at_a_share_of_its_calibration_and_accounts_for_every_request() {
    let folder = fresh_folder("open_loop");
    let scenario = folder.join("open.toml");
    std::fs::write(&scenario, OPEN).expect("written");
    let results = fresh_folder("open_loop_results");
    let (result, _) = run(&results, scenario.to_str().expect("UTF-8"), &[]);
    let leg = &result.legs[0];
    assert_eq!(audited(leg), AuditVerdict::Passed);
    let [_, calibrated, phase] = leg.phases.as_slice() else {
        panic!("{} phases", leg.phases.len())
    };
    let offered_per_s = phase.offered_per_s.expect("open");
    let share = offered_per_s / calibrated.finished_per_s();
    assert!((0.08..0.12).contains(&share), "{share}");
    assert_eq!(
        phase.due,
        phase.sent + phase.dropped_in_all() + phase.waiting_at_end
    );
    assert_eq!(phase.finished, phase.outcomes().total());
    assert!(phase.send_lag.as_ref().expect("open").count == phase.sent);
    assert!(calibrated.little.as_ref().expect("closed").holds());
    for id in [
        "p99_ms",
        "p99_sent_ms",
        "send_lag_p99_ms",
        "cpu_us_per_request",
    ] {
        assert!(metric(id).expect("known").of(leg) > Some(0.0), "{id}");
    }
    // The window is known, and so is everything in it.
    assert_ne!(phase.limit.by, LimitBy::Unknown, "{:?}", phase.limit);
    assert!(phase.usage.contains_key("driver") && phase.usage.contains_key("all"));
    assert_eq!(result.scenarios[0].phases[2].products, [1, 2, 3]);
}

#[test]
fn a_phase_that_ends_by_time_lasts_so_long_and_neither_data_nor_stock_ends_before() {
    let results = fresh_folder("by_time");
    let more = ["--engine", "preallocated", "--time", "1.5s"];
    let (result, screen) = run(
        &results,
        "many-products",
        &[&more[..], &["--rounds", "1"]].concat(),
    );
    let leg = &result.legs[0];
    let seconds = measured(leg).length_ns as f64 / 1e9;
    // It ends with the replies to what was under way.
    assert!((1.4..8.0).contains(&seconds), "{seconds} s");
    assert!(told(leg).0 > 100 && leg.flags.contains(&Flag::ShortWindow));
    for flag in [Flag::DataWrapped, Flag::StockEnded] {
        assert!(!leg.flags.contains(&flag), "{:?}", leg.flags);
    }
    assert!(measured(leg).operations[&Operation::Buy].units_accepted > 0);
    assert!(!screen.is_empty());
}

#[test]
fn an_expectation_of_the_command_line_that_is_missed_fails_the_run() {
    let folder = fresh_folder("expected");
    let arguments = [
        "bench",
        "smoke",
        "--stack",
        "embedded",
        "--engine",
        "database-row",
        "--requests",
        "300",
        "--expect",
        "accepted<300",
    ];
    let output = lab(&folder, &arguments).output().expect("lab starts");
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.contains("expected accepted<300, and it was 300"),
        "{log}"
    );
}

#[test]
fn a_profiled_run_leaves_a_flame_graph_of_each_process_and_says_that_it_was_profiled() {
    if let Err(why) = scenarios::profile::Profiler::find() {
        eprintln!("ignored: {why:#}");
        return;
    }
    let folder = fresh_folder("profiled");
    let arguments = [
        "bench",
        "smoke",
        "--stack",
        "embedded",
        "--engine",
        "database-row",
        "--requests",
        "3000",
        "--profile",
    ];
    let output = lab(&folder, &arguments).output().expect("lab starts");
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    let graphs = std::fs::read_dir(&folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "svg"));
    let graphs: Vec<String> = graphs.map(|path| path.display().to_string()).collect();
    assert!(
        graphs.iter().any(|path| path.ends_with("-all.svg")),
        "{graphs:?}\n{log}"
    );
    let json = std::fs::read_dir(&folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .find(|path| path.extension().is_some_and(|ending| ending == "json"))
        .expect("a result");
    let text = std::fs::read_to_string(json).expect("readable");
    let result = Run::from_json(&text).expect("own result");
    assert!(result.legs[0].flags.contains(&Flag::Profiled));
}

#[test]
#[ignore = "nightly: needs ghz"]
fn a_run_under_ghz_is_audited_and_says_what_it_cannot_see() {
    if let Err(why) = scenarios::ghz::Ghz::find() {
        eprintln!("ignored: {why:#}");
        return;
    }
    let results = fresh_folder("under_ghz");
    let more = [
        "--engine",
        "preallocated",
        "--driver",
        "grpc",
        "--driver",
        "ghz",
    ];
    let (result, _) = run(&results, "smoke", &more);
    let ids: Vec<&str> = result.legs.iter().map(|leg| leg.subject.as_str()).collect();
    assert_eq!(ids.len(), 2);
    let leg = leg(&result, "preallocated, ghz");
    assert_eq!(told(leg), (2_000, 2_000));
    assert_eq!(audited(leg), AuditVerdict::Passed);
    let audit = leg.audit.as_ref().expect("audited");
    assert!(!audit.blind_spots.is_empty());
    assert!(
        audit
            .checks
            .iter()
            .any(|check| check.name == "as many orders as answers")
    );
    assert!(measured(leg).usage.contains_key("driver"));
}

#[test]
#[ignore = "nightly: a search takes a leg per step"]
fn a_search_ends_with_a_bracket_and_its_ratio_to_saturation() {
    let folder = fresh_folder("search");
    let scenario = folder.join("search.toml");
    let text = OPEN
        .replace("rate = \"10% of calibrate\"", "rate = \"60% of calibrate\"")
        .replace(
            "[products]",
            "[objective]\nsearch = true\np99 = \"200ms\"\nfailed_share = 0.0\n\n[products]",
        );
    std::fs::write(&scenario, text).expect("written");
    let results = fresh_folder("search_results");
    let (result, screen) = run(&results, scenario.to_str().expect("UTF-8"), &[]);
    let search = &result.searches[0];
    assert!(search.holds_per_s.is_some(), "{search:?}\n{screen}");
    assert!(search.holds_per_s < search.fails_per_s.or(Some(f64::MAX)));
    assert!(search.saturated_per_s > Some(0.0) && search.probes.len() > 3);
    assert!(
        result
            .legs
            .iter()
            .all(|leg| audited(leg) == AuditVerdict::Passed)
    );
}
