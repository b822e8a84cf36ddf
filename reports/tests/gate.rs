//! The gate on runs whose truth is known: what fails, passes, voids, and ends it.

mod gate {
    mod failing;
    pub mod runs;
    mod views;
    mod void;
}

use gate::runs::{BASE, HEAD, RATE_PER_S, USUAL, leg, lost_order, of_legs, run};
use reports::gate::{Judged, Next, Rules, exit_code, judge};
use reports::result::{Flag, GateHead, GateMetric, Leg, Run, Verdict};
use std::collections::BTreeMap;

pub fn judged(run: &Run) -> Judged {
    judged_by(run, &Rules::default())
}

fn judged_by(run: &Run, rules: &Rules) -> Judged {
    let heads = [HEAD.to_owned()];
    judge(run, rules, BASE, &heads, RATE_PER_S, &[], &BTreeMap::new())
}

pub fn only(judged: &Judged) -> &GateHead {
    assert_eq!(judged.gate.heads.len(), 1);
    &judged.gate.heads[0]
}

fn metric<'a>(head: &'a GateHead, id: &str) -> &'a GateMetric {
    let found = head.metrics.iter().find(|metric| metric.metric == id);
    found.unwrap_or_else(|| panic!("{id} is not among {:?}", head.metrics))
}

/// The leg of the head in one block.
fn head_of(run: &mut Run, block: u32) -> &mut Leg {
    of(run, HEAD, block)
}

fn of<'a>(run: &'a mut Run, subject: &str, block: u32) -> &'a mut Leg {
    let mut legs = run.legs.iter_mut();
    let is_it = |leg: &&mut Leg| {
        leg.subject == subject && leg.pair.as_ref().is_some_and(|pair| pair.block == block)
    };
    legs.find(is_it).expect("it ran")
}

#[test]
fn a_head_that_changes_nothing_passes_at_the_first_look() {
    let judged = judged(&run(10, [1.0; 3]));
    let head = only(&judged);
    assert_eq!((&head.verdict, head.look), (&Verdict::Pass, Some(1)));
    assert_eq!(
        (&judged.next, exit_code(&judged.gate, true)),
        (&Next::Done, 0)
    );
    assert_eq!(head.blocks, (1..=10).collect::<Vec<u32>>());
}

#[test]
fn each_metric_fails_when_it_is_worse_by_more_than_its_threshold_and_significantly() {
    for (id, factors, threshold) in [
        ("throughput_per_s", [0.85, 1.0, 1.0], 0.95f64),
        ("p99_ms", [1.0, 1.25, 1.0], 1.10),
        ("cpu_us_per_request_drained", [1.0, 1.0, 1.06], 1.02),
    ] {
        let judged = judged(&run(10, factors));
        let head = only(&judged);
        assert_eq!(
            (&head.verdict, head.look),
            (&Verdict::Fail, Some(1)),
            "{id}"
        );
        assert_eq!(exit_code(&judged.gate, false), 1);
        for metric in &head.metrics {
            let expected = match metric.metric == id {
                true => Verdict::Fail,
                false => Verdict::Pass,
            };
            assert_eq!(metric.verdict, expected, "{id}: {metric:?}");
        }
        let found = metric(head, id);
        let factor: f64 = factors.iter().product();
        assert!((found.hl_ln.0 - factor.ln()).abs() < 0.005, "{found:?}");
        assert!((found.threshold_ln - threshold.ln()).abs() < 1e-12);
        assert!(found.adverse_lower_ln < found.hl_ln && found.hl_ln < found.adverse_upper_ln);
        assert_eq!(found.p_one_sided, 1.0 / 1_024.0);
        assert_eq!(found.p_adjusted, Some(3.0 / 1_024.0));
    }
}

#[test]
fn a_change_for_the_better_passes_however_large_it_is() {
    let judged = judged(&run(10, [2.0, 0.3, 0.5]));
    assert_eq!(only(&judged).verdict, Verdict::Pass);
}

#[test]
fn what_is_undecided_at_the_first_look_needs_ten_more_blocks_and_is_then_inconclusive() {
    // Right at the threshold of P99.
    let at_first = judged(&run(10, [1.0, 1.10, 1.0]));
    assert_eq!(at_first.next, Next::Blocks(10));
    assert_eq!(at_first.open_heads, [HEAD]);
    assert!(only(&at_first).is_open());
    assert_eq!(
        exit_code(&at_first.gate, false),
        2,
        "nothing is decided yet"
    );
    let between = judged(&run(13, [1.0, 1.10, 1.0]));
    assert_eq!(between.next, Next::Blocks(7));
    assert_eq!(only(&between).blocks.len(), 10);
    let at_last = judged(&run(20, [1.0, 1.10, 1.0]));
    let head = only(&at_last);
    assert_eq!(
        (&head.verdict, head.look),
        (&Verdict::Inconclusive, Some(2))
    );
    assert_eq!(at_last.next, Next::Done);
    assert_eq!(exit_code(&at_last.gate, false), 0);
    assert_eq!(exit_code(&at_last.gate, true), 1);
}

#[test]
fn before_the_first_look_figures_inform_and_nothing_passes() {
    let judged = judged(&run(6, [0.5, 3.0, 2.0]));
    assert_eq!(judged.next, Next::Blocks(4));
    let head = only(&judged);
    assert!(head.is_open());
    assert!(
        head.metrics
            .iter()
            .all(|metric| metric.verdict == Verdict::Inconclusive)
    );
    assert_eq!(metric(head, "p99_ms").look, 0);
    let cut = judged.cut_short("interrupted after 6 blocks");
    assert_eq!(exit_code(&cut, false), 2);
    assert_eq!(
        cut.not_measured.as_deref(),
        Some("interrupted after 6 blocks")
    );
    let nothing = judged_by(&run(0, [1.0; 3]), &Rules::default());
    assert_eq!(nothing.next, Next::Blocks(10));
}

#[test]
fn what_was_decided_at_the_first_look_is_not_undone_by_later_blocks() {
    let mut run = run(10, [1.0; 3]);
    for block in 11..=20 {
        run.legs.push(leg(BASE, block, 1, USUAL));
        run.legs
            .push(leg(HEAD, block, 1, USUAL.times([0.5, 3.0, 2.0])));
    }
    assert_eq!(only(&judged(&run)).verdict, Verdict::Pass);
}

#[test]
fn a_lost_order_fails_at_once_even_in_a_block_that_is_void() {
    let mut run = run(3, [1.0; 3]);
    head_of(&mut run, 2).audit = Some(lost_order());
    for leg in &mut run.legs[2..4] {
        leg.pair.as_mut().expect("in a block").void = Some("steal".to_owned());
    }
    let judged = judged(&run);
    let head = only(&judged);
    assert_eq!(head.verdict, Verdict::Fail);
    assert_eq!(
        head.why.as_deref(),
        Some(
            "its audit failed in block 2: every accepted order has exactly one row: expected 200,000 rows, found 199,999 rows"
        )
    );
    assert_eq!(judged.next, Next::Done);
    assert_eq!(exit_code(&judged.gate, false), 1);
}

#[test]
fn a_base_that_fails_leaves_nothing_to_compare_with() {
    let mut failed = run(3, [1.0; 3]);
    of(&mut failed, BASE, 1).audit = Some(lost_order());
    let mut broken = run(3, [1.0; 3]);
    let leg = of(&mut broken, BASE, 3);
    (leg.complete, leg.error) = (false, Some("redis went away\nlog".to_owned()));
    for (run, why) in [
        (
            failed,
            "the base's audit failed in block 1: every accepted order has exactly one row",
        ),
        (broken, "the base's leg of block 3 broke: redis went away"),
    ] {
        let judged = judged(&run);
        let Next::NotMeasured(said) = &judged.next else {
            panic!("{:?}", judged.next)
        };
        assert!(said.starts_with(why) && !said.contains('\n'), "{said}");
        assert_eq!(judged.gate.not_measured.as_ref(), Some(said));
        assert_eq!(exit_code(&judged.gate, false), 2);
    }
}

#[test]
fn a_leg_of_the_head_that_breaks_beside_a_whole_one_of_the_base_fails() {
    let mut run = run(2, [1.0; 3]);
    let leg = head_of(&mut run, 2);
    (leg.complete, leg.error, leg.audit) = (false, Some("seckill ended".to_owned()), None);
    let judged_now = judged(&run);
    let why = only(&judged_now).why.as_deref();
    assert_eq!(why, Some("its leg of block 2 broke: seckill ended"));
    assert_eq!(only(&judged_now).verdict, Verdict::Fail);
    // Not so beside one that never ran, or in an attempt that is void.
    let mut alone = run.clone();
    alone.legs.remove(2);
    assert!(only(&judged(&alone)).is_open());
    head_of(&mut run, 2).pair.as_mut().expect("in a block").void = Some("steal".to_owned());
    assert!(only(&judged(&run)).is_open());
}

#[test]
fn a_void_block_counts_when_its_next_attempt_is_not_void() {
    let mut run = run(10, [1.0; 3]);
    // The figures of a void attempt are far off, and must not be seen.
    for subject in [BASE, HEAD] {
        let mut void = leg(subject, 4, 0, USUAL.times([0.1, 9.0, 9.0]));
        void.pair.as_mut().expect("in a block").void = Some("foreign_cpu".to_owned());
        run.legs.push(void);
    }
    let judged = judged(&run);
    assert_eq!(only(&judged).verdict, Verdict::Pass);
    assert_eq!(
        judged.gate.voided,
        BTreeMap::from([("foreign_cpu".to_owned(), 1)])
    );
}

#[test]
fn more_than_five_void_blocks_are_no_measurement() {
    let void = |run: &mut Run, attempts: u32| {
        for attempt in 1..=attempts {
            let mut leg = leg(BASE, 5, attempt, USUAL);
            leg.pair.as_mut().expect("in a block").void = Some("steal".to_owned());
            run.legs.push(leg);
        }
    };
    let mut five = run(4, [1.0; 3]);
    void(&mut five, 5);
    assert_eq!(judged(&five).next, Next::Blocks(6));
    let mut six = run(4, [1.0; 3]);
    void(&mut six, 6);
    let found = judged(&six);
    let why = "6 blocks were void (steal 6), more than 5";
    assert_eq!(found.next, Next::NotMeasured(why.to_owned()));
    assert_eq!(exit_code(&found.gate, false), 2);
}

#[test]
fn a_head_that_misses_a_rate_that_the_base_keeps_is_infinitely_slower() {
    let mut run = run(10, [1.0; 3]);
    for block in 1..=10 {
        let open = &mut head_of(&mut run, block).phases[0];
        open.finished = open.due * 97 / 100;
    }
    let judged_now = judged(&run);
    let p99 = metric(only(&judged_now), "p99_ms").clone();
    assert_eq!(p99.verdict, Verdict::Fail);
    assert!(p99.d.iter().all(|d| d.0 == f64::INFINITY));
    let text = serde_json::to_string(&judged_now.gate).expect("JSON");
    assert!(text.contains(r#""hl_ln":"inf""#), "{text}");
    assert_eq!(
        serde_json::from_str::<reports::result::Gate>(&text).expect("read"),
        judged_now.gate
    );
    // A base that misses it too is no yardstick for that.
    for block in 1..=10 {
        let open = &mut of(&mut run, BASE, block).phases[0];
        open.finished = open.due * 97 / 100;
    }
    assert_eq!(metric(only(&judged(&run)), "p99_ms").verdict, Verdict::Pass);
}

#[test]
fn a_head_that_finishes_nothing_is_infinitely_worse() {
    let mut run = run(10, [1.0; 3]);
    for block in 1..=10 {
        head_of(&mut run, block).phases[1].finished = 0;
    }
    let judged = judged(&run);
    let throughput = metric(only(&judged), "throughput_per_s");
    assert_eq!(throughput.hl_ln.0, f64::NEG_INFINITY);
    assert_eq!(throughput.verdict, Verdict::Fail);
    assert_eq!(
        metric(only(&judged), "cpu_us_per_request_drained").hl_ln.0,
        f64::INFINITY
    );
}

#[test]
fn a_metric_that_nobody_can_see_is_left_out_and_one_that_one_side_hides_lets_nothing_pass() {
    let hide = |leg: &mut Leg| leg.usage_until_drained.clear();
    let mut unseen = run(10, [1.0; 3]);
    unseen.legs.iter_mut().for_each(hide);
    let found = judged(&unseen);
    assert_eq!(only(&found).metrics.len(), 2);
    assert_eq!(only(&found).verdict, Verdict::Pass);
    assert_eq!(
        only(&found).remarks,
        ["cpu_us_per_request_drained was not seen on either side, so it was not judged"]
    );
    let mut hidden = run(20, [1.0; 3]);
    hide(head_of(&mut hidden, 7));
    let found = judged(&hidden);
    assert_eq!(only(&found).verdict, Verdict::Inconclusive);
    assert!(
        only(&found).remarks[0].starts_with("cpu_us_per_request_drained is missing in block 7")
    );
    let mut nothing = run(3, [1.0; 3]);
    nothing.legs.iter_mut().for_each(|leg| leg.phases.clear());
    let found = judged(&nothing);
    assert!(
        matches!(found.next, Next::NotMeasured(_)),
        "{:?}",
        found.next
    );
}

#[test]
fn a_leg_whose_figures_are_not_what_they_seem_lets_nothing_pass() {
    let mut run = run(20, [1.0; 3]);
    head_of(&mut run, 3).flags.insert(Flag::StockEnded);
    let judged = judged(&run);
    assert_eq!(only(&judged).verdict, Verdict::Inconclusive);
    assert_eq!(
        only(&judged).remarks,
        ["1 leg is flagged stock_ended, so nothing passes"]
    );
}

#[test]
fn heads_are_judged_independently_and_identical_ones_pass_unmeasured() {
    let mut run = run(10, [1.0; 3]);
    let (slow, same) = ("head 2", "head 3");
    for block in 1..=10 {
        run.legs
            .push(leg(slow, block, 1, USUAL.times([0.8, 1.0, 1.0])));
    }
    let heads = [HEAD, slow, same].map(str::to_owned);
    let identical = [same.to_owned()];
    let none = BTreeMap::new();
    let rules = Rules::default();
    let judged = judge(&run, &rules, BASE, &heads, RATE_PER_S, &identical, &none);
    let verdicts: Vec<&Verdict> = judged.gate.heads.iter().map(|head| &head.verdict).collect();
    assert_eq!(verdicts, [&Verdict::Pass, &Verdict::Fail, &Verdict::Pass]);
    assert!(judged.gate.heads[2].identical && judged.gate.heads[2].metrics.is_empty());
    assert_eq!(judged.next, Next::Done);
}

#[test]
fn instructions_fail_a_head_only_where_they_are_to() {
    let counts = BTreeMap::from([(
        HEAD.to_owned(),
        BTreeMap::from([("reserve".to_owned(), 1.08), ("decode".to_owned(), 0.9)]),
    )]);
    let heads = [HEAD.to_owned()];
    let run = run(10, [1.0; 3]);
    for (strict_instructions, verdict) in [
        (None, Verdict::Pass),
        (Some(1.05f64.ln()), Verdict::Fail),
        (Some(1.10f64.ln()), Verdict::Pass),
    ] {
        let rules = Rules {
            strict_instructions,
            ..Rules::default()
        };
        let judged = judge(&run, &rules, BASE, &heads, RATE_PER_S, &[], &counts);
        assert_eq!(only(&judged).verdict, verdict);
        assert_eq!(only(&judged).instructions, counts[HEAD]);
    }
}

/// Nothing depends on the order in which legs are written down.
#[test]
fn the_order_of_legs_changes_nothing() {
    let run = run(10, [0.93, 1.08, 1.01]);
    let mut turned = run.clone();
    turned.legs.reverse();
    assert_eq!(judged(&run), judged(&turned));
}

#[test]
fn a_run_without_blocks_asks_for_them() {
    let mut calibration = leg(BASE, 1, 1, USUAL);
    calibration.pair = None;
    let judged = judged(&of_legs(vec![calibration]));
    assert_eq!(judged.next, Next::Blocks(10));
    assert!(only(&judged).metrics.is_empty());
}
