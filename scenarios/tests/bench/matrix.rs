//! Several scenarios in one run: their legs take turns, and one result holds them all.

use std::process::Output;

use reports::result::{AuditVerdict, RunKind};

use crate::{fresh_folder, lab, only_result, text};

const SMALL: &str = r#"
title = "two hundred buyers"
question = "Does a second scenario run beside the first?"
engines = ["database-row"]
driver = "grpc"
ack = "confirmed"
rounds = 1
expectations = ["errors==0"]

[products]
count = 2
total = 1_000
price_cents = 100

[load]
connections = 5
timeout = "5s"
users = 1_000
max_quantity = 1
seed = 3

[[phases]]
name = "warm-up"
purpose = "warm-up"
concurrency = 10
requests = 50

[[phases]]
name = "measure"
purpose = "measure"
concurrency = 10
requests = 200
"#;

#[test]
fn several_scenarios_take_turns_and_share_one_result() {
    let folder = fresh_folder("matrix_run");
    let file = folder.join("small.toml");
    std::fs::write(&file, SMALL).expect("written");
    let out = folder.join("out");
    let arguments = ["bench", "smoke", &file.display().to_string()];
    let options = [
        "--stack", "embedded", "--rounds", "3", "--seed", "5", "--open",
    ];
    let engines = ["--engine", "preallocated", "--engine", "database-row"];
    let mut command = lab(&out, &[&arguments[..], &options, &engines].concat());
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("lab starts");
    let (screen, log) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(0), "{screen}\n{log}");
    let page = log.lines().find(|line| line.starts_with("page: "));
    assert!(
        page.is_some_and(|line| line.contains(".html (no display here")),
        "{log}"
    );
    let run = only_result(&out);
    assert_eq!(run.kind, RunKind::Matrix);
    assert!(run.id.contains("-matrix-"), "{}", run.id);
    let names: Vec<&str> = run.scenarios.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["smoke", "small"]);
    // An engine that runs in both is one subject.
    let subjects: Vec<&str> = run.subjects.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(subjects, ["preallocated", "database-row"]);
    assert_eq!(run.legs.len(), 2 * 2 * 3);
    for round in 1..=3 {
        let of_round = |leg: &&reports::result::Leg| leg.round == round;
        let positions: Vec<u32> = run
            .legs
            .iter()
            .filter(of_round)
            .map(|leg| leg.position)
            .collect();
        let first = (round - 1) * 4 + 1;
        assert_eq!(positions, (first..first + 4).collect::<Vec<_>>());
    }
    for leg in &run.legs {
        let audit = leg.audit.as_ref().expect("audited");
        assert_eq!(audit.verdict, AuditVerdict::Passed, "{:?}", audit.checks);
    }
    // Each scenario's expectations are held against its own legs.
    assert_eq!(run.expectations.len(), run.legs.len());
    for scenario in names {
        assert!(screen.contains(scenario), "{screen}");
    }
}
