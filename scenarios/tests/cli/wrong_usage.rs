//! Options that are out of range, malformed, or belong to another stack.

use crate::{refused, refused_in_one_line, refused_plan};

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
            "error: --timeout: timeout = 0ns is out of range; allowed: 10ms to 60s",
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
            "a number and a unit (us, ms, s, m or h) is wanted",
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

#[test]
fn scenarios_that_cannot_share_a_run_are_refused_with_the_reason() {
    for (scenarios, why) in [
        (["smoke", "smoke"], "they have the same name"),
        (["laptop", "capacity"], "a search decides by itself"),
        (["smoke", "4c4g"], "they want different resources"),
    ] {
        let arguments = ["bench", scenarios[0], scenarios[1], "--dry-run"];
        let error = refused_in_one_line(&arguments, 2);
        assert!(error.contains(why), "{error}");
        assert!(error.contains("cannot run together"), "{error}");
    }
}
