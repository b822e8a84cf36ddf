//! What the blocks so far say of every head, and whether more are needed.

use super::blocks::Blocks;
use super::head;
use super::rules::{Look, Rules};
use crate::result::{Gate, GateHead, GateLook, Run, Verdict};
use std::collections::BTreeMap;

/// A gate as far as it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub gate: Gate,
    pub next: Next,
    /// Heads that the next blocks are for: nothing is decided of them yet.
    pub open_heads: Vec<String>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many more blocks that count, each with the base and every open head.
    Blocks(u32),
    Done,
    /// The reason, in one sentence; the gate holds it too.
    NotMeasured(String),
}

impl Judged {
    /// The gate of a run that ends here. While a head is open that is "not measured", for this
    /// reason: nothing that was cut short passes.
    pub fn cut_short(self, why: &str) -> Gate {
        let mut gate = self.gate;
        if !self.open_heads.is_empty() && gate.not_measured.is_none() {
            gate.not_measured = Some(why.to_owned());
        }
        gate
    }
}

/// Judges every head by itself from the legs that have a `pair`. A block counts when its last
/// attempt is not void; a head is judged at each look by the first so many of its blocks, and what
/// is decided stays so. A leg that broke in an attempt that is void says nothing, so an interrupt is
/// a reason to void; an audit that failed always counts.
///
/// `heads` are ids of subjects, those in `identical` are the base's bytes; `instructions` holds
/// ratios of instruction counts by head and benchmark.
///
/// # Panics
/// When a rule names no metric of the registry.
pub fn judge(
    run: &Run,
    rules: &Rules,
    base: &str,
    heads: &[String],
    rate_per_s: f64,
    identical: &[String],
    instructions: &BTreeMap<String, BTreeMap<String, f64>>,
) -> Judged {
    let blocks = Blocks::of(run, base);
    let none = BTreeMap::new();
    let heads: Vec<GateHead> = heads
        .iter()
        .map(|id| {
            let counts = instructions.get(id).unwrap_or(&none);
            head::judged(&blocks, rules, id, identical.contains(id), counts)
        })
        .collect();
    let voided = blocks.voided();
    let open: Vec<&GateHead> = heads.iter().filter(|head| head.is_open()).collect();
    let not_measured = blocks
        .base_failed()
        .or_else(|| heads.iter().find_map(nothing_judged))
        .or_else(|| too_many(&voided, rules.voided_max).filter(|_| !open.is_empty()));
    let missing = |head: &&GateHead| rules.missing(blocks.pairs(&head.subject).len());
    let missing = open.iter().map(missing).max();
    let next = match (&not_measured, missing) {
        (Some(why), _) => Next::NotMeasured(why.clone()),
        (None, Some(blocks)) => Next::Blocks(blocks),
        (None, None) => Next::Done,
    };
    let open_heads = open.iter().map(|head| head.subject.clone()).collect();
    let look = |look: &Look| GateLook {
        blocks: look.blocks,
        alpha: look.alpha,
        pass_error: look.pass_error,
    };
    let gate = Gate {
        base: base.to_owned(),
        heads,
        voided,
        rate_per_s,
        looks: rules.looks.iter().map(look).collect(),
        not_measured,
    };
    Judged {
        gate,
        next,
        open_heads,
    }
}

/// 0 when every head passed or was inconclusive, 1 when one failed (`strict`: or was inconclusive), 2
/// when there is no verdict: not measured, cut short, or no head at all.
pub fn exit_code(gate: &Gate, strict: bool) -> u8 {
    let any = |verdict: Verdict| gate.heads.iter().any(|head| head.verdict == verdict);
    let is_unknown = |head: &GateHead| head.is_open() || !Verdict::KNOWN.contains(&head.verdict);
    if gate.not_measured.is_some() || gate.heads.is_empty() {
        2
    } else if any(Verdict::Fail) {
        1
    } else if gate.heads.iter().any(is_unknown) {
        2
    } else {
        u8::from(strict && any(Verdict::Inconclusive))
    }
}

fn too_many(voided: &BTreeMap<String, u64>, max: u32) -> Option<String> {
    let all: u64 = voided.values().sum();
    let reasons: Vec<String> = voided
        .iter()
        .map(|(reason, times)| format!("{reason} {times}"))
        .collect();
    (all > u64::from(max)).then(|| {
        format!(
            "{all} blocks were void ({}), more than {max}",
            reasons.join(", ")
        )
    })
}

/// A head that was looked at, and of which no metric could be computed. More blocks would not help:
/// what is missing in one stays missing.
fn nothing_judged(head: &GateHead) -> Option<String> {
    let is_empty = !head.blocks.is_empty() && head.metrics.is_empty() && head.cause.is_none();
    is_empty.then(|| {
        let head = &head.subject;
        format!("of {head} no metric could be computed in every block")
    })
}
