//! What must be alike before figures are compared, field by field, under the names by which a user
//! may allow a difference.

use super::Source;
use super::matched::Matched;
use crate::result::{Ack, DriverRecord, Scenario, Subject};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A field of a result in which results that are compared must be alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    DurabilityAck,
    DurabilityQueue,
    DurabilityRedisAof,
    DurabilityDbFlush,
    DurabilityStorageSurvives,
    StackKind,
    ScenarioSha256,
    Driver,
    MachineClass,
    LimitsCpus,
    LimitsMemoryBytes,
    LimitsBy,
    LimitsDriverApart,
    StackOverrides,
    SubjectOverrides,
    BuildProfile,
    /// Not a field: an engine or a scenario that one of the results lacks.
    Missing,
}

impl Field {
    pub const ALL: [Self; 17] = [
        Self::DurabilityAck,
        Self::DurabilityQueue,
        Self::DurabilityRedisAof,
        Self::DurabilityDbFlush,
        Self::DurabilityStorageSurvives,
        Self::StackKind,
        Self::ScenarioSha256,
        Self::Driver,
        Self::MachineClass,
        Self::LimitsCpus,
        Self::LimitsMemoryBytes,
        Self::LimitsBy,
        Self::LimitsDriverApart,
        Self::StackOverrides,
        Self::SubjectOverrides,
        Self::BuildProfile,
        Self::Missing,
    ];

    /// The name, after the path of the field in a result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DurabilityAck => "durability.ack",
            Self::DurabilityQueue => "durability.queue",
            Self::DurabilityRedisAof => "durability.redis_aof",
            Self::DurabilityDbFlush => "durability.db_flush",
            Self::DurabilityStorageSurvives => "durability.storage_survives",
            Self::StackKind => "stack.kind",
            Self::ScenarioSha256 => "scenario.sha256",
            Self::Driver => "driver",
            Self::MachineClass => "machine.class",
            Self::LimitsCpus => "limits.cpus",
            Self::LimitsMemoryBytes => "limits.memory_bytes",
            Self::LimitsBy => "limits.by",
            Self::LimitsDriverApart => "limits.driver_apart",
            Self::StackOverrides => "stack.overrides",
            Self::SubjectOverrides => "subject.overrides",
            Self::BuildProfile => "build.profile",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that no field has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown field {name:?}; known: {}", Field::ALL.map(Field::as_str).join(", "))]
pub struct UnknownField {
    pub name: String,
}

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(name: &str) -> Result<Self, UnknownField> {
        let found = Self::ALL.into_iter().find(|field| field.as_str() == name);
        found.ok_or_else(|| UnknownField {
            name: name.to_owned(),
        })
    }
}

/// A field in which a result is unlike the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    pub field: Field,
    /// Position of the result among the sources, and the paths of both.
    pub source: usize,
    pub base_path: String,
    pub path: String,
    /// The scenario or subject whose field it is; none for one of the whole run.
    pub of: Option<String>,
    pub base_value: String,
    pub value: String,
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.field)?;
        if let Some(of) = &self.of {
            write!(f, " of {of}")?;
        }
        write!(
            f,
            " is {} in {}, and {} in {}",
            self.base_value, self.base_path, self.value, self.path
        )
    }
}

/// The fields with both values, then what allows them, as one sentence.
pub(super) fn refusal(unlike: &[Unlike]) -> String {
    let said: Vec<String> = unlike.iter().map(ToString::to_string).collect();
    let mut fields: Vec<Field> = unlike.iter().map(|one| one.field).collect();
    fields.sort();
    fields.dedup();
    let options: Vec<String> = fields
        .iter()
        .map(|field| format!("--allow {field}"))
        .collect();
    format!(
        "these results are not alike: {}; to compare them all the same, add {}",
        said.join("; "),
        options.join(" ")
    )
}

/// The fields of the whole run in which a result is unlike the base; scenarios and subjects are not
/// looked at.
pub fn unlike_runs(base: &Source<'_>, other: &Source<'_>) -> Vec<Unlike> {
    let differ = OF_RUN.iter().map(|(field, value_of)| Unlike {
        field: *field,
        source: 1,
        base_path: base.path.to_owned(),
        path: other.path.to_owned(),
        of: None,
        base_value: value_of(base),
        value: value_of(other),
    });
    differ.filter(|it| it.base_value != it.value).collect()
}

/// Everything in which the other sources are unlike the first, as far as it is compared.
pub(super) fn unlike(sources: &[Source<'_>], scenarios: &[Matched<'_>]) -> Vec<Unlike> {
    let mut found = Vec::new();
    for index in 1..sources.len() {
        let (base, other) = (&sources[0], &sources[index]);
        let mut add = |field: Field, of: Option<&str>, base_value: String, value: String| {
            if base_value != value {
                found.push(Unlike {
                    field,
                    source: index,
                    base_path: base.path.to_owned(),
                    path: other.path.to_owned(),
                    of: of.map(str::to_owned),
                    base_value,
                    value,
                });
            }
        };
        for (field, value_of) in OF_RUN {
            add(*field, None, value_of(base), value_of(other));
        }
        for matched in scenarios {
            let (Some(mine), Some(theirs)) = (matched.of_each[0], matched.of_each[index]) else {
                continue;
            };
            let name = Some(mine.name.as_str());
            add(
                Field::ScenarioSha256,
                name,
                short(&mine.sha256),
                short(&theirs.sha256),
            );
            for subject in &matched.subjects {
                let pair = base
                    .run
                    .subject(subject.id)
                    .zip(other.run.subject(subject.id));
                let Some((one, another)) = pair else { continue };
                let (ones, others) = (
                    of_subject(base, mine, one),
                    of_subject(other, theirs, another),
                );
                for ((field, base_value), (_, value)) in ones.into_iter().zip(others) {
                    // What holds for the whole run is said once.
                    let is_said = field == Field::DurabilityAck
                        && base.run.durability.ack != other.run.durability.ack;
                    if !is_said {
                        add(field, Some(subject.id), base_value, value);
                    }
                }
            }
        }
    }
    found
}

fn of_subject(source: &Source<'_>, scenario: &Scenario, subject: &Subject) -> [(Field, String); 4] {
    [
        (Field::DurabilityAck, acked(source, subject)),
        (Field::Driver, driver(scenario, subject)),
        (Field::SubjectOverrides, settings(&subject.overrides)),
        (Field::BuildProfile, or_empty(&subject.build.profile)),
    ]
}

type ValueOf = fn(&Source<'_>) -> String;

/// Fields of whole runs.
const OF_RUN: &[(Field, ValueOf)] = &[
    (Field::DurabilityAck, |it| it.run.durability.ack.to_string()),
    (Field::DurabilityQueue, |it| {
        it.run.durability.queue.to_string()
    }),
    (Field::DurabilityRedisAof, |it| {
        or_absent(it.run.durability.redis_aof.as_ref())
    }),
    (Field::DurabilityDbFlush, |it| {
        or_absent(it.run.durability.db_flush.as_ref())
    }),
    (Field::DurabilityStorageSurvives, |it| {
        it.run.durability.storage_survives.to_string()
    }),
    (Field::StackKind, |it| it.run.stack.kind.clone()),
    (Field::MachineClass, |it| {
        format!("{:?}", it.run.machine.class)
    }),
    (Field::LimitsCpus, |it| {
        or_absent(it.run.machine.limits.cpus)
    }),
    (Field::LimitsMemoryBytes, |it| {
        or_absent(it.run.machine.limits.memory_bytes)
    }),
    (Field::LimitsBy, |it| it.run.machine.limits.by.to_string()),
    (Field::LimitsDriverApart, |it| {
        it.run.machine.limits.driver_apart.to_string()
    }),
    (Field::StackOverrides, |it| {
        settings(&it.run.stack.overrides)
    }),
    (Field::BuildProfile, |it| or_empty(&it.run.lab.profile)),
];

/// `a=1, b=2`.
fn settings(of: &BTreeMap<String, String>) -> String {
    let all: Vec<String> = of
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    or_empty(&all.join(", "))
}

fn or_empty(value: &str) -> String {
    if value.is_empty() { "absent" } else { value }.to_owned()
}

fn or_absent(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| value.to_string())
}

fn acked(source: &Source<'_>, subject: &Subject) -> String {
    let own: Option<&Ack> = subject.ack.as_ref();
    own.unwrap_or(&source.run.durability.ack).to_string()
}

/// What sent the measured load, with its version: `grpc 0.1.0`.
fn driver(scenario: &Scenario, subject: &Subject) -> String {
    let planned: Option<&DriverRecord> = scenario.measured_phase().map(|phase| &phase.driver);
    let kind = subject.driver.as_ref().or(planned.map(|plan| &plan.kind));
    match (kind, planned) {
        (Some(kind), Some(plan)) => format!("{kind} {}", plan.version),
        (Some(kind), None) => kind.to_string(),
        (None, _) => "absent".to_owned(),
    }
}

/// Enough of a hash to tell it from another.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}
