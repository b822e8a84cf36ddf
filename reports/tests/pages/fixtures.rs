//! Runs whose pages are looked at: those of the other views, and some that only a page shows.

use crate::view::runs;
use reports::result::*;
use std::collections::BTreeMap;

pub fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("laptop", runs::laptop()),
        ("engines", runs::engines()),
        ("textbook", runs::textbook()),
        ("failed_audit", runs::failed_audit()),
        ("interrupted", runs::interrupted()),
        ("nothing_measured", runs::nothing_measured()),
        ("open_loop", runs::open_loop()),
        ("sold_out_storm", runs::sold_out_storm()),
        ("capacity", runs::capacity()),
        ("matrix", runs::matrix()),
        ("gate", gate()),
    ]
}

/// A head that is slower, keeps its CPU, and misses a rate that the base keeps.
pub fn gate() -> Run {
    let mut run = runs::engines();
    run.kind = RunKind::Gate;
    run.legs
        .retain(|leg| ["lua-single-key", "sharded-slots"].contains(&leg.subject.as_str()));
    let blocks = |middle: f64| -> Vec<LnRatio> {
        (0..10)
            .map(|block| LnRatio(middle + 0.01 * f64::from(block - 5)))
            .collect()
    };
    let metric = |id: &str, threshold_ln: f64, middle: f64, verdict: Verdict| GateMetric {
        metric: id.to_owned(),
        threshold_ln,
        d: blocks(middle),
        look: 1,
        spread: 0.03,
        hl_ln: LnRatio(middle),
        adverse_lower_ln: LnRatio(middle - 0.02),
        adverse_upper_ln: LnRatio(middle + 0.02),
        p_one_sided: 0.001,
        p_adjusted: Some(0.003),
        detectable_ln: 0.04,
        verdict,
    };
    let mut missed = metric("p99_ms", 0.095, 0.22, Verdict::Fail);
    missed.d[9] = LnRatio(f64::INFINITY);
    missed.adverse_upper_ln = LnRatio(f64::INFINITY);
    run.gate = Some(Gate {
        base: "lua-single-key".to_owned(),
        heads: vec![GateHead {
            subject: "sharded-slots".to_owned(),
            identical: false,
            verdict: Verdict::Fail,
            cause: None,
            why: None,
            look: Some(1),
            blocks: (1..=10).collect(),
            remarks: Vec::new(),
            instructions: BTreeMap::from([("decode".to_owned(), 1.012)]),
            metrics: vec![
                metric("throughput_per_s", -0.051, -0.13, Verdict::Fail),
                missed,
                metric("cpu_us_per_request", 0.02, 0.001, Verdict::Pass),
            ],
        }],
        voided: BTreeMap::from([("steal".to_owned(), 1)]),
        rate_per_s: 20_000.0,
        looks: Vec::new(),
        not_measured: None,
    });
    run
}
