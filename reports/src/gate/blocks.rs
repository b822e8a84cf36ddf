//! The blocks of a gate as its run holds them: which attempts were void, which legs belong together,
//! and which of them failed or broke.

use crate::result::{AuditReport, AuditVerdict, Cause, Leg, Run};
use std::collections::BTreeMap;

/// Every attempt at a block, in the order of blocks and attempts. Legs that belong to no block, such
/// as calibrations, are not among them.
pub(super) struct Blocks<'a> {
    base: &'a str,
    attempts: Vec<Attempt<'a>>,
}

struct Attempt<'a> {
    block: u32,
    legs: Vec<&'a Leg>,
    void: Option<&'a str>,
}

/// A block as one head sees it.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub block: u32,
    pub base: &'a Leg,
    pub head: &'a Leg,
}

impl<'a> Attempt<'a> {
    fn leg(&self, subject: &str) -> Option<&'a Leg> {
        self.legs.iter().copied().find(|leg| leg.subject == subject)
    }
}

impl<'a> Blocks<'a> {
    pub(super) fn of(run: &'a Run, base: &'a str) -> Self {
        let mut attempts: BTreeMap<(u32, u32), Attempt<'a>> = BTreeMap::new();
        for leg in &run.legs {
            let Some(pair) = &leg.pair else { continue };
            let attempt = attempts
                .entry((pair.block, pair.attempt))
                .or_insert_with(|| Attempt {
                    block: pair.block,
                    legs: Vec::new(),
                    void: None,
                });
            attempt.legs.push(leg);
            attempt.void = attempt.void.or(pair.void.as_deref());
        }
        Self {
            base,
            attempts: attempts.into_values().collect(),
        }
    }

    /// Reason and number of the attempts that were void.
    pub(super) fn voided(&self) -> BTreeMap<String, u64> {
        let mut voided = BTreeMap::new();
        for reason in self.attempts.iter().filter_map(|attempt| attempt.void) {
            *voided.entry(reason.to_owned()).or_default() += 1;
        }
        voided
    }

    /// Blocks that count for a head: the last attempt is not void, and holds both legs whole.
    pub(super) fn pairs(&self, head: &str) -> Vec<Pair<'a>> {
        let of_each = self
            .attempts
            .chunk_by(|one, next| one.block == next.block)
            .filter_map(<[Attempt<'_>]>::last);
        let pair = |attempt: &Attempt<'a>| {
            let (base, head) = (attempt.leg(self.base)?, attempt.leg(head)?);
            let counts = attempt.void.is_none() && base.complete && head.complete;
            counts.then_some(Pair {
                block: attempt.block,
                base,
                head,
            })
        };
        of_each.filter_map(pair).collect()
    }

    /// Why a base that failed leaves nothing to compare with, in one sentence.
    pub(super) fn base_failed(&self) -> Option<String> {
        let why = |attempt: &Attempt<'a>| {
            let leg = attempt.leg(self.base)?;
            let block = attempt.block;
            let failed = failed_audit(leg)
                .map(|found| format!("the base's audit failed in block {block}: {found}"));
            failed.or_else(|| {
                let broke = broke(leg).filter(|_| attempt.void.is_none())?;
                Some(format!("the base's leg of block {block} broke: {broke}"))
            })
        };
        self.attempts.iter().find_map(why)
    }

    /// Why a head fails whatever its figures are, in one sentence. A leg that broke counts only
    /// beside a whole one of the base.
    pub(super) fn head_failed(&self, head: &str) -> Option<(Cause, String)> {
        let why = |attempt: &Attempt<'a>| {
            let leg = attempt.leg(head)?;
            let block = attempt.block;
            let failed = failed_audit(leg).map(|found| {
                let why = format!("its audit failed in block {block}: {found}");
                (Cause::Audit, why)
            });
            failed.or_else(|| {
                let base = attempt.leg(self.base).filter(|base| broke(base).is_none());
                let broke = broke(leg).filter(|_| attempt.void.is_none() && base.is_some())?;
                let why = format!("its leg of block {block} broke: {broke}");
                Some((Cause::Leg, why))
            })
        };
        self.attempts.iter().find_map(why)
    }
}

/// The first check that failed, with what was expected and found.
fn failed_audit(leg: &Leg) -> Option<String> {
    let failed = |report: &&AuditReport| report.verdict == AuditVerdict::Failed;
    let report = leg.audit.as_ref().filter(failed)?;
    let check = report.failed_checks().next();
    Some(check.map_or_else(
        || "no check is named".to_owned(),
        |check| {
            let (name, expected, actual) = (&check.name, &check.expected, &check.actual);
            format!("{name}: expected {expected}, found {actual}")
        },
    ))
}

/// The first line of what ended a leg before its audit.
fn broke(leg: &Leg) -> Option<String> {
    let error = leg.error.as_deref().and_then(|error| error.lines().next());
    match (leg.complete, &leg.audit) {
        (true, Some(_)) => None,
        (true, None) => Some("there was no audit".to_owned()),
        (false, _) => Some(error.unwrap_or("it did not end").to_owned()),
    }
}
