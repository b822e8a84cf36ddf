//! The help of `lab bench` against the legs that are run, here and in other tests.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::{DURABLE, EXTERNAL, QUICK};

/// Options and values that another test runs: `(option, value or "", file, test)`. The file must
/// name all three.
const ELSEWHERE: &[(&str, &str, &str, &str)] = &[
    (
        "--stack",
        "auto",
        "bench/embedded.rs",
        "auto_without_servers_ends_with_a_table_on_engines_that_need_none_and_says_what_it_skipped",
    ),
    (
        "--stack",
        "embedded",
        "bench/embedded.rs",
        "null_runs_without_servers_and_is_not_judged",
    ),
    (
        "--redis-cluster",
        "",
        "bench.rs",
        "a_cluster_runs_engines_that_can_use_it_and_refuses_those_that_want_one_redis",
    ),
    (
        "--time",
        "",
        "bench/phases.rs",
        "a_phase_that_ends_by_time_lasts_so_long_and_neither_data_nor_stock_ends_before",
    ),
    (
        "--profile",
        "",
        "bench/phases.rs",
        "a_profiled_run_leaves_a_flame_graph_of_each_process_and_says_that_it_was_profiled",
    ),
    (
        "--driver",
        "ghz",
        "bench/phases.rs",
        "a_run_under_ghz_is_audited_and_says_what_it_cannot_see",
    ),
    (
        "--driver",
        "http",
        "bench/after_yes.rs",
        "a_churn_over_http_passes_its_audit",
    ),
    (
        "--open",
        "",
        "bench/matrix.rs",
        "several_scenarios_take_turns_and_share_one_result",
    ),
    (
        "--dry-run",
        "",
        "cli/dry_run.rs",
        "the_plan_says_which_stack_it_is_for_and_which_engines_run_there",
    ),
];

/// Given to every leg, or only where the leg is run, because they are paths or addresses.
const IN_EVERY_TEST: &[(&str, &str)] = &[
    ("options.rs", "--out"),
    ("options.rs", "--json"),
    ("options.rs", "--no-install"),
    ("options.rs", "--scratch"),
    ("options/external.rs", "--redis-url"),
    ("options/external.rs", "--amqp-url"),
    ("options/external.rs", "--database-url"),
];

/// Settings of external servers that their own test checks: `(option, value)`.
const OF_EXTERNAL: &[(&str, &str)] = &[
    ("--appendfsync", "everysec"),
    ("--innodb-flush-log-at-trx-commit", "2"),
];

type Pairs = BTreeSet<(String, String)>;

fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every option in a help text, with each value that it offers, or with none.
fn offered(help: &str) -> Pairs {
    let mut pairs = Pairs::new();
    let mut option = String::new();
    for line in help.lines().map(str::trim) {
        let words = line.split([' ', ',']);
        if let Some(name) = words.clone().find(|word| word.starts_with("--"))
            && line.starts_with('-')
            && name != "--help"
        {
            option = name.to_owned();
            let values = line.split_once('<').map_or("", |(_, values)| values);
            let values = values.trim_end_matches('>');
            if values.contains('|') {
                pairs.extend(values.split('|').map(|value| pair(&option, value)));
            } else {
                pairs.insert(pair(&option, ""));
            }
        }
        // In one line, or each with its explanation.
        let inline = line.strip_prefix("[possible values: ");
        let values = inline.and_then(|values| values.strip_suffix(']'));
        let explained = line
            .strip_prefix("- ")
            .and_then(|line| line.split_once(':'));
        let explained = explained.map(|(value, _)| value);
        for value in values
            .or(explained)
            .into_iter()
            .flat_map(|it| it.split(", "))
        {
            pairs.remove(&pair(&option, ""));
            pairs.insert(pair(&option, value));
        }
    }
    pairs
}

fn pair(option: &str, value: &str) -> (String, String) {
    (option.to_owned(), value.to_owned())
}

/// What the arguments of a leg run, as [`offered`] has it: `choices` are the options with values to
/// choose from.
fn run_by(arguments: &[&str], choices: &BTreeSet<&str>) -> Pairs {
    let values = arguments.iter().skip(1).chain([&""]);
    let options = arguments.iter().zip(values);
    options
        .filter(|(option, _)| option.starts_with("--"))
        .map(|(option, value)| match choices.contains(option) {
            true => pair(option, value),
            false => pair(option, ""),
        })
        .collect()
}

/// What `lab regress` has beside what `lab bench` has, too.
#[test]
fn every_option_of_a_comparison_is_in_its_tests() {
    let tests = ["regress.rs", "regress/refused.rs", "regress/results.rs"].map(source);
    // The stack's mean the same as for a run, whose legs take them all.
    let of_stack = names(offered(&help(&["doctor"])));
    for option in names(offered(&help(&["regress"]))) {
        let is_named = tests
            .iter()
            .any(|test| test.contains(&format!("\"{option}\"")));
        assert!(
            is_named || of_stack.contains(&option),
            "no test of a comparison runs {option}"
        );
    }
}

/// Where every other command is run, below the tests of this package; the stack's options mean the
/// same as for a run, whose legs take them all.
const OTHER_COMMANDS: &[(&[&str], &[&str])] = &[
    (&["up"], &["up.rs"]),
    (&["test"], &["cli/dry_run.rs"]),
    (&["setup"], &["cli/setup.rs"]),
    (&["doctor"], &[]),
    (&["engines"], &["cli/listings.rs"]),
    (&["scenarios"], &["cli/listings.rs"]),
    (&["compare"], &["cli/compare.rs"]),
    (&["report"], &["cli/report.rs"]),
    (&["show"], &["cli/show.rs"]),
    (&["audit"], &["audit.rs", "audit/fixture.rs"]),
    (&["history", "add"], &["cli/history.rs"]),
    (&["history", "show"], &["cli/history.rs"]),
    (&["load", "grpc"], LOADS),
    (&["load", "http"], LOADS),
];
const LOADS: &[&str] = &[
    "up.rs",
    "../../loadgen/tests/drive/command.rs",
    "../../loadgen/tests/drive/http.rs",
    "../../loadgen/tests/drive/protocol.rs",
];

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(command)
        .arg("--help")
        .output()
        .expect("lab starts");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn names(pairs: Pairs) -> BTreeSet<String> {
    pairs.into_iter().map(|it| it.0).collect()
}

#[test]
fn every_option_of_every_other_command_is_in_its_tests() {
    let of_stack = names(offered(&help(&["doctor"])));
    let mut untested = Vec::new();
    for (command, files) in OTHER_COMMANDS {
        let tests: Vec<String> = files.iter().map(|file| source(file)).collect();
        for option in names(offered(&help(command))) {
            let is_named = |test: &String| test.contains(&format!("\"{option}\""));
            if !tests.iter().any(is_named) && !of_stack.contains(&option) {
                untested.push(format!("lab {} {option}", command.join(" ")));
            }
        }
    }
    assert!(untested.is_empty(), "no test runs {untested:?}");
    // Two have tests of their own above and below, and one prints this.
    let own = ["bench", "regress", "help"];
    let all = help(&[]);
    let commands = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for command in commands.filter(|name| !name.is_empty() && !own.contains(name)) {
        let is_known = OTHER_COMMANDS.iter().any(|(known, _)| known[0] == command);
        assert!(is_known, "no test of lab {command} is known here");
    }
}

#[test]
fn every_option_and_value_that_the_help_offers_is_run_by_a_test() {
    let offered = offered(&help(&["bench"]));
    let has_values = |(_, value): &&(String, String)| !value.is_empty();
    let choices = offered.iter().filter(has_values);
    let choices: BTreeSet<&str> = choices.map(|(option, _)| option.as_str()).collect();
    let mut run: Pairs = [DURABLE, QUICK, EXTERNAL]
        .iter()
        .flat_map(|leg| run_by(leg, &choices))
        .collect();
    for (option, value, file, test) in ELSEWHERE {
        let text = source(file);
        for part in [option, value, test] {
            assert!(text.contains(part), "no {part} in tests/{file}");
        }
        run.insert(pair(option, value));
    }
    for (file, option) in IN_EVERY_TEST {
        assert!(source(file).contains(option), "no {option} in tests/{file}");
        run.insert(pair(option, ""));
    }
    run.extend(
        OF_EXTERNAL
            .iter()
            .map(|(option, value)| pair(option, value)),
    );
    let untested: Vec<_> = offered.difference(&run).collect();
    assert!(untested.is_empty(), "no test runs {untested:?}");
    let unknown: Vec<_> = run.difference(&offered).collect();
    assert!(unknown.is_empty(), "the help does not offer {unknown:?}");
}

#[test]
fn a_value_that_is_new_in_the_help_is_found() {
    let help = "Options:\n  -n, --requests <REQUESTS>\n      Requests\n\n  --ack <ACK>\n      When\n\n      \
        [possible values: confirmed, published, never]\n\n  --stack <KIND>\n      Which\n\n      \
        Possible values:\n      - auto:    either, or\n        - both: of them\n  --flush <0|1|2>\n  -h, --help\n";
    let found: Vec<String> = offered(help)
        .into_iter()
        .map(|(option, value)| format!("{option}={value}"))
        .collect();
    let expected = "--ack=confirmed --ack=never --ack=published --flush=0 --flush=1 --flush=2 \
        --requests= --stack=auto --stack=both";
    assert_eq!(found.join(" "), expected);
}
