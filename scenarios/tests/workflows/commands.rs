//! Every command of the lab that CI files and documents name, and every option of it, against its
//! own help.

use std::collections::BTreeMap;
use std::process::Command;

use crate::{ACTION, WORKFLOWS, read, workflows};

const DOCUMENTS: &[&str] = &[
    "README.md",
    "docs/gating.md",
    "docs/measuring.md",
    "docs/using.md",
    "docs/your-own-engine.md",
    ".ci/run",
    "justfile",
];
/// How a script calls the lab, and how prose does.
const CALLS: [&str; 2] = ["cargo lab ", "`lab "];
/// What ends a call.
const ENDS: [char; 8] = ['`', '|', ')', ';', '&', '#', '"', '\u{2026}'];
/// The options that the action's script gathers are of this command.
const GATHERED: (&str, &str) = ("options", "regress");

/// The words of a call: a command, perhaps one below it, and options without their values.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    command: String,
    below: String,
    options: Vec<String>,
}

/// A word that may be the name of a command or, after its dashes, of an option.
fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
        && word
            .chars()
            .all(|char| char.is_ascii_lowercase() || char == '-' || char.is_ascii_digit())
}

/// The option that begins with this word, without its value.
fn option(word: &str) -> Option<String> {
    let name = word
        .trim_start_matches(['[', '(', '"'])
        .strip_prefix("--")?;
    let name = name.split(['=', ']', '}', ',', '.', '"']).next()?;
    is_name(name).then(|| format!("--{name}"))
}

/// Every call in `text`; a line that ends with a backslash goes on in the next.
fn calls(text: &str) -> Vec<Call> {
    let joined = text.replace("\\\n", " ");
    let in_line = |line: &str| {
        let starts = CALLS.iter().flat_map(|call| {
            line.match_indices(call)
                .map(|(at, found)| at + found.len())
                .collect::<Vec<_>>()
        });
        starts
            .filter_map(|start| call(&line[start..]))
            .collect::<Vec<_>>()
    };
    joined.lines().flat_map(in_line).collect()
}

fn call(rest: &str) -> Option<Call> {
    let rest = rest.split(ENDS).next().unwrap_or_default();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let name = |index: usize| {
        let word = words.get(index).copied().unwrap_or_default();
        let word = word.trim_end_matches(['.', ',', ':']);
        if is_name(word) {
            word.to_owned()
        } else {
            String::new()
        }
    };
    let command = name(0);
    (!command.is_empty()).then(|| Call {
        below: name(1),
        options: words.iter().filter_map(|word| option(word)).collect(),
        command,
    })
}

/// The call that the action's script puts together in several lines.
fn gathered(text: &str) -> Call {
    let lines = text.lines().filter(|line| line.contains(GATHERED.0));
    let words = lines.flat_map(|line| line.split([' ', '(', ')']));
    Call {
        command: GATHERED.1.to_owned(),
        below: String::new(),
        options: words.filter_map(option).collect(),
    }
}

/// What the lab says of a command, or none if there is no such command.
fn help(command: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(command)
        .arg("--help")
        .output()
        .expect("lab starts");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    output.status.success().then_some(said)
}

/// Whether the help offers this option, as a word of its own.
fn offers(help: &str, option: &str) -> bool {
    help.split([' ', ',', '\n', '[', ']', '='])
        .any(|word| word == option)
}

#[test]
fn what_ci_and_guides_have_the_lab_do_it_can_do() {
    let workflows = workflows().into_iter();
    let mut files: Vec<String> = workflows
        .map(|name| format!("{WORKFLOWS}/{name}"))
        .collect();
    files.extend(DOCUMENTS.iter().map(|name| (*name).to_owned()));
    let mut found: Vec<(String, Call)> = vec![(ACTION.to_owned(), gathered(&read(ACTION)))];
    files.push(ACTION.to_owned());
    for file in files {
        let calls = calls(&read(&file));
        found.extend(calls.into_iter().map(|call| (file.clone(), call)));
    }
    let mut helps: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (file, call) in found {
        let mut ask = |command: &[&str]| {
            let known = helps.entry(command.join(" "));
            known.or_insert_with(|| help(command)).clone()
        };
        let Some(mut help) = ask(&[&call.command]) else {
            faults.push(format!("{file}: there is no `lab {}`", call.command));
            continue;
        };
        if help.contains("\nCommands:\n")
            && let Some(of_below) = ask(&[&call.command, &call.below])
        {
            help = of_below;
        }
        let unknown = call.options.iter().filter(|option| !offers(&help, option));
        faults.extend(
            unknown.map(|option| format!("{file}: `lab {}` has no option {option}", call.command)),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What people do most.
const RECIPES: [&str; 13] = [
    "bench",
    "ci",
    "compare",
    "doctor",
    "lint",
    "load",
    "plan",
    "regress",
    "report",
    "scenarios",
    "status",
    "test",
    "up",
];

#[test]
fn every_recipe_of_the_menu_has_its_group_and_one_line_of_help() {
    let menu = read("justfile");
    let lines: Vec<&str> = menu.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_recipe = line.starts_with(|first: char| first.is_ascii_lowercase());
        let Some(head) = line.strip_suffix(':').filter(|_| is_recipe) else {
            continue;
        };
        let name = head.split(' ').next().unwrap_or_default();
        let before = |lines_up: usize| at.checked_sub(lines_up).map_or("", |at| lines[at]);
        let is_default = name == "default";
        let help = if is_default { before(1) } else { before(2) };
        let is_grouped = before(1).starts_with("[group('") && before(1).ends_with("')]");
        assert!(is_grouped || is_default, "{name} is in no group");
        let is_one_line = help.starts_with("# ") && before(3).is_empty();
        assert!(is_one_line || is_default, "{name} has not one line of help");
        let body = lines
            .get(at + 1)
            .is_some_and(|body| body.starts_with("    "));
        assert!(body, "{name} does nothing");
        found.push(name);
    }
    for name in RECIPES {
        assert!(found.contains(&name), "{name} is missing: {found:?}");
    }
    // A command of the system itself, which `lab` does not pass on.
    let commands = read("system/src/cli.rs");
    assert!(menu.contains("--bin seckill -- status") && commands.contains("    Status"));
}

#[test]
fn calls_are_found_with_their_options_and_values_are_not_taken_for_either() {
    let text = "run: cargo lab regress --base origin/main \\\n  --out=\"$x\" | tee --append y\n\
                and `lab test --nightly`, `lab bench`s, or cargo lab … and [`lab up`](x--y)";
    let expected = |command: &str, below: &str, options: &[&str]| Call {
        command: command.to_owned(),
        below: below.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    };
    assert_eq!(
        calls(text),
        [
            expected("regress", "", &["--base", "--out"]),
            expected("test", "", &["--nightly"]),
            expected("bench", "", &[]),
            expected("up", "", &[]),
        ]
    );
    let script = "options=(--out \"$folder\" --junit \"$f\")\nif x; then options+=(--strict); fi\ngrep --quiet";
    assert_eq!(
        gathered(script),
        expected("regress", "", &["--out", "--junit", "--strict"])
    );
    assert!(offers("  -c, --cpus <N>  [default: 1]", "--cpus"));
    assert!(!offers("  --cpus <N>", "--cpu"));
}
