//! What was measured, with what, and on what: builds, machine, stack, durability.

use super::open_enum::open_enum;
use super::scenario::DriverKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One binary, by its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    pub version: String,
    /// Empty when it was not built from a repository that was found.
    pub commit: String,
    pub dirty: bool,
    /// `release` or `debug`; the figures of a debug build say nothing about speed.
    pub profile: String,
    pub rustc: String,
    /// Without the home folder.
    pub path: String,
    pub sha256: String,
    /// Number of the contract between lab and system (command line, inspection, audited tables).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<u32>,
}

open_enum! {
    /// Side of a comparison.
    Side { Base = "base", Head = "head" }
}

open_enum! {
    /// Whether a subject competes.
    Standing {
        Ranked = "ranked",
        /// Sells nothing: the ceiling of the path around an engine.
        Ceiling = "ceiling",
        /// Breaks the contract on purpose, to show what the audit is for.
        Unsafe = "unsafe",
        /// Measured with another driver or elsewhere.
        Outside = "outside",
    }
}

/// What a leg measures: an engine with its parameters, in one build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The engine as it was asked for, `sharded-slots?slots=4`, with the side in front and the variant
    /// behind it where there are such.
    pub id: String,
    pub engine: String,
    pub params: BTreeMap<String, String>,
    /// As the engine states them: `survives_process_kill`, ….
    pub guarantees: BTreeMap<String, bool>,
    pub build: Build,
    /// Name of the scenario's variant: the same engine under other settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Settings of the roles that this subject alone has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, String>,
    /// Acknowledgement, where it differs from the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<Ack>,
    /// What sends its load, where that differs from subject to subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Number of the head, from 0, where a comparison has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<u8>,
    pub standing: Standing,
    /// It was asked for, and did not run for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_why: Option<String>,
}

open_enum! {
    /// How limits of CPU and memory were applied.
    LimitsBy {
        CgroupV2 = "cgroup_v2",
        CgroupV1 = "cgroup_v1",
        Affinity = "affinity",
        None = "none",
    }
}

/// Limits that were in force for system and servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    pub by: LimitsBy,
    /// The driver ran on cores that the system could not use.
    pub driver_apart: bool,
}

impl Default for AppliedLimits {
    fn default() -> Self {
        Self {
            cpus: None,
            memory_bytes: None,
            by: LimitsBy::None,
            driver_apart: false,
        }
    }
}

/// The folder where the servers keep their data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scratch {
    /// `ext4`, `overlay`, `tmpfs`, ….
    pub file_system: String,
    /// Nothing there survives a power cut, so that "durable" means nothing.
    pub is_tmpfs: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Hash of the machine's own id: tells machines apart and names none.
    pub id_hash: String,
    /// Hash of the boot's id.
    pub boot_hash: String,
    /// What makes machines comparable: `AMD EPYC 7763, 2 cores, 16 GiB, kvm`.
    pub class: String,
    pub cpu: String,
    pub cores: u32,
    pub memory_bytes: u64,
    pub kernel: String,
    pub os: String,
    pub scratch: Scratch,
    pub limits: AppliedLimits,
}

impl Machine {
    /// The machine in one cell of a table: `2 cores, 15.6 GiB, AMD EPYC 7763`.
    pub fn environment(&self) -> String {
        format!(
            "{} cores, {:.1} GiB, {}",
            self.cores,
            self.memory_bytes as f64 / (1u64 << 30) as f64,
            self.cpu
        )
    }
}

open_enum! {
    /// How much of the system's CPU and memory the lab can see.
    Sees {
        All = "all",
        /// Not the servers, which the lab did not start.
        RolesOnly = "roles_only",
        /// Only what the driver sees.
        OutsideOnly = "outside_only",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StackRecord {
    /// `servers`, `cluster`, `embedded`, `external`.
    pub kind: String,
    /// Why this kind was chosen.
    pub why: String,
    /// Of each server, by its name.
    pub versions: BTreeMap<String, String>,
    /// Every setting in force that matters, `redis.appendfsync` = `everysec`.
    pub settings: BTreeMap<String, String>,
    /// Settings of the roles that the user changed for an experiment.
    pub overrides: BTreeMap<String, String>,
    pub sees: Sees,
}

impl StackRecord {
    /// Whether this is the stack without servers, whose figures are never compared with those of
    /// servers.
    pub fn is_embedded(&self) -> bool {
        self.kind == "embedded"
    }
}

open_enum! {
    /// When a buyer is told yes: after the broker's confirm, or right after the publish as the Go
    /// project does.
    Ack { Confirmed = "confirmed", Published = "published" }
}

open_enum! {
    /// What keeps the order events.
    QueueKind { Classic = "classic", Quorum = "quorum", Sqlite = "sqlite" }
}

/// What "accepted" promises. Runs that differ here are not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Durability {
    pub ack: Ack,
    pub queue: QueueKind,
    /// `appendfsync` of Redis; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_aof: Option<String>,
    /// `innodb_flush_log_at_trx_commit`, or SQLite's `synchronous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_flush: Option<String>,
    /// False on a tmpfs.
    pub storage_survives: bool,
}
