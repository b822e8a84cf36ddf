//! Parts of runs with plausible figures: phases, legs, audits, subjects, scenarios.

use super::findings::{limit, passed};
use reports::result::*;
use std::collections::BTreeMap;

const SECOND_NS: u64 = 1_000_000_000;

/// Figures of one leg.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub rate: f64,
    pub p99_ms: f64,
    pub cpu_us: f64,
    pub accepted: u64,
    pub refused: u64,
}

pub const LUA: Figures = Figures {
    rate: 54_019.0,
    p99_ms: 16.7,
    cpu_us: 26.8,
    accepted: 500_000,
    refused: 0,
};

/// 100 values up to one that is the P99 and one that is a little more, so often that there are as
/// many as `count`, rounded down to hundreds.
pub fn hist(p99_ms: f64, count: u64) -> Hist {
    let mut doubled = HistRecorder::new();
    for step in 1..=100u64 {
        let ms = match step {
            100 => p99_ms * 1.3,
            step => p99_ms * (0.3 + 0.7 * (step as f64 / 99.0).powi(3)),
        };
        doubled.record_ns((ms * 1e6) as u64);
    }
    let mut recorder = HistRecorder::new();
    let mut left = (count / 100).max(1);
    while left > 0 {
        if left % 2 == 1 {
            recorder.merge(&doubled);
        }
        let once = doubled.clone();
        doubled.merge(&once);
        left /= 2;
    }
    recorder.to_hist()
}

fn usage(figures: Figures, finished: u64, until_drained: f64) -> UsageByProcess {
    let cpu_ns = figures.cpu_us * 1e3 * finished as f64 * until_drained;
    let shares = [
        ("seckill", 0.52, "serving-0", 0.71),
        ("mariadb", 0.20, "connection", 0.35),
        ("redis", 0.15, "redis-server", 0.22),
        ("rabbitmq", 0.08, "3_scheduler", 0.12),
        ("create-consumer", 0.05, "create-consumer", 0.08),
        ("driver", 0.15, "driver-0", 0.24),
        ("lab", 0.01, "lab", 0.02),
    ];
    let of = |(name, share, thread, busy): (&str, f64, &str, f64)| {
        let usage = Usage {
            user_ns: (cpu_ns * share * 0.7) as u64,
            system_ns: (cpu_ns * share * 0.3) as u64,
            runqueue_wait_ns: Some((cpu_ns * share * 0.2) as u64),
            switches_voluntary: Some(120_000),
            switches_forced: Some(4_000),
            peak_rss_bytes: ((share * 400.0) as u64) << 20,
            read_bytes: Some(0),
            written_bytes: Some(((share * 200.0) as u64) << 20),
            busiest_thread: Some(BusiestThread {
                name: thread.to_owned(),
                share: busy,
            }),
            source: Some(UsageSource::Schedstat),
        };
        (name.to_owned(), usage)
    };
    shares.into_iter().map(of).collect()
}

fn timeline(figures: Figures, length_ns: u64) -> Vec<Interval> {
    let each_ns = SECOND_NS / 2;
    let of = |index: u64| {
        let finished = (figures.rate / 2.0 * (0.9 + 0.02 * (index % 7) as f64)) as u64;
        Interval {
            t_ns: index * each_ns,
            length_ns: each_ns,
            due: finished,
            sent: finished,
            dropped: 0,
            counts: Outcomes {
                accepted: finished,
                ..Outcomes::default()
            },
            latency: hist(figures.p99_ms * (1.0 + 0.1 * (index % 3) as f64), 100),
            committed_units: Some(index * finished),
            steal_ns: Some(2_000_000),
        }
    };
    (0..(length_ns / each_ns).max(1)).map(of).collect()
}

pub fn phase(figures: Figures) -> Phase {
    let finished = figures.accepted + figures.refused;
    let length_ns = (finished as f64 / figures.rate * 1e9) as u64;
    let mut latency = Vec::new();
    for (outcome, count, scale) in [
        (OutcomeName::Accepted, figures.accepted, 1.0),
        (OutcomeName::Refused, figures.refused, 0.4),
    ] {
        for (clock, scale) in [
            (LatencyClock::Taken, scale),
            (LatencyClock::Sent, scale * 0.9),
        ] {
            if count > 0 {
                latency.push(Latency {
                    clock,
                    outcome: outcome.clone(),
                    hist: hist(figures.p99_ms * scale, count),
                });
            }
        }
    }
    let stats = OpStats {
        counts: Outcomes {
            accepted: figures.accepted,
            refused: figures.refused,
            ..Outcomes::default()
        },
        units_accepted: figures.accepted * 3 / 2,
        latency,
    };
    Phase {
        name: "measure".to_owned(),
        purpose: Purpose::Measure,
        start_unix_us: 1_767_323_045_000_000,
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
        in_flight: Some(InFlight {
            sampled_mean: 498.0,
            max: 500,
            samples: length_ns / 10_000_000,
        }),
        little: Some(Little {
            expected: 500.0,
            measured: 499.1,
            applies: true,
        }),
        timeline: timeline(figures, length_ns),
        usage: usage(figures, finished, 1.0),
        noise: Noise {
            window_ns: length_ns,
            steal_ns: length_ns / 200,
            idle_ns: length_ns / 40,
            iowait_ns: length_ns / 100,
            foreign_cpu_ns: length_ns / 300,
            samples_missed: 1,
        },
        limit: limit(LimitBy::AllCores, 0.976),
    }
}

pub fn leg(scenario: &str, subject: &str, round: u32, figures: Figures) -> Leg {
    let mut leg = Leg::begin(
        format!("{subject}-{round}"),
        scenario,
        subject,
        round,
        round,
    );
    leg.complete = true;
    leg.phases = vec![phase(figures)];
    if subject == "null" {
        leg.audit = Some(AuditReport::not_applicable());
        return leg;
    }
    leg.audit = Some(passed());
    leg.durable = Some(Durable {
        hist: hist(figures.p99_ms * 4.0, 2_000),
        samples: 2_000,
        missing: 0,
        left_out: 120,
        overflow: 0,
        poll_gap_p50_ns: 10_400_000,
        poll_gap_p99_ns: 21_000_000,
    });
    leg.committed_at_last_reply = Some(0.981);
    leg.drain_ns = Some(310_000_000);
    leg.usage_until_drained = usage(figures, figures.accepted + figures.refused, 1.05);
    leg.disk_bytes = Some(figures.accepted * 180);
    leg
}

pub fn subject(id: &str, standing: Standing) -> Subject {
    Subject {
        id: id.to_owned(),
        engine: id.to_owned(),
        params: BTreeMap::new(),
        guarantees: BTreeMap::from([("survives_process_kill".to_owned(), true)]),
        build: build(),
        variant: None,
        overrides: BTreeMap::new(),
        ack: None,
        driver: None,
        side: None,
        head: None,
        standing,
        skipped_why: None,
    }
}

fn build() -> Build {
    Build {
        version: "0.1.0".to_owned(),
        commit: "0123456789abcdef".to_owned(),
        dirty: false,
        profile: "release".to_owned(),
        rustc: "rustc 1.95.0".to_owned(),
        path: "target/release/seckill".to_owned(),
        sha256: "9f86d081884c7d659a2feaa0c55ad015".to_owned(),
        contract: Some(3),
    }
}

fn driver() -> DriverRecord {
    DriverRecord {
        kind: DriverKind::GrpcFast,
        version: "0.1.0".to_owned(),
        threads: 1,
        connections: 200,
        timeout_ns: 2 * SECOND_NS,
        tls: false,
        pacing: None,
    }
}

pub fn scenario(name: &str, title: &str, question: &str) -> Scenario {
    Scenario {
        name: name.to_owned(),
        sha256: "00".to_owned(),
        title: title.to_owned(),
        question: question.to_owned(),
        sales: vec![SaleRecord {
            product_id: 1,
            total: 1_000_000,
            price_cents: 9_900,
        }],
        time_to_pay_ns: None,
        phases: vec![PhasePlan {
            name: "measure".to_owned(),
            purpose: Purpose::Measure,
            products: vec![1],
            driver: driver(),
            arrival: Arrival {
                shape: ArrivalShape::Closed,
                workers: Some(500),
                think_ns: None,
                rates: Vec::new(),
                backlog_max: None,
                in_flight_max: None,
            },
            end: PhaseEnd {
                count: Some(500_000),
                time_ns: None,
            },
            data: DataPlan {
                users: 500_000,
                popularity: Popularity::Uniform,
                zipf_exponent: None,
                mix: BTreeMap::new(),
                quantity_max: 2,
                seed: 1,
                may_wrap: false,
                after: None,
            },
        }],
        rounds: 1,
        consumer_held_back: false,
        may_sell_out: false,
        objective: None,
        limits_wanted: None,
        reference: Vec::new(),
    }
}

pub fn reference(label: &str, rate: f64, p99_ms: f64, environment: &str) -> ReferenceRow {
    ReferenceRow {
        label: label.to_owned(),
        source: "github.com/CCDD2022/seckill-system, its README".to_owned(),
        parameters: "-c 500 -n 500000 --connections=200 --timeout=2s".to_owned(),
        requests: 500_000,
        total_s: 500_000.0 / rate,
        mean_ms: p99_ms / 3.0,
        requests_per_s: rate,
        p99_ms,
        environment: environment.to_owned(),
        note: Some("told yes before the broker confirmed".to_owned()),
    }
}

pub fn run(scenario: Scenario, subjects: Vec<Subject>, legs: Vec<Leg>) -> Run {
    Run {
        schema: SCHEMA,
        min_reader: READER,
        id: format!("20260102-030405-{}-7f3a", scenario.name),
        name: None,
        series: None,
        kind: RunKind::Bench,
        command: ["lab", "bench", &scenario.name].map(str::to_owned).to_vec(),
        seed: 1,
        started_unix_us: 1_767_323_045_000_000,
        finished_unix_us: 1_767_323_145_000_000,
        complete: true,
        error: None,
        lab: build(),
        machine: Machine {
            class: "Example CPU, 2 cores, 8 GiB, kvm".to_owned(),
            cpu: "Example CPU @ 2.50GHz".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "6.1.0".to_owned(),
            os: "Example Linux 12".to_owned(),
            scratch: Scratch {
                file_system: "ext4".to_owned(),
                is_tmpfs: false,
            },
            ..Machine::default()
        },
        stack: StackRecord {
            kind: "servers".to_owned(),
            why: "private ones on free ports, their binaries are here".to_owned(),
            versions: BTreeMap::from([
                ("mariadb".to_owned(), "10.11.6".to_owned()),
                ("rabbitmq".to_owned(), "3.10.8".to_owned()),
                ("redis".to_owned(), "7.0.15".to_owned()),
            ]),
            settings: BTreeMap::from([("redis.appendfsync".to_owned(), "everysec".to_owned())]),
            overrides: BTreeMap::new(),
            sees: Sees::All,
        },
        durability: Durability {
            ack: Ack::Confirmed,
            queue: QueueKind::Classic,
            redis_aof: Some("everysec".to_owned()),
            db_flush: Some("1".to_owned()),
            storage_survives: true,
        },
        scenarios: vec![scenario],
        subjects,
        legs,
        searches: Vec::new(),
        gate: None,
        expectations: Vec::new(),
        metrics: METRICS.iter().map(|metric| metric.def()).collect(),
    }
}
