//! What a result says about its run before the first leg: builds, machine, stack, durability,
//! scenario and subjects.

use std::collections::BTreeMap;

use anyhow::Context;
use reports::result::{
    Ack, Durability, METRICS, Machine, QueueKind, READER, Run, RunKind, SCHEMA, Scratch, Sees,
    StackRecord, Subject,
};

use super::session::ScenarioPlan;
use super::{BenchOptions, timestamp};
use crate::provenance::{self, ProgramKind};
use crate::stack::Stack;

/// What the legs of a run stand on.
pub(super) struct Ground {
    machine: Machine,
    stack: StackRecord,
    durability: Durability,
}

impl Ground {
    pub(super) fn of(options: &BenchOptions, stack: &Stack, ack: &Ack) -> Self {
        let machine = Machine {
            limits: stack.limits().applied().clone(),
            ..provenance::machine(stack.scratch())
        };
        let durability = durability(ack, stack, !machine.scratch.is_tmpfs);
        Self {
            stack: stack_record(options, stack),
            machine,
            durability,
        }
    }

    /// Of a run that needs no leg, and so no stack.
    pub(super) fn none(options: &BenchOptions, ack: &Ack) -> Self {
        let none = || "none".to_owned();
        Self {
            // Nothing lay anywhere, and nothing was there to be seen.
            machine: Machine {
                scratch: Scratch::default(),
                ..provenance::machine(&std::env::temp_dir())
            },
            stack: StackRecord {
                kind: none(),
                why: "no leg was needed".to_owned(),
                versions: BTreeMap::new(),
                settings: BTreeMap::new(),
                overrides: shown(&options.overrides),
                sees: Sees::All,
            },
            durability: Durability {
                ack: ack.clone(),
                queue: QueueKind::Other(none()),
                redis_aof: None,
                db_flush: None,
                storage_survives: true,
            },
        }
    }
}

pub(super) fn begin(
    options: &BenchOptions,
    scenarios: &[ScenarioPlan],
    ground: Ground,
    kind: RunKind,
) -> anyhow::Result<Run> {
    let started_unix_us = timestamp::now_unix_us();
    let tag = format!("{:06x}", rand::random::<u32>() & 0x00ff_ffff);
    let first = scenarios.first().context("a run has a scenario")?;
    // An engine that runs in several scenarios is one subject.
    let mut subjects: Vec<Subject> = Vec::new();
    for subject in scenarios.iter().flat_map(|plan| &plan.subjects) {
        if !subjects.iter().any(|known| known.id == subject.id) {
            subjects.push(subject.record.clone());
        }
    }
    let name = match (&kind, scenarios) {
        (RunKind::Gate, _) | (_, [_]) => first.scenario.name.as_str(),
        (kind, _) => kind.as_str(),
    };
    Ok(Run {
        schema: SCHEMA,
        min_reader: READER,
        id: format!("{}-{name}-{tag}", timestamp::compact(started_unix_us),),
        name: options.name.clone(),
        series: None,
        kind,
        command: options.command.clone(),
        seed: first.scenario.load.seed,
        started_unix_us,
        finished_unix_us: started_unix_us,
        complete: false,
        error: None,
        lab: provenance::build_of(&std::env::current_exe()?, ProgramKind::Lab)?,
        machine: ground.machine,
        stack: ground.stack,
        durability: ground.durability,
        scenarios: scenarios
            .iter()
            .map(|plan| plan.scenario.record())
            .collect(),
        subjects,
        legs: Vec::new(),
        searches: Vec::new(),
        gate: None,
        expectations: Vec::new(),
        metrics: METRICS.iter().map(|metric| metric.def()).collect(),
    })
}

fn stack_record(options: &BenchOptions, stack: &Stack) -> StackRecord {
    let is_version = |key: &str| key.ends_with(".version");
    let (versions, settings) = stack
        .settings()
        .clone()
        .into_iter()
        .partition(|(key, _)| is_version(key));
    StackRecord {
        kind: stack.kind().to_owned(),
        why: stack.why().to_owned(),
        versions,
        settings,
        overrides: shown(&options.overrides),
        sees: stack.sees(),
    }
}

fn durability(ack: &Ack, stack: &Stack, storage_survives: bool) -> Durability {
    let setting = |names: &[&str]| {
        let found = names.iter().find_map(|name| stack.settings().get(*name));
        found.cloned()
    };
    let queue = setting(&["rabbitmq.queue_type"]);
    Durability {
        ack: ack.clone(),
        queue: match queue {
            Some(kind) => QueueKind::named(&kind),
            None if stack.is_embedded() => QueueKind::Sqlite,
            None => QueueKind::Classic,
        },
        redis_aof: setting(&["redis.appendfsync"]),
        db_flush: setting(&[
            "mariadb.innodb_flush_log_at_trx_commit",
            "mysql.innodb_flush_log_at_trx_commit",
            "database.innodb_flush_log_at_trx_commit",
            "sqlite.synchronous",
        ]),
        storage_survives,
    }
}

/// Settings as results and plans show them, without passwords.
pub(super) fn shown(overrides: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |(key, value): (&String, &String)| {
        let both = masking::masked(&format!("{key}={value}"));
        let value = both.strip_prefix(&format!("{key}=")).unwrap_or(&both);
        (key.clone(), value.to_owned())
    };
    overrides.iter().map(shown).collect()
}
