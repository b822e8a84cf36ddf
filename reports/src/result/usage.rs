//! What processes used in a window, what disturbed them, and what therefore limited a phase.

use super::open_enum::open_enum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the process that sends the load.
pub const DRIVER: &str = "driver";
/// Name of the process that runs the legs and watches them.
pub const LAB: &str = "lab";

/// Whether a process belongs to the system that is measured: all but the driver and the lab do.
pub fn is_system_process(name: &str) -> bool {
    name != DRIVER && name != LAB
}

/// Usage by the name of the process: `driver`, `lab`, each role (`seckill`, `create-consumer`, …)
/// and each server (`redis`, …).
pub type UsageByProcess = BTreeMap<String, Usage>;

open_enum! {
    /// Where the CPU figures come from, and so how fine they are.
    UsageSource {
        /// `cpuacct` or `cpu.stat` of a control group, in ns.
        Cgroup = "cgroup",
        /// The kernel's clock of each process, ended threads included, in ns.
        ProcessClock = "process_clock",
        /// `/proc/<pid>/task/*/schedstat`, in ns.
        Schedstat = "schedstat",
        /// `/proc/<pid>/stat`, in steps of 10 ms.
        Stat10ms = "stat_10ms",
    }
}

/// What a process and its children used within a window; the peak of memory is that since its start
/// or since the window's, whichever the kernel gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    pub user_ns: u64,
    pub system_ns: u64,
    /// Runnable, but waiting for a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runqueue_wait_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches_voluntary: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches_forced: Option<u64>,
    pub peak_rss_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busiest_thread: Option<BusiestThread>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<UsageSource>,
}

impl Usage {
    pub fn cpu_ns(&self) -> u64 {
        self.user_ns + self.system_ns
    }
}

/// The thread that ran for most of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BusiestThread {
    pub name: String,
    /// CPU of the thread by the window's length, 0 to 1.
    pub share: f64,
}

/// What the machine did besides, in the same window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Noise {
    pub window_ns: u64,
    /// Taken by the hypervisor, over all cores.
    pub steal_ns: u64,
    pub idle_ns: u64,
    pub iowait_ns: u64,
    /// CPU of processes that are neither the system nor the lab nor the driver.
    pub foreign_cpu_ns: u64,
    /// Samples of the lab's own clock that came later than planned by more than their period.
    pub samples_missed: u64,
}

open_enum! {
    /// What kept a phase from finishing more requests per second.
    LimitBy {
        /// One thread was busy nearly all of the time.
        Thread = "thread",
        /// All cores were busy nearly all of the time.
        AllCores = "all_cores",
        /// A thread of the driver was busy nearly all of the time, or it lagged behind its schedule.
        Driver = "driver",
        /// The service waited for the broker's confirms, as its own metrics say.
        Confirms = "confirms",
        /// No more was offered.
        OfferedRate = "offered_rate",
        /// Nothing was at a limit; workers waited for replies that took their time.
        Nothing = "nothing",
        /// Something was not seen that would be needed to tell.
        Unknown = "unknown",
    }
}

/// What limited a phase. Only what was at its limit is ever called a ceiling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    pub by: LimitBy,
    /// Process and thread, for [`LimitBy::Thread`] and [`LimitBy::Driver`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// How near to its limit it was, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The figures behind the verdict, by name with unit: `idle_share`, `steal_share`,
    /// `busiest_thread_share`, ….
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, f64>,
}

impl Limit {
    pub fn unknown() -> Self {
        Self {
            by: LimitBy::Unknown,
            process: None,
            thread: None,
            share: None,
            evidence: BTreeMap::new(),
        }
    }
}
