//! From the result of a gate to lines of the history, and what is refused on the way.

use super::line::{Commit, Key, Line, Ratio, VERSION};
use super::reading::History;
use crate::result::{
    AuditVerdict, Build, Cause, Gate, GateHead, Leg, LimitsBy, LnRatio, Run, RunKind, Scenario,
    Subject,
};
use std::collections::BTreeMap;

/// What may be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adding {
    /// Heads with changes that no commit holds.
    pub allow_dirty: bool,
    /// Results against another anchor than before: a new segment begins.
    pub new_anchor: bool,
    /// Commits that are in the history already: their latest result counts.
    pub again: bool,
}

/// What became of a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Added {
    pub lines: Vec<Line>,
    /// Heads whose build is the anchor's, byte for byte, so that nothing was measured.
    pub identical: Vec<Commit>,
    /// Why other heads of the run have no line. They never keep whole heads out.
    pub left_out: Vec<Refused>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "a result of kind {kind} has no pair of anchor and head: absolute figures of machines that change are noise, \
         so the history holds ratios that were measured in one run; `lab regress --base ANCHOR` measures them"
    )]
    NoPair { kind: RunKind },
    #[error("the run {0} was cut short, so its ratios do not stand for it")]
    Incomplete(String),
    #[error("the gate holds {0}, and a line of the history is of exactly one")]
    Scenarios(String),
    #[error("the gate speaks of a subject {0:?} that the result does not have")]
    NoSubject(String),
    #[error("the {side} {subject:?} names no commit, so nobody could find it again")]
    NoCommit { side: &'static str, subject: String },
    #[error(
        "the anchor {0} was built with changes that no commit holds, so nobody could build it again"
    )]
    DirtyAnchor(String),
    #[error(
        "the head {0} was built with changes that no commit holds; commit them, or add it with --allow-dirty"
    )]
    DirtyHead(String),
    #[error(
        "the anchor ran {anchor} and the head {head}: a ratio of two engines is no history of one"
    )]
    Engines { anchor: String, head: String },
    #[error(
        "the audit of {commit} failed in leg {leg}: the speed of a build that breaks its promise is not kept"
    )]
    AuditFailed { commit: String, leg: String },
    #[error("nothing was measured of the head {0}")]
    NothingMeasured(String),
    #[error("the gate measured nothing that counts: {0}")]
    NotMeasured(String),
    #[error(
        "the audit of the anchor {commit} failed in leg {leg}: no ratio to a build that breaks its promise is kept"
    )]
    AnchorAuditFailed { commit: String, leg: String },
    #[error("the head {commit} broke beside a whole leg of the anchor: {why}")]
    Broke { commit: String, why: String },
    #[error(
        "the run ended before anything was decided of the head {0}, so its ratios do not stand for it"
    )]
    Undecided(String),
    #[error("the run {0} is in the history already")]
    Duplicate(String),
    #[error(
        "the commit {commit} of {of} is in the history already, measured by the run {run}; --again adds it as a \
         repeat, of which the latest counts"
    )]
    Again {
        commit: String,
        of: String,
        run: String,
    },
    #[error(
        "it is measured against the anchor {found}, and the history of {of} against {anchor}; --new-anchor begins a new \
         segment, whose ratios are not compared with those before"
    )]
    OtherAnchor {
        found: String,
        anchor: String,
        of: String,
    },
}

impl History {
    /// Adds a line for each head of a gate's result that was measured, or none at all if it is
    /// refused.
    pub fn add(&mut self, run: &Run, how: Adding) -> Result<Added, Refused> {
        let mut added = lines(run, how)?;
        for index in 0..added.lines.len() {
            added.lines[index].segment = self.segment(&added.lines[index], how)?;
            let (before, line) = (&added.lines[..index], &added.lines[index]);
            self.refuse_repeat(line, before, how)?;
        }
        added.lines.iter().for_each(|line| self.push(line.clone()));
        Ok(added)
    }

    /// `before` are the lines of the same run before this one.
    fn refuse_repeat(&self, line: &Line, before: &[Line], how: Adding) -> Result<(), Refused> {
        let known = || self.entries().iter().map(|entry| &entry.line);
        // Results from elsewhere take their id from the base's, which several heads may share.
        if known().any(|other| other.run == line.run && other.head == line.head) {
            return Err(Refused::Duplicate(line.run.clone()));
        }
        let repeated = known()
            .chain(before)
            .find(|other| line.repeats(other))
            .filter(|_| !how.again);
        match repeated {
            Some(other) => Err(Refused::Again {
                commit: line.head.short(),
                of: line.key.described(),
                run: other.run.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The segment to which a line belongs.
    fn segment(&self, line: &Line, how: Adding) -> Result<u32, Refused> {
        let alike = self.entries().iter().map(|entry| &entry.line);
        let alike = alike.filter(|other| other.key == line.key);
        let Some(latest) = alike.max_by_key(|other| other.segment) else {
            return Ok(1);
        };
        if latest.anchor.commit == line.anchor.commit {
            return Ok(latest.segment);
        }
        if how.new_anchor {
            return Ok(latest.segment + 1);
        }
        Err(Refused::OtherAnchor {
            found: line.anchor.short(),
            anchor: latest.anchor.short(),
            of: line.key.described(),
        })
    }
}

fn lines(run: &Run, how: Adding) -> Result<Added, Refused> {
    let no_pair = || Refused::NoPair {
        kind: run.kind.clone(),
    };
    let gate = run.gate.as_ref().ok_or_else(no_pair)?;
    if gate.heads.is_empty() {
        return Err(no_pair());
    }
    if !run.complete {
        return Err(Refused::Incomplete(run.id.clone()));
    }
    if let Some(why) = &gate.not_measured {
        return Err(Refused::NotMeasured(why.clone()));
    }
    let [scenario] = run.scenarios.as_slice() else {
        let count = run.scenarios.len();
        return Err(Refused::Scenarios(format!("{count} scenarios")));
    };
    let base = subject(run, &gate.base)?;
    let anchor = commit("anchor", base)?;
    if anchor.dirty {
        return Err(Refused::DirtyAnchor(anchor.short()));
    }
    if let Some(leg) = failed_audit(run, base) {
        return Err(Refused::AnchorAuditFailed {
            commit: anchor.short(),
            leg,
        });
    }
    let mut added = Added::default();
    for head in &gate.heads {
        let own = subject(run, &head.subject)?;
        let build = commit("head", own)?;
        if build.dirty && !how.allow_dirty {
            return Err(Refused::DirtyHead(build.short()));
        }
        if head.identical {
            added.identical.push(build);
            continue;
        }
        let metrics = refuse_head(run, (base, own), head, &build);
        match metrics {
            Ok(metrics) => {
                let key = key(run, scenario, own);
                let line = line(run, gate, head, key, (&anchor, build), metrics);
                added.lines.push(line);
            }
            Err(why) => added.left_out.push(why),
        }
    }
    if added.lines.is_empty() && !added.left_out.is_empty() {
        return Err(added.left_out.remove(0));
    }
    Ok(added)
}

/// The ratios of a head, or why it has none that are kept.
fn refuse_head(
    run: &Run,
    (base, own): (&Subject, &Subject),
    head: &GateHead,
    build: &Commit,
) -> Result<BTreeMap<String, Ratio>, Refused> {
    let (anchor, ran) = (engine(base), engine(own));
    if anchor != ran {
        return Err(Refused::Engines { anchor, head: ran });
    }
    if let Some(leg) = failed_audit(run, own) {
        let commit = build.short();
        return Err(Refused::AuditFailed { commit, leg });
    }
    if let Some(Cause::Audit | Cause::Leg) = head.cause {
        return Err(Refused::Broke {
            commit: build.short(),
            why: head
                .why
                .clone()
                .unwrap_or_else(|| "no reason is given".to_owned()),
        });
    }
    let metrics = ratios(head);
    if metrics.is_empty() {
        return Err(Refused::NothingMeasured(build.short()));
    }
    if head.look.is_none() || head.metrics.iter().any(|metric| metric.look == 0) {
        return Err(Refused::Undecided(build.short()));
    }
    Ok(metrics)
}

fn line(
    run: &Run,
    gate: &Gate,
    head: &GateHead,
    key: Key,
    (anchor, build): (&Commit, Commit),
    metrics: BTreeMap<String, Ratio>,
) -> Line {
    Line {
        history: VERSION,
        run: run.id.clone(),
        measured_unix_us: run.started_unix_us,
        key,
        segment: 1,
        anchor: anchor.clone(),
        head: build,
        rate_per_s: gate.rate_per_s,
        verdict: head.verdict.clone(),
        metrics,
    }
}

fn subject<'a>(run: &'a Run, id: &str) -> Result<&'a Subject, Refused> {
    run.subject(id)
        .ok_or_else(|| Refused::NoSubject(id.to_owned()))
}

fn commit(side: &'static str, subject: &Subject) -> Result<Commit, Refused> {
    let Build {
        commit,
        dirty,
        sha256,
        ..
    } = &subject.build;
    if commit.is_empty() {
        return Err(Refused::NoCommit {
            side,
            subject: subject.id.clone(),
        });
    }
    Ok(Commit {
        commit: commit.clone(),
        dirty: *dirty,
        sha256: sha256.clone(),
    })
}

/// With its parameters and its variant, without the side.
fn engine(subject: &Subject) -> String {
    let mut text = subject.engine.clone();
    for (index, (name, value)) in subject.params.iter().enumerate() {
        let before = if index == 0 { '?' } else { '&' };
        text.push_str(&format!("{before}{name}={value}"));
    }
    if let Some(variant) = &subject.variant {
        text.push_str(&format!(", {variant}"));
    }
    text
}

/// The first leg of a subject whose audit failed.
fn failed_audit(run: &Run, subject: &Subject) -> Option<String> {
    let has_failed = |leg: &&Leg| {
        let audit = leg.audit.as_ref();
        leg.subject == subject.id && audit.is_some_and(|it| it.verdict == AuditVerdict::Failed)
    };
    run.legs.iter().find(has_failed).map(|leg| leg.id.clone())
}

/// From the blocks themselves, so that a line says the same whichever way round a gate's own figures
/// are.
fn ratios(head: &GateHead) -> BTreeMap<String, Ratio> {
    let measured = |blocks: &[LnRatio]| !blocks.iter().any(|d| d.0.is_nan());
    let of = |metric: &crate::result::GateMetric| {
        let ratio = Ratio::of(&metric.d, metric.spread).filter(|_| measured(&metric.d))?;
        Some((metric.metric.clone(), ratio))
    };
    head.metrics.iter().filter_map(of).collect()
}

fn key(run: &Run, scenario: &Scenario, head: &Subject) -> Key {
    Key {
        scenario: scenario.name.clone(),
        scenario_sha256: scenario.sha256.clone(),
        engine: engine(head),
        machine: run.machine.class.clone(),
        conditions: conditions(run, head),
    }
}

/// A profile other than that of builds whose speed counts.
fn unusual(profile: &str) -> Option<String> {
    (profile != "release").then(|| profile.to_owned())
}

/// Everything outside the scenario that makes figures unlike.
fn conditions(run: &Run, head: &Subject) -> BTreeMap<String, String> {
    let durability = &run.durability;
    let limits = &run.machine.limits;
    let shown = |name: &str, value: Option<String>| Some((name.to_owned(), value?));
    let by = (limits.by != LimitsBy::None).then(|| limits.by.to_string());
    let mut conditions: BTreeMap<String, String> = [
        shown("stack", Some(run.stack.kind.clone())),
        shown(
            "ack",
            Some(head.ack.as_ref().unwrap_or(&durability.ack).to_string()),
        ),
        shown("queue", Some(durability.queue.to_string())),
        shown("redis_aof", durability.redis_aof.clone()),
        shown("db_flush", durability.db_flush.clone()),
        shown(
            "storage",
            (!durability.storage_survives).then(|| "tmpfs".to_owned()),
        ),
        shown("limits", by),
        shown("cpus", limits.cpus.map(|cpus| cpus.to_string())),
        shown(
            "memory_bytes",
            limits.memory_bytes.map(|bytes| bytes.to_string()),
        ),
        shown(
            "driver_apart",
            limits.driver_apart.then(|| "true".to_owned()),
        ),
        shown("profile", unusual(&head.build.profile)),
        shown("driver_profile", unusual(&run.lab.profile)),
        shown("driver", head.driver.as_ref().map(ToString::to_string)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let settings = run.stack.overrides.iter().chain(&head.overrides);
    conditions.extend(settings.map(|(name, value)| (format!("set {name}"), value.clone())));
    conditions
}
