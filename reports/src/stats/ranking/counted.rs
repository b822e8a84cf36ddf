//! Which legs and which subjects count, and for what reason others do not.

use super::outcome::{Entry, LeftOut, NotRanked};
use crate::result::{AuditVerdict, Flag, Leg, Metric, Run, Scenario, Standing, Subject};
use crate::stats::summary::Summary;
use std::collections::BTreeMap;

/// A subject with its values, one per round that counts, at least one.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) subject: String,
    pub(super) by_round: BTreeMap<u32, f64>,
}

impl Counted {
    /// As an entry without a place.
    pub(super) fn shown(self) -> Option<Entry> {
        Some(Entry {
            subject: self.subject,
            summary: Summary::of(self.by_round)?,
            place: None,
            letters: None,
        })
    }

    pub(super) fn not_ranked(self, why: String) -> NotRanked {
        NotRanked {
            subject: self.subject,
            why,
            summary: Summary::of(self.by_round),
            wants_rounds: false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Subjects {
    pub(super) competing: Vec<Counted>,
    pub(super) ceilings: Vec<Counted>,
    pub(super) not_ranked: Vec<NotRanked>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Subjects {
    /// Sorts the subjects of a scenario: those that were measured in it, or were skipped.
    pub(super) fn of(run: &Run, scenario: &str, metric: &Metric) -> Self {
        let mut sorted = Self::default();
        for subject in &run.subjects {
            sorted.add(run, scenario, metric, subject);
        }
        sorted
    }

    fn add(&mut self, run: &Run, scenario: &str, metric: &Metric, subject: &Subject) {
        let (by_round, left_out) = values(run, scenario, metric, subject);
        let counted = Counted {
            subject: subject.id.clone(),
            by_round,
        };
        let was_measured = !counted.by_round.is_empty() || !left_out.is_empty();
        let reasons: Vec<String> = left_out.iter().map(|leg| leg.why.clone()).collect();
        self.left_out.extend(left_out);
        if !was_measured {
            if let Some(why) = &subject.skipped_why {
                self.not_ranked
                    .push(counted.not_ranked(format!("skipped: {why}")));
            }
            return;
        }
        let failed = run.legs_of(scenario, &subject.id).find(|leg| failed(leg));
        let why = match &subject.standing {
            Standing::Unsafe => Some("breaks the contract on purpose".to_owned()),
            Standing::Outside => Some("measured with another driver or elsewhere".to_owned()),
            Standing::Other(name) => Some(format!("its standing {name:?} is not known here")),
            Standing::Ranked | Standing::Ceiling => {
                let failed = failed.map(|leg| format!("its audit failed in round {}", leg.round));
                let nothing = || format!("no round counts: {}", reasons.join("; "));
                failed.or_else(|| counted.by_round.is_empty().then(nothing))
            }
        };
        if let Some(why) = why {
            self.not_ranked.push(counted.not_ranked(why));
            return;
        }
        if subject.standing == Standing::Ceiling {
            self.ceilings.push(counted);
        } else {
            self.competing.push(counted);
        }
    }
}

fn failed(leg: &Leg) -> bool {
    let verdict = leg.audit.as_ref().map(|audit| &audit.verdict);
    verdict == Some(&AuditVerdict::Failed)
}

/// Values by round of the legs that count; of several in one round, the last that counts. Legs of
/// searches and gates have questions of their own and are passed over.
pub(super) fn values(
    run: &Run,
    scenario: &str,
    metric: &Metric,
    subject: &Subject,
) -> (BTreeMap<u32, f64>, Vec<LeftOut>) {
    let (mut by_round, mut left_out) = (BTreeMap::new(), Vec::new());
    let record = run.scenario(scenario);
    let legs = run.legs_of(scenario, &subject.id);
    for leg in legs.filter(|leg| leg.probe.is_none() && leg.pair.is_none()) {
        let counted = match why_not_counted(leg, &subject.standing, record) {
            Some(why) => Err(why),
            None => metric
                .of(leg)
                .ok_or_else(|| format!("{} was not measured", metric.id)),
        };
        match counted {
            Ok(value) => {
                by_round.insert(leg.round, value);
            }
            Err(why) => left_out.push(LeftOut {
                leg: leg.id.clone(),
                subject: subject.id.clone(),
                round: leg.round,
                why,
            }),
        }
    }
    (by_round, left_out)
}

/// Why the figures of a leg may not be compared with others, as a phrase; none when they may.
/// `standing` is that of its subject; a scenario may want what a flag warns of.
pub fn why_not_counted(
    leg: &Leg,
    standing: &Standing,
    scenario: Option<&Scenario>,
) -> Option<String> {
    if let Some(error) = &leg.error {
        let first_line = error.lines().next().unwrap_or_default();
        return Some(format!("it failed: {first_line}"));
    }
    if !leg.complete {
        return Some("it was interrupted".to_owned());
    }
    let unwanted = |flag: &&Flag| flag.unranks() && !is_wanted(flag, scenario);
    if let Some(flag) = leg.flags.iter().find(unwanted) {
        return Some(
            match flag {
                Flag::Profiled => "a profiler ran",
                Flag::DataWrapped => "its data ended and began again",
                Flag::StockEnded => "its stock ended",
                Flag::LittleBroken => "the driver's clocks are not to be trusted (Little's law)",
                other => other.as_str(),
            }
            .to_owned(),
        );
    }
    let Some(audit) = &leg.audit else {
        return Some("it was not audited".to_owned());
    };
    match &audit.verdict {
        AuditVerdict::Passed => None,
        AuditVerdict::NotApplicable if *standing == Standing::Ceiling => None,
        AuditVerdict::NotApplicable => Some("it was not audited".to_owned()),
        AuditVerdict::Failed => Some("its audit failed".to_owned()),
        AuditVerdict::Other(name) => Some(format!("its audit says {name:?}, not known here")),
    }
}

fn is_wanted(flag: &Flag, scenario: Option<&Scenario>) -> bool {
    let Some(scenario) = scenario else {
        return false;
    };
    match flag {
        Flag::StockEnded => scenario.may_sell_out,
        Flag::DataWrapped => {
            let phase = scenario.measured_phase();
            phase.is_some_and(|phase| phase.data.may_wrap)
        }
        _ => false,
    }
}
