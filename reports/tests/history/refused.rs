//! What measured nothing, or something else than it seems to, is no line of a history.

use crate::{STRICT, changed, commit, gate, measured, refused, text};
use reports::history::{Adding, History};
use reports::result::{AuditVerdict, Cause, GateHead, LnRatio, Run, Verdict};
use reports::view::{self, HistoryFilter, Screen};

const AGAIN: Adding = Adding {
    again: true,
    ..STRICT
};

fn head(run: &mut Run) -> &mut GateHead {
    &mut run.gate.as_mut().expect("a gate").heads[0]
}

fn shown(history: &History) -> String {
    let shown = view::history(history, HistoryFilter::default(), Screen::PLAIN);
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_gate_that_measured_nothing_that_counts_is_refused() {
    let cases: [(Run, &str); 6] = [
        (
            changed(|run| {
                let gate = run.gate.as_mut().expect("a gate");
                gate.not_measured = Some("six blocks are void".to_owned());
            }),
            "the gate measured nothing that counts: six blocks are void",
        ),
        (
            changed(|run| {
                let audit = run.legs[0].audit.as_mut().expect("an audit");
                audit.verdict = AuditVerdict::Failed;
            }),
            "the audit of the anchor aaaaaaaaaaaa failed in leg 1",
        ),
        (
            changed(|run| {
                let head = head(run);
                head.cause = Some(Cause::Leg);
                head.why = Some("it crashed".to_owned());
            }),
            "the head bbbbbbbbbbbb broke beside a whole leg of the anchor: it crashed",
        ),
        (
            changed(|run| head(run).cause = Some(Cause::Audit)),
            "the head bbbbbbbbbbbb broke",
        ),
        (
            changed(|run| {
                head(run).look = None;
                head(run).verdict = Verdict::Inconclusive;
            }),
            "the run ended before anything was decided of the head bbbbbbbbbbbb",
        ),
        (
            changed(|run| head(run).metrics[2].look = 0),
            "the run ended before anything was decided of the head bbbbbbbbbbbb",
        ),
    ];
    for (run, said) in cases {
        let error = refused(&run, STRICT);
        assert!(error.starts_with(said), "{error}");
    }
}

/// Another head, in the same run.
fn with_a_second_head(run: &mut Run) -> &mut GateHead {
    let mut second = run.subjects[1].clone();
    second.id = "second".to_owned();
    second.build.commit = "d".repeat(40);
    second.build.sha256 = "d".repeat(64);
    run.subjects.push(second);
    let gate = run.gate.as_mut().expect("a gate");
    let mut head = gate.heads[0].clone();
    head.subject = "second".to_owned();
    gate.heads.push(head);
    &mut gate.heads[1]
}

#[test]
fn a_head_that_failed_is_left_out_and_named_and_the_others_are_added() {
    let mut run = gate();
    with_a_second_head(&mut run).cause = Some(Cause::Leg);
    let added = History::default().add(&run, STRICT).expect("the first");
    assert_eq!(added.lines.len(), 1);
    assert_eq!(added.lines[0].head.short(), "bbbbbbbbbbbb");
    let [why] = added.left_out.as_slice() else {
        panic!("{added:?}");
    };
    assert!(why.to_string().starts_with("the head dddddddddddd broke"));
}

/// Results from elsewhere take their id from that of the base.
#[test]
fn two_heads_against_one_base_have_one_id_and_are_both_added() {
    let mut history = History::default();
    history.add(&gate(), STRICT).expect("the first");
    let other = changed(|run| {
        run.subjects[1].build.commit = "d".repeat(40);
        run.subjects[1].build.sha256 = "d".repeat(64);
    });
    history.add(&other, STRICT).expect("the second");
    assert!(history.add(&other, AGAIN).is_err(), "the same once more");
    assert_eq!(history.entries().len(), 2);
}

#[test]
fn a_commit_has_one_line_unless_it_is_added_again_and_then_the_latest_counts() {
    let mut history = History::default();
    for number in 1..=3 {
        history.add(&measured(number, 0.0), STRICT).expect("added");
    }
    let mut repeat = measured(9, 0.4);
    repeat.subjects[1].build.commit = commit(2);
    let error = history.add(&repeat, STRICT).expect_err("refused");
    let error = error.to_string();
    assert!(
        error.starts_with("the commit 000000000002 of lua-single-key in gate"),
        "{error}"
    );
    assert!(
        error.contains("measured by the run run-2; --again adds it"),
        "{error}"
    );
    history.add(&repeat, AGAIN).expect("allowed");
    let history = History::parse(&text(&history)).expect("its own lines");
    let all = history.series();
    assert_eq!(all[0].entries.len(), 4);
    let points = all[0].points("p99_ms");
    let of_each: Vec<(&str, bool)> = points
        .iter()
        .map(|(line, ln)| (line.head.commit.as_str(), *ln > 0.3))
        .collect();
    let (first, second, third) = (commit(1), commit(2), commit(3));
    assert_eq!(
        of_each,
        [(first.as_str(), false), (&second, true), (&third, false)]
    );
    let shown = shown(&history);
    // Once in each of the two parts of the table.
    assert_eq!(shown.matches("000000000002 (repeat)").count(), 2, "{shown}");
    // Two heads of one run may be one commit, too.
    let mut run = gate();
    with_a_second_head(&mut run);
    run.subjects[2].build.commit = run.subjects[1].build.commit.clone();
    assert!(refused(&run, STRICT).contains("--again"));
}

fn throughput_of(number: u32, ln: f64) -> Run {
    let mut run = measured(number, 0.0);
    head(&mut run).metrics[0].d = vec![LnRatio(ln); 10];
    run
}

#[test]
fn a_head_that_finished_nothing_did_not_miss_a_rate() {
    let mut history = History::default();
    history
        .add(&throughput_of(1, f64::NEG_INFINITY), STRICT)
        .expect("added");
    let shown = shown(&history);
    assert!(shown.contains("finished nothing"), "{shown}");
    assert!(!shown.contains("rate missed"), "{shown}");
}

/// From infinite to finite is no fall by 100 %.
#[test]
fn a_change_from_a_missed_rate_has_no_size() {
    let mut history = History::default();
    for number in 1..=15 {
        let p99_ln = if number > 8 {
            0.001 * f64::from(number * 7 % 5)
        } else {
            f64::INFINITY
        };
        history
            .add(&measured(number, p99_ln), STRICT)
            .expect("added");
    }
    let shown = shown(&history);
    assert!(shown.contains("fell beyond measure at commit"), "{shown}");
    assert!(!shown.contains("100"), "{shown}");
}

#[test]
fn a_metric_with_too_few_points_is_not_said_to_be_without_a_change() {
    let mut history = History::default();
    for number in 1..=12 {
        let mut run = measured(number, 0.0);
        if number > 3 {
            head(&mut run).metrics.remove(0);
        }
        history.add(&run, STRICT).expect("added");
    }
    let all = shown(&history);
    assert!(
        all.contains(
            "Too few to look for change points, which takes 10: throughput_per_s has 3 results."
        ),
        "{all}"
    );
    let filter = HistoryFilter {
        metric: Some("throughput_per_s"),
        ..HistoryFilter::default()
    };
    let only = view::history(&history, filter, Screen::PLAIN);
    assert!(!only.contains("No change point."), "{only}");
    assert!(
        only.contains("3 results: change points are looked for from 10 on."),
        "{only}"
    );
}
