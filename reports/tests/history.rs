//! The history against results of gates: what becomes a line, what is refused, and what is kept; in
//! `shown`, where a series changes and what people read of it.

use reports::history::{Adding, History};
use reports::result::{LnRatio, Run, RunKind, Side};

mod history {
    mod refused;
    mod shown;
}

const GATE: &str = include_str!("history/gate.json");
const STRICT: Adding = Adding {
    allow_dirty: false,
    new_anchor: false,
    again: false,
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
    let changes: [fn(&mut Run); 9] = [
        |run| run.machine.class = "another".to_owned(),
        |run| run.scenarios[0].sha256 = "77".to_owned(),
        |run| run.stack.kind = "embedded".to_owned(),
        |run| run.durability.redis_aof = Some("always".to_owned()),
        |run| run.machine.limits.cpus = Some(1.0),
        |run| {
            let set = ("mq.order_batch_size".to_owned(), "9".to_owned());
            run.stack.overrides.extend([set]);
        },
        |run| run.machine.limits.driver_apart = true,
        |run| run.subjects[1].build.profile = "debug".to_owned(),
        |run| run.lab.profile = "debug".to_owned(),
    ];
    for (number, change) in (1..).zip(changes) {
        let mut run = measured(number, 0.0);
        run.subjects[0].build.commit = "e".repeat(40);
        change(&mut run);
        let added = history.add(&run, STRICT).expect("a new series");
        assert_eq!(added.lines[0].segment, 1);
    }
    assert_eq!(history.series().len(), 10);
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
