//! One head of a gate: what fails it at once, and what its metrics say at each look.

use super::blocks::{Blocks, Pair};
use super::look::{Adverse, look_at, of_all};
use super::measured::{Measured, flags};
use super::power::{detectable_ln, spread};
use super::rules::{Look, Rules};
use crate::result::{Cause, GateHead, GateMetric, LnRatio, Verdict};
use std::collections::BTreeMap;

pub(super) fn judged(
    blocks: &Blocks<'_>,
    rules: &Rules,
    id: &str,
    identical: bool,
    instructions: &BTreeMap<String, f64>,
) -> GateHead {
    let mut head = GateHead {
        subject: id.to_owned(),
        identical,
        verdict: Verdict::Inconclusive,
        cause: None,
        why: None,
        look: None,
        blocks: Vec::new(),
        metrics: Vec::new(),
        remarks: Vec::new(),
        instructions: instructions.clone(),
    };
    if identical {
        let why = "the same bytes as the base, so nothing was measured";
        (head.cause, head.why) = (Some(Cause::Identical), Some(why.to_owned()));
        head.verdict = Verdict::Pass;
        return head;
    }
    judge_looks(&mut head, &blocks.pairs(id), rules);
    let failed = blocks.head_failed(id);
    let failed = failed.or_else(|| too_many_instructions(instructions, rules));
    if let Some((cause, why)) = failed {
        (head.cause, head.why) = (Some(cause), Some(why));
        head.verdict = Verdict::Fail;
    }
    head
}

/// The benchmark that rose most, where that is more than the rules allow.
fn too_many_instructions(ratios: &BTreeMap<String, f64>, rules: &Rules) -> Option<(Cause, String)> {
    let allowed_ln = rules.strict_instructions?;
    let worst = ratios.iter().max_by(|a, b| a.1.total_cmp(b.1));
    let (benchmark, ratio) = worst.filter(|(_, ratio)| ratio.ln() > allowed_ln)?;
    let percent = |ratio: f64| (ratio - 1.0) * 100.0;
    let why = format!(
        "{benchmark} takes {:.1} % more instructions, and {:.1} % are allowed",
        percent(*ratio),
        percent(allowed_ln.exp())
    );
    Some((Cause::Instructions, why))
}

/// Judges at every look that the blocks reach, until one decides.
fn judge_looks(head: &mut GateHead, pairs: &[Pair<'_>], rules: &Rules) {
    for (number, look) in (1..).zip(&rules.looks) {
        let Some(of_look) = pairs.get(..look.blocks as usize) else {
            break;
        };
        judge(head, of_look, rules, look, number);
        if head.verdict != Verdict::Inconclusive || number as usize == rules.looks.len() {
            head.look = Some(number);
            return;
        }
    }
    // Before the first look the figures inform, and decide nothing.
    if let Some(first) = rules.looks.first()
        && head.metrics.is_empty()
        && pairs.len() >= 2
    {
        judge(head, pairs, rules, first, 0);
        head.verdict = Verdict::Inconclusive;
        for metric in &mut head.metrics {
            metric.verdict = Verdict::Inconclusive;
        }
    }
}

/// Fills a head's metrics, remarks and verdict from these blocks.
fn judge(head: &mut GateHead, pairs: &[Pair<'_>], rules: &Rules, look: &Look, number: u32) {
    head.blocks = pairs.iter().map(|pair| pair.block).collect();
    head.remarks = flags(pairs);
    // A leg that says nothing, or a value that only one side has, may be the head's own doing.
    let mut may_pass = head.remarks.is_empty();
    let mut measured: Vec<Measured> = Vec::new();
    for rule in &rules.metrics {
        match Measured::of(rule, pairs) {
            Ok(metric) => measured.push(metric),
            Err(left_out) => {
                may_pass &= left_out.is_unseen;
                head.remarks.push(left_out.remark);
            }
        }
    }
    let turned: Vec<Vec<f64>> = measured.iter().map(Measured::turned).collect();
    let adverse = measured.iter().zip(&turned).map(|(metric, d)| Adverse {
        d,
        threshold_ln: metric.turn(metric.threshold_ln),
    });
    let adverse: Vec<Adverse<'_>> = adverse.collect();
    let findings = look_at(&adverse, look);
    let last = rules.looks.last().unwrap_or(look);
    let metrics = measured.iter().zip(&adverse).zip(findings);
    let metrics = metrics.map(|((metric, adverse), finding)| {
        let turn = |ln: f64| LnRatio(metric.turn(ln));
        let (mut lower, mut upper) = (turn(finding.lower_ln), turn(finding.upper_ln));
        if metric.up_is_good {
            std::mem::swap(&mut lower, &mut upper);
        }
        let spread = spread(adverse.d).unwrap_or(0.0);
        let visible_ln = detectable_ln(spread, adverse.threshold_ln, last, measured.len());
        GateMetric {
            metric: metric.id.to_owned(),
            threshold_ln: metric.threshold_ln,
            d: metric.d.iter().copied().map(LnRatio).collect(),
            look: number,
            spread,
            hl_ln: turn(finding.hl_ln),
            adverse_lower_ln: lower,
            adverse_upper_ln: upper,
            p_one_sided: finding.p_one_sided,
            p_adjusted: Some(finding.p_adjusted),
            detectable_ln: metric.turn(visible_ln),
            verdict: finding.verdict,
        }
    });
    head.metrics = metrics.collect();
    head.verdict = of_all(head.metrics.iter().map(|metric| &metric.verdict));
    if head.verdict == Verdict::Pass && !may_pass {
        head.verdict = Verdict::Inconclusive;
    }
}
