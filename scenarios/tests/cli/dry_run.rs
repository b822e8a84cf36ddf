//! `lab bench --dry-run`: the plan is printed and nothing starts, and an engine that cannot run is
//! refused with the reason. `lab test --dry-run` lists what it would run.

use crate::{lab, plan, refused, refused_plan, text};

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
fn a_setting_that_the_roles_would_refuse_is_refused_before_anything_starts() {
    for (setting, refusal) in [
        (
            "mq.foo=1",
            r#"--set: unknown setting "mq.foo"; the nearest known: mq."#,
        ),
        (
            "SECKILL__MQ__ORDER_BATCH_SIZ=1",
            r#"unknown setting "mq.order_batch_siz"; the nearest known: mq.order_batch_size, "#,
        ),
        (
            "mq.order_batch_size=many",
            r#"mq.order_batch_size: "many" is not what it takes, which is: whole number, 1 to 5000"#,
        ),
        (
            "mq.order_batch_size=0",
            "mq.order_batch_size: 0 is out of range, allowed are 1 to 5000",
        ),
    ] {
        let error = refused_plan(&["smoke", "--set", setting]);
        assert!(
            error.starts_with("error: ") && error.contains(refusal),
            "{setting}: {error}"
        );
    }
}

#[test]
fn an_unsafe_engine_is_for_the_scenario_that_shows_what_the_audit_is_for() {
    let engine = ["smoke", "--engine", "unsafe-counter"];
    let error = refused_plan(&engine);
    assert!(
        error.contains("engine unsafe-counter is unsafe") && error.contains("engine.allow_unsafe"),
        "{error}"
    );
    let by_hand = ["bench", "smoke", "--set", "engine.allow_unsafe=true"];
    let error = refused(&by_hand, 2);
    assert!(
        error.contains("a scenario with unsafe_engines = true"),
        "{error}"
    );
    let allowed = plan(&["textbook", "--engine", "unsafe-counter"]);
    assert!(
        allowed.contains("1. unsafe-counter, round 1\n"),
        "{allowed}"
    );
}

#[test]
fn the_plan_says_which_stack_it_is_for_and_which_engines_run_there() {
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
        "1",
        "--ack",
        "published",
        "--set",
        "mq.order_batch_size=500",
    ]);
    for line in [
        "laptop: 500,000 buyers, one product, 500 in flight; changed by -n 20000",
        "warm-up: -c 500 -z 3s --connections=200 --timeout=2s",
        "measure: -c 500 -n 20000 --connections=200 --timeout=2s",
        "users: 500,000, quantity 1 to 2, seed 1",
        "sale: one product of 1,000,000 units at 9,900 cents",
        "ack: published",
        "set: SECKILL__MQ__ORDER_BATCH_SIZE=500",
        "legs: 2",
    ] {
        assert!(
            plan.lines().any(|found| found == line),
            "no line {line:?} in\n{plan}"
        );
    }
    // In a random order.
    let leg = |number: u32, engine: &str| format!("  {number}. {engine}, round 1\n");
    let orders = [["null", "lua-single-key"], ["lua-single-key", "null"]];
    let orders = orders.map(|[first, second]| leg(1, first) + &leg(2, second));
    assert!(orders.iter().any(|order| plan.contains(order)), "{plan}");
    assert!(
        plan.contains("estimated time: ") && plan.contains("estimated disk: "),
        "{plan}"
    );
}

#[test]
fn a_plan_shows_no_password_of_a_setting() {
    let plan = plan(&[
        "smoke",
        "--set",
        "incarnation.label=redis+unix:///run/r?pass=sesame",
    ]);
    let line = "set: SECKILL__INCARNATION__LABEL=redis+unix:///run/r?pass=***";
    assert!(plan.lines().any(|found| found == line), "{plan}");
    assert!(!plan.contains("sesame"), "{plan}");
    // Nor does the refusal of one that there is not.
    let refused = refused_plan(&["smoke", "--set", "engine.token=sesame"]);
    assert!(
        refused.contains("engine.token") && !refused.contains("sesame"),
        "{refused}"
    );
}

#[test]
fn a_dry_run_of_the_tests_lists_every_step() {
    let steps = |arguments: &[&str]| {
        let output = lab(&[&["test", "--dry-run"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let steps = text(&output.stdout);
        steps.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let every = steps(&[]);
    let (program, command) = every[0].split_once(' ').expect("two words");
    let program = program.strip_prefix("LAB_SECKILL=").expect("the binary");
    assert!(program.ends_with("/debug/seckill"), "{program}");
    assert_eq!(command, "cargo test --workspace --no-fail-fast");
    assert_eq!(
        every[1..],
        [format!("LAB_SECKILL={program} lab bench smoke")]
    );
    let repeated = |before: &str, rounds: u32, target: &str| {
        format!(
            "REQUIRE_SERVERS=1 {before}CRASH_ROUNDS={rounds} EPOCH_ROUNDS={rounds} cargo test \
             --no-fail-fast --package scenarios --test {target}"
        )
    };
    // Also those that are too long for every run, on both types of queue.
    let crash = |kind: &str, rounds: u32| {
        let before = format!("CRASH_QUEUE_TYPE={kind} ");
        repeated(&before, rounds, "crash -- --include-ignored --nocapture")
    };
    for (arguments, rounds) in [(vec![], 20), (vec!["--repeat", "3"], 3)] {
        let nightly = steps(&[&["--nightly"], &*arguments].concat());
        let (marked, last) = nightly.split_at(nightly.len() - 3);
        assert_eq!(
            last,
            [
                crash("classic", rounds),
                crash("quorum", rounds),
                repeated("", rounds, "embedded -- --nocapture"),
            ]
        );
        let start =
            format!("REQUIRE_SERVERS=1 CRASH_ROUNDS={rounds} cargo test --no-fail-fast --package ");
        let trying =
            "REQUIRE_SERVERS=1 BOLERO_RANDOM_TEST_TIME_MS=30000 cargo test --no-fail-fast ";
        assert!(marked.iter().any(|step| step.starts_with(trying)));
        for step in marked {
            let is_marked = step.starts_with(&start) && step.contains(" -- --ignored ");
            assert!(is_marked || step.starts_with(trying), "{step}");
            let is_of_crash = step.contains("preallocated_keeps_every_unit_while_orders_churn");
            assert!(!is_of_crash, "on one type of queue alone: {step}");
        }
    }
}

#[test]
fn repetitions_are_for_the_nightly_tests_and_at_least_one() {
    for arguments in [
        ["test", "--dry-run", "--repeat", "3", "--no-install"],
        ["test", "--dry-run", "--nightly", "--repeat", "0"],
    ] {
        refused(&arguments, 2);
    }
}
