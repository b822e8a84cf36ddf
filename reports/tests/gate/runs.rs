//! Runs of a gate with figures that are known.

use reports::result::*;
use std::collections::BTreeMap;

pub const BASE: &str = "base lua-single-key";
pub const HEAD: &str = "head lua-single-key";
/// Offered in the open phase.
pub const RATE_PER_S: f64 = 20_000.0;
const SECOND_NS: u64 = 1_000_000_000;

/// What one leg measures.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub per_s: f64,
    pub p99_ms: f64,
    pub cpu_us: f64,
}

pub const USUAL: Figures = Figures {
    per_s: 40_000.0,
    p99_ms: 10.0,
    cpu_us: 30.0,
};

impl Figures {
    /// The same times factors of throughput, P99 and CPU.
    pub fn times(self, factors: [f64; 3]) -> Self {
        Self {
            per_s: self.per_s * factors[0],
            p99_ms: self.p99_ms * factors[1],
            cpu_us: self.cpu_us * factors[2],
        }
    }
}

fn phase(name: &str, finished: u64, length_ns: u64, clock: LatencyClock, p99_ms: f64) -> Phase {
    let mut recorder = HistRecorder::new();
    recorder.record_ns((p99_ms * 1e6) as u64);
    let stats = OpStats {
        counts: Outcomes {
            accepted: finished,
            ..Outcomes::default()
        },
        units_accepted: finished,
        latency: vec![Latency {
            clock,
            outcome: OutcomeName::Accepted,
            hist: recorder.to_hist(),
        }],
    };
    Phase {
        name: name.to_owned(),
        purpose: Purpose::Measure,
        start_unix_us: 0,
        length_ns,
        offered_per_s: None,
        due: finished,
        sent: finished,
        waiting_at_end: 0,
        finished,
        dropped: BTreeMap::new(),
        operations: BTreeMap::from([(Operation::Buy, stats)]),
        statuses: BTreeMap::from([("OK".to_owned(), finished)]),
        send_lag: None,
        buy_again: None,
        tail_ns: 0,
        in_flight: None,
        little: None,
        timeline: Vec::new(),
        usage: BTreeMap::new(),
        noise: Noise {
            window_ns: length_ns,
            ..Noise::default()
        },
        limit: Limit::unknown(),
    }
}

fn used(cpu_ns: u64, thread_share: f64) -> Usage {
    Usage {
        user_ns: cpu_ns,
        busiest_thread: Some(BusiestThread {
            name: "driver-0".to_owned(),
            share: thread_share,
        }),
        ..Usage::default()
    }
}

/// A whole leg: an open phase, then a saturating one.
pub fn leg(subject: &str, block: u32, attempt: u32, figures: Figures) -> Leg {
    let mut leg = Leg::begin(
        format!("{subject} {block}.{attempt}"),
        "gate",
        subject,
        block,
        1,
    );
    let (open_ns, finished) = (5 * SECOND_NS, 200_000);
    let due = (RATE_PER_S * 5.0) as u64;
    let mut open = phase("open", due, open_ns, LatencyClock::Intended, figures.p99_ms);
    open.offered_per_s = Some(RATE_PER_S);
    let length_ns = (finished as f64 * 1e9 / figures.per_s) as u64;
    let mut saturating = phase("saturate", finished, length_ns, LatencyClock::Taken, 12.0);
    let cpu_ns = (figures.cpu_us * 1e3 * finished as f64) as u64;
    for phase in [&mut open, &mut saturating] {
        phase.usage = BTreeMap::from([
            ("seckill".to_owned(), used(cpu_ns, 0.5)),
            ("driver".to_owned(), used(cpu_ns / 5, 0.4)),
        ]);
    }
    leg.usage_until_drained = saturating.usage.clone();
    leg.usage_until_drained.remove("driver");
    leg.phases = vec![open, saturating];
    leg.pair = Some(Pair {
        block,
        order: vec![0, 1],
        attempt,
        void: None,
    });
    leg.complete = true;
    leg.audit = Some(AuditReport::of(Vec::new()));
    leg
}

/// An audit that found a lost order.
pub fn lost_order() -> AuditReport {
    AuditReport::of(vec![AuditCheck {
        name: "every accepted order has exactly one row".to_owned(),
        invariant: "b".to_owned(),
        passed: false,
        expected: "200,000 rows".to_owned(),
        actual: "199,999 rows".to_owned(),
    }])
}

/// A wobble of so many blocks, symmetric, of a standard deviation of about 1, the same every time.
pub fn wobble(blocks: u32) -> impl Iterator<Item = f64> {
    const STEPS: [f64; 10] = [0.3, -1.2, 1.6, -0.4, 0.9, -0.9, 0.4, -1.6, 1.2, -0.3];
    STEPS.into_iter().cycle().take(blocks as usize)
}

/// A run of so many blocks, in which the head is the base times factors of throughput, P99 and CPU,
/// but for a wobble of 1 % of each.
pub fn run(blocks: u32, factors: [f64; 3]) -> Run {
    let legs = (1..=blocks).zip(wobble(blocks)).flat_map(|(block, step)| {
        let wobbling = factors.map(|factor| factor * (0.01 * step).exp());
        [
            leg(BASE, block, 1, USUAL),
            leg(HEAD, block, 1, USUAL.times(wobbling)),
        ]
    });
    of_legs(legs.collect())
}

pub fn of_legs(legs: Vec<Leg>) -> Run {
    let value = serde_json::json!({
        "schema": SCHEMA,
        "min_reader": READER,
        "id": "20260102-030405-gate-7f3a",
        "kind": "gate",
        "command": ["lab", "regress", "--base", "main"],
        "seed": 1,
        "started_unix_us": 1_767_323_045_000_000i64,
        "finished_unix_us": 1_767_324_545_000_000i64,
        "complete": true,
        "lab": Build { version: "0.1.0".to_owned(), profile: "release".to_owned(), ..Build::default() },
        "machine": Machine { class: "Example CPU, 2 cores, 8 GiB, kvm".to_owned(), cores: 2, memory_bytes: 8 << 30, scratch: Scratch { file_system: "ext4".to_owned(), is_tmpfs: false }, ..Machine::default() },
        "stack": { "kind": "servers", "why": "", "versions": {}, "settings": {}, "overrides": {}, "sees": "all" },
        "durability": { "ack": "confirmed", "queue": "classic", "redis_aof": "everysec", "db_flush": "1", "storage_survives": true },
        "scenarios": [],
        "subjects": [],
        "legs": [],
        "metrics": [],
    });
    let mut run = Run::from_json(&value.to_string()).expect("a run");
    run.legs = legs;
    run
}
