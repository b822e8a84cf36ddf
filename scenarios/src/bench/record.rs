//! What a result says about its run before the first leg: builds, machine, stack, durability,
//! scenario and subjects.

use std::collections::BTreeMap;
use std::path::Path;

use reports::result::{
    Build, Durability, METRICS, Machine, QueueKind, READER, Run, RunKind, SCHEMA, StackRecord,
};

use super::lineup::Lineup;
use super::subjects::{self, SubjectPlan};
use super::{BenchOptions, timestamp};
use crate::provenance::{self, ProgramKind};
use crate::scenario::Scenario;
use crate::stack::Stack;

/// The binary that is measured, by its content and its own words.
pub(super) fn system_build(program: &Path) -> anyhow::Result<Build> {
    provenance::build_of(program, ProgramKind::System)
}

pub(super) fn begin(
    options: &BenchOptions,
    scenario: &Scenario,
    stack: &Stack,
    subjects: &[SubjectPlan],
    lineup: &Lineup,
    build: &Build,
) -> anyhow::Result<Run> {
    let started_unix_us = timestamp::now_unix_us();
    let tag = format!("{:06x}", rand::random::<u32>() & 0x00ff_ffff);
    let machine = Machine {
        limits: stack.limits().applied().clone(),
        ..provenance::machine(stack.scratch())
    };
    let durability = durability(scenario, stack, !machine.scratch.is_tmpfs);
    let skipped = lineup.skipped.iter();
    let skipped = skipped.map(|skipped| subjects::skipped(skipped, lineup, build));
    let running = subjects.iter().map(|subject| subject.record.clone());
    Ok(Run {
        schema: SCHEMA,
        min_reader: READER,
        id: format!(
            "{}-{}-{tag}",
            timestamp::compact(started_unix_us),
            scenario.name
        ),
        name: options.name.clone(),
        series: None,
        kind: if scenario.search {
            RunKind::Search
        } else {
            RunKind::Bench
        },
        command: options.command.clone(),
        seed: scenario.load.seed,
        started_unix_us,
        finished_unix_us: started_unix_us,
        complete: false,
        error: None,
        lab: provenance::build_of(&std::env::current_exe()?, ProgramKind::Lab)?,
        machine,
        stack: stack_record(options, stack),
        durability,
        scenarios: vec![scenario.record()],
        subjects: running.chain(skipped).collect(),
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

fn durability(scenario: &Scenario, stack: &Stack, storage_survives: bool) -> Durability {
    let setting = |names: &[&str]| {
        let found = names.iter().find_map(|name| stack.settings().get(*name));
        found.cloned()
    };
    let queue = setting(&["rabbitmq.queue_type"]);
    Durability {
        ack: scenario.ack.clone(),
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
