//! Reports are compared with files byte by byte. After an intended change, `UPDATE_GOLDEN=1 cargo
//! test -p reports` rewrites them, and the difference is reviewed.

mod sample;

use std::path::Path;

use reports::model::{AuditVerdict, RunResult, SCHEMA};
use reports::render::{as_markdown, as_text};

fn check(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).expect("the golden folder can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}; UPDATE_GOLDEN=1 writes it"));
    assert!(
        expected == actual,
        "{name} differs; UPDATE_GOLDEN=1 rewrites it.\n--- expected\n{expected}\n--- actual\n{actual}"
    );
}

#[test]
fn a_run_of_one_engine_looks_like_the_golden_file() {
    let run = sample::one_engine();
    check("one_engine.txt", &as_text(&run));
    check("one_engine.md", &as_markdown(&run));
    check("one_engine.json", &run.to_json());
}

#[test]
fn several_rounds_with_null_look_like_the_golden_file() {
    let run = sample::rounds_with_null();
    check("rounds_with_null.txt", &as_text(&run));
    check("rounds_with_null.md", &as_markdown(&run));
}

#[test]
fn an_incomplete_run_with_failures_looks_like_the_golden_file() {
    let run = sample::incomplete();
    check("incomplete.txt", &as_text(&run));
    check("incomplete.md", &as_markdown(&run));
}

#[test]
fn several_engines_without_servers_look_like_the_golden_file() {
    let run = sample::embedded();
    check("embedded.txt", &as_text(&run));
    check("embedded.md", &as_markdown(&run));
}

#[test]
fn figures_of_another_stack_are_never_mixed_in_without_saying_so() {
    let run = sample::embedded();
    for output in [as_text(&run), as_markdown(&run)] {
        assert!(
            output.contains("Go project, published, another stack"),
            "{output}"
        );
        assert!(
            output.contains("Skipped on this stack: lua-single-key (needs redis)."),
            "{output}"
        );
        assert!(output.contains("EMBEDDED stack"), "{output}");
    }
    assert!(!as_text(&sample::one_engine()).contains("another stack"));
}

#[test]
fn an_engine_that_lost_an_order_has_no_place_however_fast() {
    let mut run = sample::rounds_with_null();
    run.scenario.rounds = 1;
    run.legs.truncate(2);
    let mut faster = sample::leg("database-row", 1, 99_000.0);
    faster.audit = sample::incomplete().legs[0].audit.clone();
    run.legs.push(faster);
    let text = as_text(&run);
    let line = |engine: &str| {
        text.lines()
            .find(|line| line.contains(engine))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(line("lua-single-key").starts_with("│     1 ┆"), "{text}");
    assert!(
        line("database-row").starts_with("│     – ┆") && line("database-row").contains("FAILED"),
        "{text}"
    );
    assert!(line("null, not ranked").starts_with("│     – ┆"), "{text}");
}

#[test]
fn engines_whose_rounds_overlap_share_their_places() {
    let mut run = sample::rounds_with_null();
    for (round, near, far) in [
        (1, 12_900.0, 900.0),
        (2, 12_700.0, 800.0),
        (3, 13_100.0, 850.0),
    ] {
        run.legs.extend([
            sample::leg("preallocated", round, near),
            sample::leg("database-row", round, far),
        ]);
    }
    let text = as_text(&run);
    let place_of = |engine: &str| {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("┆ {engine} ")))
            .unwrap_or_default();
        line.trim_start_matches('│')
            .split('┆')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    assert_eq!(
        (place_of("preallocated"), place_of("lua-single-key")),
        ("1–2".to_owned(), "1–2".to_owned())
    );
    assert_eq!(place_of("database-row"), "3", "{text}");
}

#[test]
fn a_round_that_lost_an_order_costs_the_place_also_when_another_round_is_shown() {
    let mut run = sample::rounds_with_null();
    run.legs[2].audit = sample::incomplete().legs[0].audit.clone();
    let text = as_text(&run);
    let line = text
        .lines()
        .find(|line| line.contains("┆ lua-single-key"))
        .unwrap_or_default();
    assert!(
        line.starts_with("│     – ┆") && line.contains("passed, FAILED in round 2"),
        "{text}"
    );
}

#[test]
fn published_incomplete_and_unranked_are_said_in_every_output() {
    let mut run = sample::incomplete();
    run.legs.extend(
        sample::rounds_with_null()
            .legs
            .into_iter()
            .filter(|leg| leg.engine == "null"),
    );
    for output in [as_text(&run), as_markdown(&run)] {
        assert!(output.contains("PUBLISHED"), "{output}");
        assert!(output.contains("INCOMPLETE"), "{output}");
        assert!(
            output.contains("not ranked, audit not applicable"),
            "{output}"
        );
    }
    assert!(run.to_json().contains(r#""ack": "published""#));
}

#[test]
fn a_result_survives_being_written_and_read() {
    for run in [
        sample::one_engine(),
        sample::rounds_with_null(),
        sample::incomplete(),
        sample::embedded(),
    ] {
        assert_eq!(
            RunResult::from_json(&run.to_json()).expect("own output is read"),
            run
        );
    }
}

#[test]
fn another_schema_number_is_refused_by_its_number() {
    let text = sample::one_engine().to_json();
    assert_eq!(SCHEMA, 1);
    for (from, to, said) in [
        (
            r#""schema": 1"#,
            r#""schema": 2"#,
            "has schema 2, and this version reads only schema 1",
        ),
        (r#""schema": 1"#, r#""schema": "one""#, "has schema \"one\""),
        (r#""schema": 1,"#, "", "has schema none"),
    ] {
        let error = RunResult::from_json(&text.replacen(from, to, 1)).expect_err("refused");
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = RunResult::from_json("no JSON")
        .expect_err("refused")
        .to_string();
    assert!(error.contains("not a result of this tool"), "{error}");
}

#[test]
fn a_failed_check_fails_the_audit() {
    let failed = sample::incomplete().legs[0].audit.clone().expect("audited");
    assert_eq!(failed.verdict, AuditVerdict::Failed);
    assert_eq!(failed.failed_checks().count(), 1);
}
