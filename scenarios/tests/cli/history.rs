//! `lab history`: results of gates become lines of a file that several processes append to, and what
//! cannot be trusted is refused in one sentence.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reports::result::{LnRatio, Run};

use crate::{lab, refused_in_one_line, text};

const GATE: &str = include_str!("../../../reports/tests/history/gate.json");

/// A folder with results and a history.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// The result of a gate with the head of this number, changed.
    fn result(&self, number: u32, change: impl FnOnce(&mut Run)) -> String {
        let mut run = Run::from_json(GATE).expect("a result");
        run.id = format!("run-{number}");
        run.started_unix_us += i64::from(number) * 86_400_000_000;
        run.subjects[1].build.commit = format!("{number:012}{}", "0".repeat(28));
        change(&mut run);
        let path = self.path(&format!("{number}.json"));
        std::fs::write(&path, run.to_json()).expect("written");
        path
    }

    fn history(&self) -> String {
        self.path("history.jsonl")
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.history()).expect("a history");
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(str::to_owned).collect()
    }

    fn add(&self, results: &[&str]) -> String {
        let output = lab(&[&["history", "add", "--file", &self.history()], results].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    fn add_refused(&self, results: &[&str]) -> String {
        refused_in_one_line(
            &[&["history", "add", "--file", &self.history()], results].concat(),
            2,
        )
    }

    fn show(&self, options: &[&str]) -> String {
        let output = lab(&[&["history", "show", "--file", &self.history()], options].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    }
}

fn p99_by(ln: f64) -> impl FnOnce(&mut Run) {
    move |run| {
        let gate = run.gate.as_mut().expect("a gate");
        for d in &mut gate.heads[0].metrics[1].d {
            *d = LnRatio(d.0 - 0.1 + ln);
        }
    }
}

#[test]
fn results_are_added_and_shown_with_the_commit_that_changed_something() {
    let folder = Folder::new();
    let noise = |number: u32| 0.003 * f64::from(number % 4);
    let slower = |number: u32| if number > 8 { 1.15f64.ln() } else { 0.0 };
    let results: Vec<String> = (1..=14)
        .map(|number| folder.result(number, p99_by(noise(number) + slower(number))))
        .collect();
    let (first, rest) = results.split_first().expect("some");
    let said = folder.add(&[first]);
    assert!(
        said.contains("lua-single-key in gate on AMD EPYC 7763")
            && said.contains("at commit 000000000001"),
        "{said}"
    );
    let first_line = folder.lines().remove(0);
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    folder.add(&rest);
    assert_eq!(
        (folder.lines().len(), &folder.lines()[0]),
        (14, &first_line)
    );

    let shown = folder.show(&["--metric", "p99_ms", "--scenario", "gate"]);
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("P99 of lua-single-key rose by 15 % at commit 000000000009 (p = 0.00"),
        "{shown}"
    );
    assert!(
        !shown.contains("throughput_per_s") && shown.contains('█'),
        "{shown}"
    );
    // For other readers, the lines as they are.
    assert_eq!(
        folder.show(&["--json"]).lines().collect::<Vec<_>>(),
        folder.lines()
    );

    for (option, wanted, said) in [
        (
            "--scenario",
            "gates",
            "the history has no scenario \"gates\"; known: gate",
        ),
        (
            "--metric",
            "p99",
            "the history has no metric \"p99\"; known: cpu_us_per_request, p99_ms, throughput_per_s",
        ),
    ] {
        let error = refused_in_one_line(
            &[
                "history",
                "show",
                "--file",
                &folder.history(),
                option,
                wanted,
            ],
            2,
        );
        assert_eq!(error, format!("error: {said}"));
    }
}

#[test]
fn what_is_refused_leaves_the_history_as_it_was() {
    let folder = Folder::new();
    let good = folder.result(1, |_| ());
    let bench = folder.result(2, |run| run.gate = None);
    let other = folder.result(3, |run| run.subjects[0].build.commit = "e".repeat(40));
    let dirty = folder.result(4, |run| run.subjects[1].build.dirty = true);
    let absent = folder.path("absent.json");
    let cut = folder.path("cut.json");
    std::fs::write(&cut, &GATE[..500]).expect("written");
    let old = folder.path("old.json");
    std::fs::write(&old, GATE.replacen("\"schema\": 2", "\"schema\": 1", 1)).expect("written");

    for (result, said) in [
        (&bench, "has no pair of anchor and head"),
        (&dirty, "add it with --allow-dirty"),
        (&absent, "absent.json cannot be read: No such file"),
        (
            &cut,
            "cut.json: the file was cut off: its JSON ends in the middle, in line ",
        ),
        (&old, "old.json: this file has schema 1"),
    ] {
        let error = folder.add_refused(&[&good, result]);
        assert!(error.contains(said), "{error}");
        assert!(!Path::new(&folder.history()).exists(), "{result}");
    }
    folder.add(&[&good]);
    let lines = folder.lines();
    for (results, said) in [
        (
            vec![&dirty, &good],
            "the run run-1 is in the history already",
        ),
        (vec![&other], "--new-anchor begins a new segment"),
    ] {
        let results: Vec<&str> = results.into_iter().map(String::as_str).collect();
        let error = folder.add_refused(&[&["--allow-dirty"], results.as_slice()].concat());
        assert!(error.contains(said), "{error}");
        assert_eq!(folder.lines(), lines);
    }
    // The same commit, measured once more.
    let measured_again = folder.result(1, |run| run.id = "another".to_owned());
    let error = folder.add_refused(&[&measured_again]);
    assert!(error.contains("--again adds it as a"), "{error}");
    assert_eq!(folder.lines(), lines);
    folder.add(&["--again", &measured_again]);
    assert_eq!(folder.lines().len(), 2 * lines.len());
    let said = folder.add(&["--new-anchor", "--allow-dirty", &other]);
    assert!(
        said.contains("against the anchor eeeeeeeeeeee, segment 2"),
        "{said}"
    );
    assert!(folder.show(&[]).contains("eeeeeeeeeeee, segment 2"));
}

#[test]
fn a_history_that_cannot_be_read_whole_is_neither_shown_nor_added_to() {
    let folder = Folder::new();
    let (first, second) = (folder.result(1, |_| ()), folder.result(2, |_| ()));
    folder.add(&[&first]);
    let line = folder.lines().remove(0);
    for (broken, said) in [
        (
            format!("{line}\n{}", &line[..50]),
            "line 2, the last one, is cut short, so its writer died: delete it, and add its result again",
        ),
        (
            format!("{line}\n{{\"history\":9}}\n"),
            "line 2 is of version 9, and this version reads only 1: read it with a newer version",
        ),
        (format!("{line}\n{{}}\n"), "line 2 has no version number"),
        (
            format!("rubbish\n{line}\n"),
            "line 1 is broken: expected value",
        ),
    ] {
        std::fs::write(folder.history(), &broken).expect("written");
        let of_add = folder.add_refused(&[&second]);
        let of_show = refused_in_one_line(&["history", "show", "--file", &folder.history()], 2);
        for error in [of_add, of_show] {
            let expected = format!("error: {}: {said}", folder.history());
            assert!(error.starts_with(&expected), "{error}");
        }
        let kept = std::fs::read_to_string(folder.history()).expect("readable");
        assert_eq!(kept, broken);
    }
    let nowhere = folder.path("nowhere.jsonl");
    let error = refused_in_one_line(&["history", "show", "--file", &nowhere], 2);
    assert!(
        error.ends_with("`lab history add RESULT` begins one"),
        "{error}"
    );
    refused_in_one_line(&["history", "add", "--file", &folder.path(""), &second], 2);
}

fn adding(folder: &Folder, result: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["history", "add", "--file", &folder.history(), result])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lab starts")
}

#[test]
fn several_processes_may_add_at_once() {
    let folder = Folder::new();
    let results = (1..=8).map(|number| folder.result(number, |_| ()));
    let started: Vec<Child> = results.map(|result| adding(&folder, &result)).collect();
    for process in started {
        let output = process.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let mut runs: Vec<String> = folder
        .lines()
        .iter()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            line["run"].as_str().expect("a run").to_owned()
        })
        .collect();
    runs.sort();
    let expected: Vec<String> = (1..=8).map(|number| format!("run-{number}")).collect();
    assert_eq!(runs, expected);
}

/// Another writer holds the file, and adds the same result before it lets go: looking for a run and
/// adding it are one step.
#[test]
fn a_writer_waits_for_the_one_before_and_reads_what_it_wrote() {
    /// Long enough for a writer that does not wait to be done.
    const HELD: Duration = Duration::from_millis(500);
    let folder = Folder::new();
    let (first, second) = (folder.result(1, |_| ()), folder.result(2, |_| ()));
    folder.add(&[&first, &second]);
    let lines = folder.lines();
    let path = folder.history();
    std::fs::write(&path, format!("{}\n", lines[0])).expect("written");
    let mut file = OpenOptions::new().append(true).open(&path).expect("open");
    file.lock().expect("locked");
    let mut process = adding(&folder, &second);
    let fds = format!("/proc/{}/fd", process.id());
    let has_opened = || {
        let entries = std::fs::read_dir(&fds).into_iter().flatten().flatten();
        let mut targets = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.any(|target| target == Path::new(&path))
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !has_opened() && process.try_wait().expect("it is there").is_none() {
        assert!(Instant::now() < deadline, "it never opened the history");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(HELD);
    assert!(
        process.try_wait().expect("it is there").is_none(),
        "it did not wait"
    );
    writeln!(file, "{}", lines[1]).expect("written");
    drop(file);
    let output = process.wait_with_output().expect("it ends");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the run run-2 is in the history already"),
        "{said}"
    );
    assert_eq!(folder.lines(), lines);
}
