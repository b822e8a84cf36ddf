//! What every process says of itself.

use super::registry::Metrics;
use super::samples::Kind;
use crate::logging;
use crate::telemetry;
use procfs::process::{LimitValue, Process, Stat};
use std::time::Duration;

/// What this process is.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Its subcommand.
    pub role: &'static str,
    pub version: &'static str,
    /// Empty where it was built outside of a git repository.
    pub commit: &'static str,
}

/// Registers what is the same for all roles.
pub fn register(metrics: &Metrics, build: Build) {
    let help = "Always 1; what this process is";
    metrics.register(Kind::Gauge, "seckill_build_info", help, move |out| {
        let Build {
            role,
            version,
            commit,
        } = build;
        let labels = [("role", role), ("version", version), ("commit", commit)];
        out.count(&labels, 1);
    });
    let help = "Lines not written because their kind had its line of that second";
    let name = "seckill_log_suppressed_total";
    metrics.register(Kind::Counter, name, help, |out| {
        let (warnings, errors) = logging::left_out();
        out.count(&[("level", "warn")], warnings);
        out.count(&[("level", "error")], errors);
    });
    let help = "Spans of traces by what became of them";
    let name = "seckill_trace_spans_total";
    metrics.register(Kind::Counter, name, help, |out| {
        let spans = telemetry::counts();
        for (result, count) in [
            ("sent", spans.sent),
            ("failed", spans.failed),
            ("dropped", spans.dropped),
        ] {
            out.count(&[("result", result)], count);
        }
    });
    let name = "process_cpu_seconds_total";
    metrics.register(Kind::Counter, name, "User and system time", |out| {
        if let Some(stat) = stat() {
            out.value(&[], of_ticks(stat.utime + stat.stime).as_secs_f64());
        }
    });
    let name = "process_resident_memory_bytes";
    metrics.register(Kind::Gauge, name, "Memory", |out| {
        if let Some(stat) = stat() {
            out.count(&[], stat.rss * procfs::page_size());
        }
    });
    let name = "process_open_fds";
    metrics.register(Kind::Gauge, name, "Open files and sockets", |out| {
        let count = Process::myself().and_then(|this| this.fd_count());
        if let Ok(count) = count {
            out.count(&[], u64::try_from(count).unwrap_or(u64::MAX));
        }
    });
    let name = "process_max_fds";
    metrics.register(Kind::Gauge, name, "How many there may be", |out| {
        let limits = Process::myself().and_then(|this| this.limits());
        if let Ok(LimitValue::Value(most)) = limits.map(|limits| limits.max_open_files.soft_limit) {
            out.count(&[], most);
        }
    });
    let name = "process_start_time_seconds";
    metrics.register(Kind::Gauge, name, "Unix time of the start", |out| {
        let booted = procfs::boot_time_secs();
        if let (Some(stat), Ok(booted)) = (stat(), booted) {
            let started = Duration::from_secs(booted) + of_ticks(stat.starttime);
            out.value(&[], started.as_secs_f64());
        }
    });
}

fn stat() -> Option<Stat> {
    Process::myself().and_then(|this| this.stat()).ok()
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1_000 / procfs::ticks_per_second())
}
