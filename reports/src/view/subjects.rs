//! What the rounds of one subject in one scenario come to: the legs that count, medians and ranges
//! of their metrics, and what the audits say together.

use crate::result::{
    AuditCheck, AuditVerdict, Flag, Leg, Phase, Run, Scenario, Standing, Subject, metric,
};
use crate::stats;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Part of all replies that has to be refusals before the two are shown apart.
const REFUSED_SHARE: f64 = 0.5;

/// One subject in one scenario.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub scenario: &'a Scenario,
    pub subject: &'a Subject,
    /// All that measured something.
    pub legs: Vec<&'a Leg>,
    /// Those whose figures stand for the subject.
    pub counted: Vec<&'a Leg>,
    /// Its figures may be held against those of others.
    pub competes: bool,
    /// Values by metric, in ascending order, as far as they were asked for: each takes reading
    /// whole distributions.
    values: RefCell<BTreeMap<String, Vec<f64>>>,
}

/// What the audits of a subject come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audit {
    Passed,
    Failed,
    /// Failed, as that of an engine that is unsafe on purpose must.
    Caught,
    /// Passed, although the engine is unsafe.
    NotCaught,
    NotApplicable,
    NotReached,
}

impl Audit {
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Caught => "caught",
            Self::NotCaught => "MISSED",
            Self::NotApplicable => "none",
            Self::NotReached => "not yet",
        }
    }

    /// The heavier, the more a reader must know of it.
    pub(super) fn weight(self) -> u8 {
        match self {
            Self::NotApplicable => 0,
            Self::Caught => 1,
            Self::Passed => 2,
            Self::NotReached => 3,
            Self::NotCaught => 4,
            Self::Failed => 5,
        }
    }
}

/// A failed check, and where it failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault<'a> {
    pub leg: &'a Leg,
    pub check: &'a AuditCheck,
}

impl<'a> Row<'a> {
    /// Median over the legs that count; none where no leg has the metric.
    pub(super) fn value(&self, id: &str) -> Option<f64> {
        let values = self.values(id);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(values[middle]),
            _ => Some((values[middle - 1] + values[middle]) / 2.0),
        }
    }

    /// Least and greatest, where more than one leg counts.
    pub(super) fn range(&self, id: &str) -> Option<(f64, f64)> {
        match self.values(id).as_slice() {
            [least, .., greatest] => Some((*least, *greatest)),
            _ => None,
        }
    }

    /// In ascending order.
    fn values(&self, id: &str) -> Vec<f64> {
        if let Some(values) = self.values.borrow().get(id) {
            return values.clone();
        }
        let metric = metric(id).expect("a metric of the registry");
        let mut values: Vec<f64> = self
            .counted
            .iter()
            .filter_map(|leg| metric.of(leg))
            .collect();
        values.sort_by(f64::total_cmp);
        self.values
            .borrow_mut()
            .insert(id.to_owned(), values.clone());
        values
    }

    /// The leg of median throughput, for what has no median: processes, a timeline, a limit.
    pub(super) fn leg(&self) -> Option<&'a Leg> {
        let mut legs = self.counted.clone();
        let rate = |leg: &Leg| leg.measured().map_or(0.0, Phase::finished_per_s);
        legs.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
        legs.get(legs.len().saturating_sub(1) / 2).copied()
    }

    pub(super) fn phase(&self) -> Option<&'a Phase> {
        self.leg()?.measured()
    }

    /// Whether requests were sent at a rate of their own.
    pub(super) fn is_open(&self) -> bool {
        self.phase()
            .is_some_and(|phase| phase.offered_per_s.is_some())
    }

    /// Whether most buyers were refused, so that accepted and refused are shown apart.
    pub(super) fn is_storm(&self) -> bool {
        self.phase().is_some_and(|phase| {
            let told = phase.purchases();
            told.accepted > 0 && told.refused as f64 > REFUSED_SHARE * told.total() as f64
        })
    }

    pub(super) fn flags(&self) -> BTreeSet<&'a Flag> {
        let flags = self.legs.iter().flat_map(|leg| &leg.flags);
        flags.filter(|flag| !self.wants(flag)).collect()
    }

    /// What the scenario is about needs no warning.
    fn wants(&self, flag: &Flag) -> bool {
        let measured = self.scenario.measured_phase();
        match flag {
            Flag::StockEnded => self.scenario.may_sell_out,
            Flag::DataWrapped => measured.is_some_and(|phase| phase.data.may_wrap),
            _ => false,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.legs.iter().any(|leg| leg.complete)
    }

    pub(super) fn is_unsafe(&self) -> bool {
        self.subject.standing == Standing::Unsafe
    }

    /// One failed audit fails them all, however good the others.
    pub(super) fn audit(&self) -> Audit {
        let verdicts: Vec<_> = self.legs.iter().map(|leg| leg.audit.as_ref()).collect();
        let any = |wanted: &AuditVerdict| {
            let mut reports = verdicts.iter().flatten();
            reports.any(|report| report.verdict == *wanted)
        };
        match any(&AuditVerdict::Failed) {
            true if self.is_unsafe() => Audit::Caught,
            true => Audit::Failed,
            false if verdicts.iter().any(Option::is_none) => Audit::NotReached,
            false if any(&AuditVerdict::NotApplicable) => Audit::NotApplicable,
            false if self.is_unsafe() => Audit::NotCaught,
            false => Audit::Passed,
        }
    }

    pub(super) fn faults(&self) -> Vec<Fault<'a>> {
        let of = |leg: &'a Leg| {
            let report = leg.audit.iter();
            report.flat_map(move |report| {
                report
                    .failed_checks()
                    .map(move |check| Fault { leg, check })
            })
        };
        self.legs.iter().copied().flat_map(of).collect()
    }
}

/// The subjects of a scenario that measured something: those that compete, best first, then the
/// rest by what they are.
pub(super) fn rows<'a>(
    run: &'a Run,
    scenario: &'a Scenario,
    compared: &stats::Ranking,
) -> Vec<Row<'a>> {
    let rank = |subject: &Subject| {
        let mut entries = compared.entries.iter();
        entries.position(|entry| entry.subject == subject.id)
    };
    let of = |subject: &'a Subject| {
        let legs = run.legs_of(&scenario.name, &subject.id);
        let legs: Vec<&Leg> = legs.filter(|leg| has_measured(leg)).collect();
        Row {
            scenario,
            subject,
            counted: counted(&legs, subject, scenario),
            legs,
            competes: rank(subject).is_some(),
            values: RefCell::default(),
        }
    };
    let mut rows: Vec<Row<'_>> = run.subjects.iter().map(of).collect();
    rows.retain(|row| !row.legs.is_empty());
    let order = |row: &Row<'_>| {
        let rank = rank(row.subject);
        (rank.is_none(), rank, standing_order(&row.subject.standing))
    };
    rows.sort_by_key(order);
    rows
}

/// The legs against which nothing speaks; where there are none, the complete ones; else all.
fn counted<'a>(legs: &[&'a Leg], subject: &Subject, scenario: &Scenario) -> Vec<&'a Leg> {
    let clean =
        |leg: &&&Leg| stats::why_not_counted(leg, &subject.standing, Some(scenario)).is_none();
    let clean: Vec<&Leg> = legs.iter().filter(clean).copied().collect();
    if !clean.is_empty() {
        return clean;
    }
    let complete: Vec<&Leg> = legs.iter().filter(|leg| leg.complete).copied().collect();
    if complete.is_empty() {
        legs.to_vec()
    } else {
        complete
    }
}

fn standing_order(standing: &Standing) -> u8 {
    match standing {
        Standing::Ranked => 0,
        Standing::Unsafe => 1,
        Standing::Ceiling => 2,
        Standing::Outside | Standing::Other(_) => 3,
    }
}

pub(super) fn has_measured(leg: &Leg) -> bool {
    leg.measured().is_some_and(|phase| phase.finished > 0)
}
