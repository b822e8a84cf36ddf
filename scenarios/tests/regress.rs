//! `lab regress` on binaries and on results: what passes, what fails, what is never a silent pass.
//! How blocks are judged is tested in `reports`; here the legs, files and exit codes are.

#[path = "regress/refused.rs"]
mod refused;
#[path = "regress/results.rs"]
mod results;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reports::result::{Ack, Run, RunKind, Side, Verdict};
use scenarios::bench::system_binary;

/// One engine without servers, a second of each phase.
const TINY: &str = r#"
title = "a build against its base, in seconds"
question = "Do the parts of a comparison fit together?"
engines = ["preallocated"]
driver = "grpc"
ack = "confirmed"
rounds = 1
expectations = []

[products]
price_cents = 100

[load]
connections = 4
timeout = "5s"
max_quantity = 2
seed = 1

[[phases]]
name = "warm-up"
purpose = "warm-up"
concurrency = 8
requests = 50

[[phases]]
name = "open"
purpose = "measure"
arrival = "constant"
rate = "20% of base"
time = "500ms"

[[phases]]
name = "saturating"
purpose = "measure"
concurrency = 8
time = "500ms"
"#;

fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // What an earlier run of this test left.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("made");
    folder
}

fn regress(folder: &Path, arguments: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("regress")
        .args(arguments)
        .arg("--out")
        .arg(folder.join("out"))
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .output()
        .expect("lab starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|it| (*it).to_owned()).collect()
}

fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// A side that is another file and the same program: what is behind a program's end is not loaded.
fn padded_copy(program: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("padded");
    let mut bytes = std::fs::read(program).expect("readable");
    bytes.extend_from_slice(b"padding");
    std::fs::write(&copy, bytes).expect("written");
    make_executable(&copy);
    copy
}

/// By a process of its own: what this one has open for writing, nobody can run.
fn make_executable(path: &Path) {
    let status = Command::new("chmod").arg("755").arg(path).status();
    assert!(status.expect("chmod").success());
}

fn tiny(folder: &Path) -> String {
    let path = folder.join("tiny.toml");
    std::fs::write(&path, TINY).expect("written");
    path.display().to_string()
}

/// Both sides of a comparison in the tiny scenario.
fn against(base: &Path, head: &Path, folder: &Path) -> Vec<String> {
    let scenario = tiny(folder);
    let arguments = [
        ("--base", file(base)),
        ("--head", file(head)),
        ("--scenario", scenario),
    ];
    let pairs = arguments.map(|(option, value)| [option.to_owned(), value]);
    pairs.into_iter().flatten().collect()
}

fn only_result(folder: &Path) -> Run {
    let out = folder.join("out");
    let files = std::fs::read_dir(&out).expect("readable");
    let files = files.map(|entry| entry.expect("readable").path());
    let results: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    let [only] = results.as_slice() else {
        panic!("one result, got {results:?}");
    };
    reports::read(only).expect("own result")
}

#[test]
fn builds_are_compared_in_blocks_and_too_few_of_them_are_inconclusive() {
    let folder = fresh_folder("regress_blocks");
    let base = system_binary::build().expect("the system");
    let head = padded_copy(&base, &folder);
    let files = ["verdict.md", "verdict.xml"].map(|name| folder.join(name));
    let mut arguments = words(&[
        "--stack",
        "embedded",
        "--blocks",
        "1",
        "--no-instructions",
        "--void-above",
        "100",
        "--ack",
        "published",
        "--set",
        "incarnation.label=compared",
        "--save",
        "compared",
        "--details",
        "--open",
        "--no-install",
    ]);
    let copy = folder.join("copy.json");
    arguments.extend(["--json".to_owned(), copy.display().to_string()]);
    arguments.extend(against(&base, &head, &folder));
    arguments.extend(["--head".to_owned(), file(&base), "--strict".to_owned()]);
    arguments.extend(["--markdown".to_owned(), files[0].display().to_string()]);
    arguments.extend(["--junit".to_owned(), files[1].display().to_string()]);
    let output = regress(&folder, &arguments);
    let (screen, log) = (text(&output.stdout), text(&output.stderr));

    let run = only_result(&folder);
    assert_eq!(run, reports::read(&copy).expect("own result"));
    assert_eq!(run.name.as_deref(), Some("compared"));
    assert_eq!(run.durability.ack, Ack::Published);
    assert!(log.contains(".html (no display here"), "{log}");
    assert_eq!(run.kind, RunKind::Gate);
    assert!(run.complete && run.error.is_none(), "{:?}", run.error);
    let sides: Vec<_> = run
        .subjects
        .iter()
        .map(|it| (it.side.clone(), it.head))
        .collect();
    let expected = [
        (Side::Base, None),
        (Side::Head, Some(0)),
        (Side::Head, Some(1)),
    ];
    assert_eq!(sides, expected.map(|(side, head)| (Some(side), head)));

    let gate = run.gate.as_ref().expect("a gate");
    let [measured, identical] = gate.heads.as_slice() else {
        panic!("two heads: {gate:?}");
    };
    assert_eq!(gate.not_measured, None);
    assert_eq!(output.status.code(), Some(1), "{screen}\n{log}");
    assert!(identical.identical && identical.verdict == Verdict::Pass);
    assert_eq!(measured.verdict, Verdict::Inconclusive);
    assert_eq!(measured.blocks, [1, 2]);
    let metrics: Vec<&str> = measured
        .metrics
        .iter()
        .map(|it| it.metric.as_str())
        .collect();
    assert_eq!(
        metrics,
        ["throughput_per_s", "p99_ms", "cpu_us_per_request_drained"]
    );

    // Three calibrations, then blocks of two legs; counts instead of times, the same for all.
    let (calibrations, blocks): (Vec<_>, Vec<_>) =
        run.legs.iter().partition(|leg| leg.pair.is_none());
    assert_eq!(calibrations.len(), 3);
    assert!(calibrations.iter().all(|leg| leg.subject == gate.base));
    assert_eq!(blocks.len() % 2, 0);
    let phases = &run.scenarios[0].phases;
    let counts: Vec<_> = phases.iter().map(|phase| phase.end.count).collect();
    assert!(counts.iter().all(Option::is_some), "{counts:?}");
    for leg in &blocks {
        let due: Vec<_> = leg.phases.iter().map(|phase| Some(phase.due)).collect();
        assert_eq!(due, counts);
        let audit = leg.audit.as_ref().expect("audited");
        assert_eq!(audit.verdict.as_str(), "passed", "{:?}", audit.checks);
    }
    let saturated = (gate.rate_per_s / 0.2 * 0.5).round() as u64;
    let expected = counts[2].expect("a count");
    assert!(
        saturated.abs_diff(expected) <= 2,
        "{saturated} and {expected}"
    );

    let [markdown, junit] = files.map(|path| std::fs::read_to_string(path).expect("written"));
    for said in [&screen, &markdown, &junit] {
        assert!(said.to_lowercase().contains("inconclusive"), "{said}");
    }
    assert!(junit.contains("<testsuite"), "{junit}");
}

#[test]
fn equal_bytes_pass_without_a_leg() {
    let folder = fresh_folder("regress_identical");
    let base = system_binary::build().expect("the system");
    let mut arguments = words(&[
        "--stack",
        "embedded",
        "--no-instructions",
        "--void-above",
        "100",
    ]);
    arguments.extend(against(&base, &base, &folder));
    let output = regress(&folder, &arguments);
    let (screen, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{screen}\n{log}");
    assert!(screen.contains("identical"), "{screen}");
    let run = only_result(&folder);
    assert!(run.legs.is_empty(), "{:?}", run.legs);
    let gate = run.gate.expect("a gate");
    assert!(gate.heads[0].identical && gate.heads[0].verdict == Verdict::Pass);
}

/// A head that answers every question about itself and cannot run.
#[test]
fn a_head_whose_leg_breaks_fails_at_once() {
    let folder = fresh_folder("regress_broken");
    let base = system_binary::build().expect("the system");
    let head = folder.join("broken");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = all ]; then echo 'error: out of luck' >&2; exit 7; fi\nexec '{}' \"$@\"\n",
        base.display()
    );
    std::fs::write(&head, script).expect("written");
    make_executable(&head);
    let mut arguments = words(&[
        "--stack",
        "embedded",
        "--blocks",
        "5",
        "--no-instructions",
        "--void-above",
        "100",
    ]);
    arguments.extend(against(&base, &head, &folder));
    let output = regress(&folder, &arguments);
    let (screen, log) = (text(&output.stdout), text(&output.stderr));
    let run = only_result(&folder);
    let gate = run.gate.as_ref().expect("a gate");
    assert_eq!(output.status.code(), Some(1), "{screen}\n{log}");
    assert_eq!(gate.heads[0].verdict, Verdict::Fail);
    let why = gate.heads[0].why.as_deref().unwrap_or_default();
    assert!(why.contains("broke"), "{why}");
    // It failed in the first block that counts, and no other one was begun.
    let blocks = run.legs.iter().filter_map(|leg| leg.pair.as_ref());
    assert!(blocks.map(|pair| pair.block).all(|block| block == 1));
    // The other way round it is the base that cannot run, which says nothing of the head.
    let mut arguments = words(&[
        "--stack",
        "embedded",
        "--blocks",
        "5",
        "--no-instructions",
        "--void-above",
        "100",
    ]);
    arguments.extend(against(&head, &base, &folder));
    let output = regress(&folder.join("swapped"), &arguments);
    let (screen, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{screen}\n{log}");
    assert!(
        screen.contains("out of luck") || log.contains("out of luck"),
        "{screen}\n{log}"
    );
}

#[test]
#[ignore = "nightly: forty legs"]
fn a_build_is_measured_against_itself_and_what_the_gate_would_see_is_told() {
    let folder = fresh_folder("regress_self_check");
    let base = system_binary::build().expect("the system");
    let told = folder.join("told.md");
    let mut arguments = words(&["--self-check", "--stack", "embedded", "--void-above", "100"]);
    arguments.extend([
        "--scenario".to_owned(),
        tiny(&folder),
        "--base".to_owned(),
        file(&base),
    ]);
    arguments.extend(["--markdown".to_owned(), told.display().to_string()]);
    let output = regress(&folder, &arguments);
    let (screen, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{screen}\n{log}");
    assert!(screen.contains("20 blocks of the same build"), "{screen}");
    let told = std::fs::read_to_string(told).expect("written");
    assert!(told.contains("false alarms by any metric"), "{told}");
}
