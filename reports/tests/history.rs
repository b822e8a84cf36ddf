//! The history against results of gates: what becomes a line, what is refused, what is kept, and where
//! a series changes.

use reports::history::{Adding, History};
use reports::result::{LnRatio, Run, RunKind, Side};
use reports::view::{self, HistoryFilter, Screen};
use std::path::Path;

const GATE: &str = include_str!("history/gate.json");
const STRICT: Adding = Adding {
    allow_dirty: false,
    new_anchor: false,
};

fn gate() -> Run {
    Run::from_json(GATE).expect("a result")
}

/// A result of its own, of a head with so much of a P99.
fn measured(number: u32, p99_ln: f64) -> Run {
    let mut run = gate();
    run.id = format!("run-{number}");
    run.started_unix_us += i64::from(number) * 86_400_000_000;
    run.subjects[1].build.commit = commit(number);
    let gate = run.gate.as_mut().expect("a gate");
    for d in &mut gate.heads[0].metrics[1].d {
        *d = LnRatio(d.0 - 0.1 + p99_ln);
    }
    run
}

fn commit(number: u32) -> String {
    format!("{number:012}{}", "0".repeat(28))
}

fn refused(run: &Run, how: Adding) -> String {
    let mut history = History::default();
    let refused = history.add(run, how).expect_err("it is refused");
    assert_eq!(history.entries(), []);
    refused.to_string()
}

fn text(history: &History) -> String {
    let lines = history.entries().iter();
    lines.map(|entry| format!("{}\n", entry.text)).collect()
}

fn changed(of: impl FnOnce(&mut Run)) -> Run {
    let mut run = gate();
    of(&mut run);
    run
}

#[test]
fn a_line_holds_the_ratios_to_the_anchor_with_bounds_and_spread() {
    let mut history = History::default();
    let added = history.add(&gate(), STRICT).expect("a gate");
    let [line] = added.lines.as_slice() else {
        panic!("{added:?}");
    };
    assert_eq!((line.history, line.segment), (1, 1));
    assert_eq!(line.anchor.short(), "aaaaaaaaaaaa");
    assert_eq!(line.head.short(), "bbbbbbbbbbbb");
    assert_eq!(
        line.key.described(),
        "lua-single-key in gate on AMD EPYC 7763, 2 cores, 16 GiB, kvm"
    );
    assert_eq!(line.key.conditions["stack"], "servers");
    assert_eq!(line.metrics.len(), 3);
    let p99 = &line.metrics["p99_ms"];
    assert_eq!((p99.blocks, p99.spread), (10, Some(0.02)));
    assert!((p99.ln.0 - 0.1).abs() < 1e-9, "{p99:?}");
    // With ten blocks each bound is the ninth mean of the 55 from its end, as every table has it.
    assert!(p99.lower_ln.0 >= 0.08 && p99.upper_ln.0 <= 0.12, "{p99:?}");
    assert!(p99.lower_ln < p99.ln && p99.ln < p99.upper_ln, "{p99:?}");
    let read = History::parse(&text(&history)).expect("its own lines");
    assert_eq!(read, history);
}

#[test]
fn every_head_of_a_run_is_a_line_and_one_that_is_the_anchor_is_none() {
    let mut run = gate();
    let mut second = run.subjects[1].clone();
    second.id = "head 2 lua-single-key".to_owned();
    second.build.commit = "d".repeat(40);
    run.subjects.push(second);
    let gate = run.gate.as_mut().expect("a gate");
    let mut head = gate.heads[0].clone();
    head.subject = "head 2 lua-single-key".to_owned();
    gate.heads.push(head);
    let mut history = History::default();
    let added = history.add(&run, STRICT).expect("a gate");
    assert_eq!((added.lines.len(), history.entries().len()), (2, 2));

    let gate = run.gate.as_mut().expect("a gate");
    gate.heads[1].identical = true;
    gate.heads[1].metrics.clear();
    let added = History::default().add(&run, STRICT).expect("a gate");
    assert_eq!(added.lines.len(), 1);
    assert_eq!(added.identical[0].short(), "dddddddddddd");
}

#[test]
fn a_result_without_a_pair_of_commits_is_refused_with_the_reason() {
    let no_gate = changed(|run| {
        run.gate = None;
        run.kind = RunKind::Bench;
    });
    let no_heads = changed(|run| run.gate.as_mut().expect("a gate").heads.clear());
    for run in [&no_gate, &no_heads] {
        let said = refused(run, STRICT);
        assert!(
            said.contains("absolute figures of machines that change are noise"),
            "{said}"
        );
        assert!(said.contains("lab regress --base ANCHOR"), "{said}");
    }
    let cases: [(Run, &str); 8] = [
        (
            changed(|run| run.complete = false),
            "the run 20260921-133320-gate-aaaaaa was cut short, so its ratios do not stand for it",
        ),
        (
            changed(|run| run.subjects[0].build.commit.clear()),
            "the anchor \"base lua-single-key\" names no commit, so nobody could find it again",
        ),
        (
            changed(|run| run.subjects[0].build.dirty = true),
            "the anchor aaaaaaaaaaaa+ was built with changes that no commit holds, so nobody could build it again",
        ),
        (
            changed(|run| run.subjects[1].build.dirty = true),
            "the head bbbbbbbbbbbb+ was built with changes that no commit holds; commit them, or add it with \
             --allow-dirty",
        ),
        (
            changed(|run| run.subjects[0].engine = "preallocated".to_owned()),
            "the anchor ran preallocated and the head lua-single-key: a ratio of two engines is no history of one",
        ),
        (
            changed(|run| run.gate.as_mut().expect("a gate").heads[0].metrics.clear()),
            "nothing was measured of the head bbbbbbbbbbbb",
        ),
        (
            changed(|run| run.scenarios.clear()),
            "the gate holds 0 scenarios, and a line of the history is of exactly one",
        ),
        (
            changed(|run| {
                let audit = run.legs[1].audit.as_mut().expect("an audit");
                audit.verdict = reports::result::AuditVerdict::Failed;
            }),
            "the audit of bbbbbbbbbbbb failed in leg 2: the speed of a build that breaks its promise is not kept",
        ),
    ];
    for (run, said) in cases {
        assert_eq!(refused(&run, STRICT), said);
    }
}

#[test]
fn changes_that_no_commit_holds_are_marked_where_they_are_allowed() {
    let dirty = changed(|run| run.subjects[1].build.dirty = true);
    let allowed = Adding {
        allow_dirty: true,
        ..STRICT
    };
    let mut history = History::default();
    let added = history.add(&dirty, allowed).expect("allowed");
    assert_eq!(added.lines[0].head.short(), "bbbbbbbbbbbb+");
    // Never for the anchor.
    let dirty = changed(|run| run.subjects[0].build.dirty = true);
    assert!(refused(&dirty, allowed).starts_with("the anchor aaaaaaaaaaaa+"));
    assert_eq!(dirty.subjects[0].side, Some(Side::Base));
}

#[test]
fn the_same_run_is_added_once() {
    let mut history = History::default();
    history.add(&gate(), STRICT).expect("the first time");
    let again = history.add(&gate(), STRICT).expect_err("the second time");
    assert_eq!(
        again.to_string(),
        "the run 20260921-133320-gate-aaaaaa is in the history already"
    );
    assert_eq!(history.entries().len(), 1);
}

#[test]
fn another_anchor_is_refused_unless_it_begins_a_segment() {
    let mut history = History::default();
    history.add(&gate(), STRICT).expect("the first anchor");
    let mut other = measured(1, 0.0);
    other.subjects[0].build.commit = "e".repeat(40);
    let refused = history.add(&other, STRICT).expect_err("another anchor");
    assert_eq!(
        refused.to_string(),
        "it is measured against the anchor eeeeeeeeeeee, and the history of lua-single-key in gate on AMD EPYC 7763, \
         2 cores, 16 GiB, kvm against aaaaaaaaaaaa; --new-anchor begins a new segment, whose ratios are not compared \
         with those before"
    );
    let how = Adding {
        new_anchor: true,
        ..STRICT
    };
    assert_eq!(
        history.add(&other, how).expect("allowed").lines[0].segment,
        2
    );
    // The new anchor is the one that counts from now on, and the old one would be another change.
    let mut next = measured(2, 0.0);
    next.subjects[0].build.commit = "e".repeat(40);
    assert_eq!(
        history.add(&next, STRICT).expect("the same").lines[0].segment,
        2
    );
    assert!(history.add(&measured(3, 0.0), STRICT).is_err());
    let lengths: Vec<usize> = history.series().iter().map(|it| it.entries.len()).collect();
    assert_eq!(lengths, [1, 2]);
}

/// What makes figures unlike makes another series, with an anchor of its own.
#[test]
fn unlike_conditions_are_series_of_their_own() {
    let mut history = History::default();
    history.add(&gate(), STRICT).expect("the first");
    let changes: [fn(&mut Run); 6] = [
        |run| run.machine.class = "another".to_owned(),
        |run| run.scenarios[0].sha256 = "77".to_owned(),
        |run| run.stack.kind = "embedded".to_owned(),
        |run| run.durability.redis_aof = Some("always".to_owned()),
        |run| run.machine.limits.cpus = Some(1.0),
        |run| {
            let set = ("mq.order_batch_size".to_owned(), "9".to_owned());
            run.stack.overrides.extend([set]);
        },
    ];
    for (number, change) in (1..).zip(changes) {
        let mut run = measured(number, 0.0);
        run.subjects[0].build.commit = "e".repeat(40);
        change(&mut run);
        let added = history.add(&run, STRICT).expect("a new series");
        assert_eq!(added.lines[0].segment, 1);
    }
    assert_eq!(history.series().len(), 7);
}

#[test]
fn broken_lines_are_named_by_their_numbers() {
    let mut history = History::default();
    history.add(&gate(), STRICT).expect("a line");
    let line = text(&history);
    let of = |text: String| History::parse(&text).expect_err("refused").to_string();
    assert_eq!(
        of(format!("{line}{}", &line[..100])),
        "line 2, the last one, is cut short, so its writer died: delete it, and add its result again"
    );
    // A whole line without its end may be the start of a longer one.
    assert!(of(line.trim_end().to_owned()).starts_with("line 1, the last one, is cut short"));
    assert_eq!(
        of(line.replace("\"history\":1", "\"history\":2")),
        "line 1 is of version 2, and this version reads only 1: read it with a newer version"
    );
    assert_eq!(
        of(format!("{line}{{\"schema\":2}}\n")),
        "line 2 has no version number \"history\", so this is not a history of this tool"
    );
    for broken in ["", "not JSON", "{\"history\":1}"] {
        let said = of(format!("{line}{broken}\n{line}"));
        assert!(said.starts_with("line 2 is broken: "), "{said}");
    }
    assert_eq!(History::parse("").expect("empty").entries(), []);
}

#[test]
fn what_a_later_version_wrote_into_a_line_is_kept() {
    let mut history = History::default();
    history.add(&gate(), STRICT).expect("a line");
    let later = text(&history).replace("{\"history\":1,", "{\"history\":1,\"weather\":\"fair\",");
    let mut read = History::parse(&later).expect("fields that are not known are no fault");
    read.add(&measured(1, 0.0), STRICT).expect("another");
    assert!(text(&read).starts_with(&later));
}

/// Fifteen commits of which the P99 rises by 12 % at the tenth, in the order of their times.
fn with_a_step() -> History {
    let mut history = History::default();
    for number in (1..=15).rev() {
        let noise = 0.004 * f64::from(number * 7 % 5);
        let step = if number >= 10 { 1.12f64.ln() } else { 0.0 };
        history
            .add(&measured(number, noise + step), STRICT)
            .expect("a line");
    }
    history
}

#[test]
fn a_change_is_found_at_its_commit_with_its_size() {
    let history = with_a_step();
    let all = history.series();
    let [series] = all.as_slice() else {
        panic!("one series, found {}", all.len());
    };
    let changes = series.changes("p99_ms");
    let [change] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(change.head.commit, commit(10));
    assert_eq!((change.before, change.since), (9, 6));
    assert!((change.ratio() - 1.12).abs() < 0.01, "{}", change.ratio());
    assert!(change.p <= 0.01, "{}", change.p);
    assert_eq!(series.changes("throughput_per_s"), []);
    assert_eq!(series.changes("unheard_of"), []);
}

/// The head misses the rate from the eleventh commit on.
#[test]
fn missing_the_rate_is_a_change_without_a_size() {
    let mut history = History::default();
    for number in 1..=15 {
        let noise = 0.001 * f64::from(number * 7 % 5);
        let p99_ln = if number > 10 { f64::INFINITY } else { noise };
        history
            .add(&measured(number, p99_ln), STRICT)
            .expect("a line");
    }
    let read = History::parse(&text(&history)).expect("infinite ratios are written as words");
    let all = read.series();
    let changes = all[0].changes("p99_ms");
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].head.commit, commit(11));
    assert_eq!(changes[0].since_ln, f64::INFINITY);
    let shown = view::history(&read, HistoryFilter::default(), Screen::PLAIN);
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains("P99 of lua-single-key rose beyond measure at commit"),
        "{shown}"
    );
    assert!(
        shown.contains("rate missed over 5 results since."),
        "{shown}"
    );
}

#[test]
fn a_history_is_shown_with_its_change_points_and_newest_results() {
    let history = with_a_step();
    let only_p99 = HistoryFilter {
        metric: Some("p99_ms"),
        ..HistoryFilter::default()
    };
    let shown = view::history(&history, only_p99, Screen::PLAIN);
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.starts_with(
            "lua-single-key in gate on AMD EPYC 7763, 2 cores, 16 GiB, kvm anchor aaaaaaaaaaaa"
        ),
        "{shown}"
    );
    assert!(
        words.contains("P99 of lua-single-key rose by 12 % at commit 000000000010 (p = 0.00"),
        "{shown}"
    );
    assert!(
        words.contains("15 results, 2026-09-22 to 2026-10-06"),
        "{shown}"
    );
    assert!(!shown.contains("throughput_per_s"), "{shown}");
    assert!(
        shown
            .lines()
            .any(|line| line.contains("▁▁") && line.contains('█')),
        "{shown}"
    );
    for screen in [60, 80, 140] {
        let screen = Screen {
            columns: screen,
            colour: false,
        };
        let all = view::history(&history, HistoryFilter::default(), screen);
        for line in all.lines() {
            assert!(
                unicode_width::UnicodeWidthStr::width(line) <= screen.columns,
                "{line}"
            );
        }
    }
    let elsewhere = HistoryFilter {
        scenario: Some("laptop"),
        ..HistoryFilter::default()
    };
    let nothing = view::history(&history, elsewhere, Screen::PLAIN);
    assert_eq!(nothing, "The history holds no such result.\n");
}

/// After an intended change, `UPDATE_GOLDEN=1 cargo test -p reports --test history` rewrites the files,
/// and the difference is reviewed.
#[test]
fn a_history_looks_like_the_golden_files() {
    let history = with_a_step();
    for columns in [80, 120] {
        let screen = Screen {
            columns,
            colour: false,
        };
        let shown = view::history(&history, HistoryFilter::default(), screen);
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/golden/view/history.{columns}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &shown).expect("the golden folder can be written");
        }
        let expected = std::fs::read_to_string(&path).expect("UPDATE_GOLDEN=1 writes it");
        assert_eq!(shown, expected, "UPDATE_GOLDEN=1 rewrites it");
    }
}

#[test]
fn a_short_history_says_how_many_results_are_missing() {
    let mut history = History::default();
    for number in 1..=3 {
        history.add(&measured(number, 0.0), STRICT).expect("a line");
    }
    let shown = view::history(&history, HistoryFilter::default(), Screen::PLAIN);
    let said = "3 results: change points are looked for from 10 on.\n";
    assert!(shown.contains(said), "{shown}");
}
