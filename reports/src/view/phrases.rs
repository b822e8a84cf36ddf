//! Parts of a result in a few words: what limited a phase, what a flag means, what "durable"
//! promises, how the load came, and on what machine.

use super::numbers::{bytes, counted, grouped, ns, percent, significant};
use super::text::clean;
use crate::result::{
    Ack, ArrivalShape, Durability, Flag, LatencyClock, Leg, Limit, LimitBy, LimitsBy, Machine,
    Phase, PhasePlan, QueueKind, Rate, Run, Scenario,
};

/// What limited a phase, without figures: `all cores`, `thread driver-0 of driver`.
pub(super) fn limit(limit: &Limit) -> String {
    let process = limit.process.as_deref().map(clean);
    let thread = limit.thread.as_deref().map(clean);
    match (&limit.by, thread, process) {
        (LimitBy::Thread | LimitBy::Driver, Some(thread), Some(process)) => {
            format!("thread {thread} of {process}")
        }
        (LimitBy::Thread | LimitBy::Driver, Some(thread), None) => format!("thread {thread}"),
        (LimitBy::Thread, None, Some(process)) => format!("a thread of {process}"),
        (LimitBy::Thread, None, None) => "one thread".to_owned(),
        (LimitBy::Driver, None, _) => "the driver".to_owned(),
        (LimitBy::AllCores, ..) => "all cores".to_owned(),
        (LimitBy::Confirms, ..) => "the broker's confirms".to_owned(),
        (LimitBy::OfferedRate, ..) => "the offered rate".to_owned(),
        (LimitBy::Nothing, ..) => "nothing at its limit".to_owned(),
        (LimitBy::Unknown, ..) => "unknown".to_owned(),
        (LimitBy::Other(name), ..) => clean(name),
    }
}

/// With how near to its limit it was.
pub(super) fn limit_with_share(of: &Limit) -> String {
    let is_at_limit = matches!(
        of.by,
        LimitBy::Thread | LimitBy::AllCores | LimitBy::Driver | LimitBy::Confirms
    );
    match of.share.filter(|_| is_at_limit) {
        Some(share) => format!("{} ({})", limit(of), percent(share)),
        None => limit(of),
    }
}

/// What a reader must know of a leg with this flag.
pub(super) fn flag(flag: &Flag) -> String {
    match flag {
        Flag::Profiled => "a profiler ran, which costs",
        Flag::DataWrapped => "the data ended and began again, so buyers came twice",
        Flag::StockEnded => "stock ran out, which the scenario does not ask for",
        Flag::ShortWindow => "measured for less than 3 s",
        Flag::ShortWarmUp => "warmed up for less than 3 s",
        Flag::Tmpfs => "data in memory (tmpfs): \"durable\" means nothing",
        Flag::RateMissed => "did not keep up with the schedule",
        Flag::DriverSaturated => "the driver was at its limit",
        Flag::LittleBroken => {
            "Little's law is broken, so the driver's clocks are not to be trusted"
        }
        Flag::Other(name) => return clean(name),
    }
    .to_owned()
}

/// From when the headline latency counts.
pub(super) fn clock(clock: &LatencyClock) -> &'static str {
    match clock {
        LatencyClock::Intended => "intended send to reply",
        LatencyClock::Taken => "request taken to reply",
        LatencyClock::Sent => "real send to reply",
        LatencyClock::Other(_) => "by a clock of a later version",
    }
}

/// `yes after confirm, Redis AOF everysec, each commit flushed, ext4`.
pub(super) fn durability(durability: &Durability, machine: &Machine) -> String {
    let mut parts = vec![
        match &durability.ack {
            Ack::Confirmed if durability.queue == QueueKind::Sqlite => "yes after commit",
            Ack::Confirmed => "yes after confirm",
            Ack::Published => "yes BEFORE confirm",
            Ack::Other(name) => name,
        }
        .to_owned(),
    ];
    if durability.queue == QueueKind::Quorum {
        parts.push("quorum queue".to_owned());
    }
    if let Some(aof) = &durability.redis_aof {
        parts.push(format!("Redis AOF {}", clean(aof)));
    }
    if let Some(flush) = &durability.db_flush {
        parts.push(match flush.as_str() {
            "1" => "each commit flushed".to_owned(),
            other => format!("database flush {}", clean(other)),
        });
    }
    if !machine.scratch.file_system.is_empty() {
        parts.push(clean(&machine.scratch.file_system));
    }
    parts.join(", ")
}

/// `closed loop, 500 workers, 200 connections`.
pub(super) fn load(plan: &PhasePlan) -> String {
    let arrival = &plan.arrival;
    let connections = counted(plan.driver.connections.into(), "connection");
    match &arrival.shape {
        ArrivalShape::Closed => {
            let workers = arrival
                .workers
                .map(|workers| counted(workers.into(), "worker"));
            let workers = workers.map_or_else(String::new, |workers| format!(", {workers}"));
            format!("closed loop{workers}, {connections}")
        }
        ArrivalShape::Spike => format!("open loop, everybody at once, {connections}"),
        shape => {
            let rates: Vec<String> = arrival.rates.iter().map(rate).collect();
            let rates = rates.join(" → ");
            format!("open loop, {shape} {rates}, {connections}")
        }
    }
}

/// `20,000/s`, or `60.0 % of slowest`.
fn rate(rate: &Rate) -> String {
    match (rate.per_s, rate.share, &rate.of) {
        (Some(per_s), ..) => format!("{}/s", significant(per_s)),
        (None, Some(share), Some(of)) => format!("{} of {}", percent(share), clean(of)),
        (None, Some(share), None) => percent(share),
        (None, None, _) => "a rate of its own".to_owned(),
    }
}

/// When a phase ends: `500,000 requests`, or `after 30.0 s`.
pub(super) fn end(plan: &PhasePlan) -> String {
    match (plan.end.count, plan.end.time_ns) {
        (Some(count), _) => counted(count, "request"),
        (None, Some(time_ns)) => format!("after {}", ns(time_ns)),
        (None, None) => "when the data end".to_owned(),
    }
}

pub(super) fn machine(machine: &Machine) -> String {
    let mut text = format!(
        "{}, {}, {}",
        counted(machine.cores.into(), "core"),
        bytes(machine.memory_bytes),
        clean(&machine.cpu)
    );
    let limits = &machine.limits;
    if let Some(in_force) = resources(limits.cpus, limits.memory_bytes) {
        text.push_str(&format!("; system limited to {in_force} by {}", limits.by));
    }
    text.push_str(if limits.driver_apart {
        "; driver on cores of its own"
    } else {
        "; driver on the same cores"
    });
    text
}

/// `4 cores and 4.00 GiB`; none when neither is limited.
fn resources(cpus: Option<f64>, memory_bytes: Option<u64>) -> Option<String> {
    let cpus = cpus.map(|cpus| {
        let noun = if cpus == 1.0 { "core" } else { "cores" };
        format!("{cpus}\u{a0}{noun}")
    });
    let parts: Vec<String> = cpus.into_iter().chain(memory_bytes.map(bytes)).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// What the scenario wanted the system to have and it did not have; none when it had it.
pub(super) fn limits_missed(run: &Run, scenario: &Scenario) -> Option<String> {
    let wanted = scenario.limits_wanted.as_ref()?;
    let limits = &run.machine.limits;
    let has_cpus = wanted.cpus.is_none() || wanted.cpus == limits.cpus;
    let has_memory = wanted.memory_bytes.is_none() || wanted.memory_bytes == limits.memory_bytes;
    if has_cpus && has_memory {
        return None;
    }
    let wanted = resources(wanted.cpus, wanted.memory_bytes)?;
    let had = match resources(limits.cpus, limits.memory_bytes) {
        Some(had) if limits.by != LimitsBy::None => format!("{had} were in force"),
        _ => format!(
            "no limit was in force on {}",
            counted(run.machine.cores.into(), "core")
        ),
    };
    Some(format!("the scenario wants {wanted}; {had}"))
}

/// `lua-single-key`, or `lua-single-key, round 2` where there are several.
pub(super) fn leg_name(run: &Run, leg: &Leg) -> String {
    let rounds = run
        .scenario(&leg.scenario)
        .map_or(1, |scenario| scenario.rounds);
    let name = clean(&leg.subject);
    if rounds > 1 {
        format!("{name}, round\u{a0}{}", leg.round)
    } else {
        name
    }
}

/// Where the schedule's requests went that were never sent: `12,400 of 60,000 due (backlog full)`.
pub(super) fn dropped(phase: &Phase) -> Option<String> {
    let dropped = phase.dropped_in_all();
    let reasons: Vec<String> = phase.dropped.keys().map(|reason| clean(reason)).collect();
    (dropped > 0).then(|| {
        format!(
            "{} of {} due ({})",
            grouped(dropped),
            grouped(phase.due),
            reasons.join(", ")
        )
    })
}
