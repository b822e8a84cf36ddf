//! The documents stay true: what they link to and the files they name are there, every rule of the
//! protocol has its section with tests that exist, and the README is short and knows every scenario.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Every document a stranger is sent to.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "docs/deployment.md",
    "docs/faults.md",
    "docs/gating.md",
    "docs/measuring.md",
    "docs/observability.md",
    "docs/protocol.md",
    "docs/results.md",
    "docs/scaling.md",
    "docs/using.md",
    "docs/your-own-engine.md",
];
/// Beyond it nobody reads to the end.
const README_LINES_MAX: usize = 150;
/// The rules of the protocol, in the order of their numbers.
const RULES: [&str; 19] = [
    "fence-wait",
    "bind-then-recheck",
    "one-term-per-batch",
    "one-consumer-per-queue",
    "drain-in-one-session",
    "exclusive-route",
    "deadline-before-reserve",
    "mark-with-age",
    "void-before-release",
    "parked-is-final",
    "grant-under-lock",
    "release-by-epoch",
    "lost-server-noticed",
    "open-by-condition",
    "cancel-moves-the-right",
    "units-in-one-place",
    "worker-id-outlives-lease",
    "sold-out-means-gone",
    "gate-from-rows",
];
/// What every rule's section holds.
const PARTS: [&str; 3] = ["**Without it.**", "**Kept in**", "**Proof.**"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("in a workspace")
        .to_path_buf()
}

fn read(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Without fenced blocks, whose content is output and commands.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let mut kept = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// What stands between single backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// The anchors that a code host gives to the headings of a document.
fn anchors(text: &str) -> HashSet<String> {
    let is_kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    prose(text)
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            heading
                .chars()
                .filter(is_kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut faults = Vec::new();
    for name in DOCUMENTS {
        let folder = Path::new(name).parent().expect("a file's name");
        for link in links(&prose(&read(name))) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => root().join(name),
                file => root().join(folder).join(file),
            };
            let is_there = match anchor {
                "" => target.exists(),
                anchor => std::fs::read_to_string(&target)
                    .is_ok_and(|text| anchors(&text).contains(anchor)),
            };
            if !is_there {
                faults.push(format!("{name}: nothing at {link}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_that_a_document_names_exists() {
    let folders: Vec<String> = std::fs::read_dir(root())
        .expect("readable")
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.path().is_dir() && entry.file_name() != "target")
        .map(|entry| format!("{}/", entry.file_name().to_string_lossy()))
        .collect();
    let mut faults = Vec::new();
    for name in DOCUMENTS {
        let text = prose(&read(name));
        for path in quoted(&text) {
            let is_one_of_ours = folders.iter().any(|folder| path.starts_with(folder));
            let is_exact = !path.contains(['*', ' ']) && !path.starts_with("reports/out");
            if is_one_of_ours && is_exact && !root().join(path).exists() {
                faults.push(format!("{name}: no file {path}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The text below the heading of a rule, up to the next heading.
fn section<'a>(document: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(heading)?;
    Some(rest.split("\n#").next().unwrap_or(rest))
}

#[test]
fn every_rule_says_what_breaks_without_it_what_keeps_it_and_which_tests_prove_it() {
    let document = read("docs/protocol.md");
    let sources = sources();
    let mut faults = Vec::new();
    for (index, name) in RULES.iter().enumerate() {
        let heading = format!("\n### {name} (R{})\n", index + 1);
        let Some(section) = section(&document, &heading) else {
            faults.push(format!("no section{heading}"));
            continue;
        };
        for part in PARTS.iter().filter(|part| !section.contains(**part)) {
            faults.push(format!("{name}: no {part}"));
        }
        let proof = section.split("**Proof.**").nth(1).unwrap_or_default();
        let tests: Vec<&str> = quoted(proof)
            .into_iter()
            .filter(|cited| !cited.contains('/'))
            .collect();
        if tests.is_empty() {
            faults.push(format!("{name}: no test"));
        }
        for test in tests {
            if !sources.contains(&format!("fn {test}(")) {
                faults.push(format!("{name}: no test {test}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rows of the table are what a reader goes by, so each names tests that are there, by themselves
/// or in a list of one for each engine.
#[test]
fn every_fault_has_tests() {
    let document = read("docs/faults.md");
    let sources = sources();
    let rows = document.lines().filter(|line| line.starts_with("| "));
    let mut faults = Vec::new();
    for (row, tests) in rows.skip(1).filter_map(|row| row[2..].split_once(" | ")) {
        let tests = quoted(tests);
        if tests.is_empty() {
            faults.push(format!("{row}: no test"));
        }
        for test in tests {
            let is_there = [format!("fn {test}("), format!("    {test}: \"")]
                .iter()
                .any(|definition| sources.contains(definition));
            if !is_there {
                faults.push(format!("{row}: no test {test}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every Rust file of the workspace in one text.
fn sources() -> String {
    fn collect(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                collect(&path, text);
            } else if name.ends_with(".rs") {
                text.push_str(&std::fs::read_to_string(&path).expect("readable"));
            }
        }
    }
    let mut text = String::new();
    collect(&root(), &mut text);
    text
}

#[test]
fn the_readme_is_short_and_holds_the_two_commands() {
    let readme = read("README.md");
    let lines = readme.lines().count();
    assert!(
        lines <= README_LINES_MAX,
        "README.md has {lines} lines, at most {README_LINES_MAX} are allowed"
    );
    for command in ["cargo lab bench laptop", "cargo lab test"] {
        assert!(readme.contains(command), "README.md lacks `{command}`");
    }
}

#[test]
fn the_readme_asks_the_question_of_every_built_in_scenario() {
    let readme = read("README.md");
    for entry in std::fs::read_dir(root().join("scenarios/catalog")).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("readable");
        let scenario: toml::Table = toml::from_str(&text).expect("valid TOML");
        let question = scenario["question"].as_str().expect("a question");
        assert!(
            readme.contains(&format!("| `{name}` | {question} |")),
            "README.md has no line for `{name}`: {question}"
        );
    }
}
