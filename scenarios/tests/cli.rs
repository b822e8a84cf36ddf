//! The command line as its users meet it: exit codes, one clear sentence per error, and the dry
//! run.

use std::path::PathBuf;
use std::process::{Command, Output};

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(arguments)
        .output()
        .expect("lab starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Standard error of a command that must end with this exit code and print no result.
fn refused(arguments: &[&str], exit_code: i32) -> String {
    let output = lab(arguments);
    let error = text(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(exit_code),
        "{arguments:?}: {error}"
    );
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    assert!(error.starts_with("error: "), "{arguments:?}: {error}");
    error
}

/// One sentence, in one line.
fn refused_in_one_line(arguments: &[&str], exit_code: i32) -> String {
    let error = refused(arguments, exit_code);
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    error.trim_end().to_owned()
}

fn scenario_file(name: &str, from: &str, to: &str) -> PathBuf {
    let smoke = include_str!("../catalog/smoke.toml");
    assert!(smoke.contains(from), "smoke.toml has no {from}");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, smoke.replacen(from, to, 1)).expect("written");
    path
}

#[test]
fn an_unknown_scenario_lists_the_known_ones() {
    let error = refused_in_one_line(&["bench", "smok", "--dry-run"], 2);
    assert_eq!(
        error,
        "error: unknown scenario \"smok\"; known: smoke, laptop, 4c4g, engines, soldout, backlog, or the path of a .toml file"
    );
}

#[test]
fn a_scenario_file_that_is_not_there_is_named() {
    let error = refused_in_one_line(&["bench", "./nowhere.toml", "--dry-run"], 2);
    assert!(
        error.contains("./nowhere.toml: the scenario file cannot be read"),
        "{error}"
    );
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_what_is_allowed() {
    let path = scenario_file("unknown_key.toml", "rounds = 1", "round = 1");
    let error = refused_in_one_line(&["bench", path.to_str().expect("UTF-8"), "--dry-run"], 2);
    assert!(
        error.contains("unknown_key.toml:6: unknown field `round`"),
        "{error}"
    );
    assert!(
        error.contains("`rounds`") && error.contains("`engines`"),
        "{error}"
    );
}

#[test]
fn a_scenario_with_zero_requests_is_refused_with_its_line() {
    let path = scenario_file("zero_requests.toml", "requests = 2_000", "requests = 0");
    let error = refused_in_one_line(&["bench", path.to_str().expect("UTF-8"), "--dry-run"], 2);
    assert!(
        error.contains("zero_requests.toml:16: requests = 0 is out of range; allowed: 1 to"),
        "{error}"
    );
}

#[test]
fn options_are_held_against_the_same_rules() {
    for (arguments, said) in [
        (
            ["--requests", "0"],
            "error: --requests: requests = 0 is out of range; allowed: 1 to 100000000",
        ),
        (
            ["--connections", "51"],
            "error: --connections: 51 connections for 50 workers",
        ),
        (
            ["--rounds", "0"],
            "error: --rounds: rounds = 0 is out of range",
        ),
        (
            ["--timeout", "0s"],
            "error: --timeout: timeout_ms = 0 is out of range",
        ),
    ] {
        let error = refused_in_one_line(
            &["bench", "smoke", "--dry-run", arguments[0], arguments[1]],
            2,
        );
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn wrong_values_of_options_are_wrong_usage() {
    for (arguments, said) in [
        (
            vec!["bench", "smoke", "--stack", "embeded"],
            "[possible values: auto, servers, external, embedded]",
        ),
        (
            vec!["bench", "smoke", "--ack", "maybe"],
            "[possible values: confirmed, published]",
        ),
        (
            vec!["bench", "smoke", "--timeout", "2"],
            "a whole number and its unit",
        ),
        (
            vec!["bench", "smoke", "--set", "mq.order_batch_size"],
            "section.key=value",
        ),
        (
            vec!["bench", "smoke", "--set", "seckill.engine=null"],
            "use --engine",
        ),
        (vec!["bench"], "<SCENARIO>"),
        (vec!["bensh"], "unrecognized subcommand 'bensh'"),
    ] {
        let error = refused(&arguments, 2);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn external_servers_are_never_guessed() {
    let error = refused_in_one_line(&["bench", "smoke", "--dry-run", "--stack", "external"], 2);
    assert!(
        error.contains("needs --database-url, --redis-url and --amqp-url"),
        "{error}"
    );
    let stray = [
        "bench",
        "smoke",
        "--dry-run",
        "--redis-url",
        "redis://127.0.0.1/",
    ];
    assert!(refused_in_one_line(&stray, 2).contains("for --stack external only"));
}

#[test]
fn options_of_another_stack_are_refused() {
    let on = |stack: &str, more: &[&str]| {
        let arguments: Vec<&str> = ["bench", "smoke", "--dry-run", "--stack", stack]
            .iter()
            .chain(more)
            .copied()
            .collect();
        refused_in_one_line(&arguments, 2)
    };
    assert!(
        on("embedded", &["--redis-url", "redis://127.0.0.1/"])
            .contains("for --stack external only")
    );
    assert!(on("embedded", &["--redis-cluster"]).contains("for the lab's own servers only"));
    let held_back = refused_plan(&["backlog", "--stack", "embedded"]);
    assert!(
        held_back.contains("holds the consumer back") && held_back.contains("--stack servers"),
        "{held_back}"
    );
}

/// The last line of what a plan is refused with; before it cargo may say what it builds.
fn refused_plan(arguments: &[&str]) -> String {
    let output = lab(&[&["bench", "--dry-run"], arguments].concat());
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(2), ""),
        "{arguments:?}"
    );
    text(&output.stderr)
        .lines()
        .last()
        .expect("an error")
        .to_owned()
}

fn plan(arguments: &[&str]) -> String {
    let output = lab(&[&["bench", "--dry-run"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn an_engine_that_cannot_be_built_is_refused_before_anything_starts() {
    for (engine, refusal) in [
        ("foo", r#"unknown engine "foo"; known: null, "#),
        (
            "sharded-slots?foo=1",
            r#"unknown parameter "foo" of engine sharded-slots; known: slots"#,
        ),
        (
            "null?slots=1",
            r#"unknown parameter "slots" of engine null; it takes none"#,
        ),
        (
            "sharded-slots?slots=0",
            r#"engine sharded-slots: parameter slots = "0" is not an integer from 1 to 1024"#,
        ),
        (
            "preallocated?block=0",
            r#"parameter block = "0" is not a number of units from 1 to 1000000"#,
        ),
        (
            "preallocated?block=20000",
            "block = 20000 is larger than the stock of a sale, 10000 units",
        ),
        (
            "preallocated?partitions=x",
            r#"parameter partitions = "x" is not an integer from 1 to 4096"#,
        ),
        (
            "sharded-slots?slots",
            r#""slots" is not key=value; expected name?key=value&key=value"#,
        ),
        (
            "sharded-slots?slots=4&slots=8",
            r#"parameter "slots" is given twice"#,
        ),
        ("?slots=4", r#"engine "?slots=4": "" is not a name"#),
    ] {
        let error = refused_plan(&["smoke", "--engine", "null", "--engine", engine]);
        assert!(
            error.starts_with("error: ") && error.contains(refusal),
            "{engine}: {error}"
        );
    }
    let error = refused_plan(&["smoke", "--stack", "embedded", "--engine", "lua-single-key"]);
    assert!(
        error.contains("lua-single-key cannot run on the embedded stack: it needs redis"),
        "{error}"
    );
}

#[test]
fn the_plan_says_which_stack_it_is_for_and_who_runs_there() {
    let line = |plan: &str, start: &str| {
        plan.lines()
            .find(|line| line.starts_with(start))
            .map(str::to_owned)
    };
    let servers = plan(&["laptop"]);
    assert!(
        line(&servers, "stack: ")
            .expect("said")
            .contains("embedded where that fails")
    );
    assert_eq!(line(&servers, "skipped"), None);
    let embedded = plan(&["laptop", "--stack", "embedded"]);
    assert!(
        line(&embedded, "stack: ")
            .expect("said")
            .starts_with("stack: embedded")
    );
    assert_eq!(
        line(&embedded, "skipped").expect("said"),
        "skipped on this stack: lua-single-key (needs redis)"
    );
    assert_eq!(
        line(&embedded, "in their").expect("said"),
        "in their place: preallocated, database-row"
    );
    assert!(
        embedded.contains("  1. preallocated, round 1\n") && !embedded.contains(". lua-single-key"),
        "{embedded}"
    );
    let cluster = plan(&["engines", "--redis-cluster", "--allow-volatile"]);
    assert!(
        line(&cluster, "stack: ")
            .expect("said")
            .contains("Redis as a cluster of three")
    );
    assert!(
        line(&cluster, "skipped")
            .expect("said")
            .contains("lua-single-key (needs a single redis"),
        "{cluster}"
    );
    assert!(
        line(&cluster, "set: ")
            .expect("said")
            .contains("SECKILL__ENGINE__ALLOW_VOLATILE=true"),
        "{cluster}"
    );
}

#[test]
fn a_machine_without_servers_is_told_what_is_missing_and_what_still_works() {
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["doctor", "--no-install"])
        .env("LAB_SEARCH_PATH", "")
        .output()
        .expect("lab starts");
    let report = text(&output.stdout);
    let line = |name: &str| {
        report
            .lines()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap_or_default()
    };
    assert!(
        line("servers ").contains("redis-server, rabbitmq-server, mariadbd or mysqld missing"),
        "{report}"
    );
    assert!(line("embedded ").ends_with(" usable"), "{report}");
    assert!(text(&lab(&["doctor", "--help"]).stdout).contains("LAB_SEARCH_PATH"));
}

#[test]
fn a_dry_run_prints_the_plan_and_starts_nothing() {
    let plan = plan(&[
        "laptop",
        "--engine",
        "null",
        "--engine",
        "lua-single-key",
        "--requests",
        "20000",
        "--rounds",
        "2",
        "--ack",
        "published",
        "--set",
        "mq.order_batch_size=500",
    ]);
    for line in [
        "laptop: 500,000 buyers, one product, 500 in flight",
        "load: -c 500 -n 20000 --connections=200 --timeout=2s",
        "users: 500,000, quantity 1 to 2, seed 1",
        "sale: product 1, 1,000,000 units at 9,900 cents",
        "warm-up: 5,000 requests to a sale of its own",
        "ack: published",
        "set: SECKILL__MQ__ORDER_BATCH_SIZE=500",
        "legs: 4",
        "  1. null, round 1",
        "  2. lua-single-key, round 1",
        "  3. lua-single-key, round 2",
        "  4. null, round 2",
    ] {
        assert!(
            plan.lines().any(|found| found == line),
            "no line {line:?} in\n{plan}"
        );
    }
    assert!(
        plan.contains("estimated time: ") && plan.contains("estimated disk: "),
        "{plan}"
    );
}

#[test]
fn the_catalog_is_listed() {
    let output = lab(&["scenarios"]);
    assert_eq!(output.status.code(), Some(0));
    let list = text(&output.stdout);
    for name in ["smoke", "laptop", "4c4g"] {
        assert!(list.lines().any(|line| line == name), "{list}");
    }
    assert!(
        list.contains("-c 150 -n 50000 --connections=120 --timeout=2s"),
        "{list}"
    );
}

#[test]
fn help_hides_what_is_not_for_people() {
    let output = lab(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for command in [
        "setup",
        "doctor",
        "bench",
        "load",
        "engines",
        "scenarios",
        "audit",
        "test",
        "up",
    ] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(command)),
            "no {command} in\n{help}"
        );
    }
    assert!(!help.contains("guard"), "{help}");
}
