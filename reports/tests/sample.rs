//! Runs with round figures, for the golden files.

use std::collections::BTreeMap;

use reports::model::*;

fn check(name: &str, passed: bool) -> AuditCheck {
    AuditCheck {
        name: name.to_owned(),
        invariant: "b".to_owned(),
        passed,
        expected: "20,000 rows".to_owned(),
        actual: if passed {
            "20,000 rows"
        } else {
            "19,999 rows, order 71 is missing"
        }
        .to_owned(),
    }
}

fn latency(scale: u64) -> LatencySummary {
    LatencySummary {
        mean_us: 28_640.0 * scale as f64,
        min_us: 900 * scale,
        p50_us: 25_000 * scale,
        p90_us: 45_000 * scale,
        p99_us: 76_000 * scale,
        p999_us: 97_090 * scale,
        max_us: 120_500 * scale,
        buckets: vec![(25_000 * scale, 10_000), (120_500 * scale, 10_000)],
    }
}

fn usages(scale: u64) -> UsageByProcess {
    [
        ("driver", 550),
        ("lab", 40),
        ("seckill", 920),
        ("create-consumer", 120),
        ("redis", 160),
        ("rabbitmq", 130),
        ("mariadb", 280),
    ]
    .into_iter()
    .map(|(name, ms)| {
        (
            name.to_owned(),
            Usage {
                cpu_us: ms * 1000 * scale,
                peak_rss_bytes: (ms << 18) * scale,
            },
        )
    })
    .collect()
}

pub fn leg(engine: &str, round: u32, requests_per_s: f64) -> Leg {
    let null = engine == "null";
    let mut leg = Leg::begin(engine, round, 20_000);
    leg.complete = true;
    leg.counts = OutcomeCounts {
        accepted: 20_000,
        ..OutcomeCounts::default()
    };
    leg.requests = 20_000;
    leg.accepted_units = 30_000;
    leg.total_s = (20_000_000.0 / requests_per_s).round() / 1000.0;
    leg.requests_per_s = requests_per_s;
    leg.latency = latency(1);
    leg.statuses = vec![("OK".to_owned(), 20_000)];
    leg.usage_until_reply = usages(1);
    leg.timeline = vec![TimelinePoint {
        t_ms: 250,
        rps: requests_per_s,
        p99_us: 76_000,
        committed_units: 3_000,
    }];
    leg.audit = Some(if null {
        AuditReport::not_applicable()
    } else {
        AuditReport::of(vec![check("every accepted order has one row", true)])
    });
    leg.system_cpu_per_order = Some(SystemCpuPerOrder {
        until_reply_us: 80.5,
        until_drained_us: None,
    });
    if !null {
        leg.durable_latency = Some(DurableLatency {
            summary: latency(2),
            samples: 200,
            missing: 0,
            resolution_us: 20_000,
        });
        leg.committed_at_last_reply = Some(0.975);
        leg.drain_s = Some(0.31);
        leg.usage_until_drained = Some(usages(2));
        leg.system_cpu_per_order = Some(SystemCpuPerOrder {
            until_reply_us: 80.5,
            until_drained_us: Some(161.0),
        });
    }
    leg
}

fn scenario() -> ScenarioRecord {
    ScenarioRecord {
        name: "laptop".to_owned(),
        title: "500,000 buyers, one product".to_owned(),
        question: "Does the system keep up with the published run, with nothing lost?".to_owned(),
        sales: vec![SaleRecord {
            product_id: 1,
            total: 1_000_000,
            price_cents: 9_900,
        }],
        engines: vec!["lua-single-key".to_owned()],
        load: LoadRecord {
            driver: "grpc".to_owned(),
            concurrency: 500,
            connections: 200,
            requests: 20_000,
            timeout_ms: 2_000,
            users: 500_000,
            max_quantity: 2,
            seed: 42,
            warmup_requests: 2_000,
        },
        rounds: 1,
        consumer_held_back: false,
        reference: vec![ReferenceRow {
            label: "Go project, published".to_owned(),
            source: "CCDD2022/seckill-system, README".to_owned(),
            parameters: "-c 500 -n 500000 --connections=200 --timeout=2s".to_owned(),
            requests: 500_000,
            total_s: 28.99,
            mean_ms: 28.64,
            requests_per_s: 17_248.0,
            p99_ms: 97.09,
            environment: "r5-7640HS laptop".to_owned(),
            note: Some("0 errors".to_owned()),
        }],
    }
}

pub fn one_engine() -> RunResult {
    RunResult {
        schema: SCHEMA,
        id: "20260102-030405-laptop-7f3a".to_owned(),
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        finished_at: "2026-01-02T03:05:05Z".to_owned(),
        complete: true,
        tool: ToolVersion {
            version: "0.1.0".to_owned(),
            commit: "0123456789ab".to_owned(),
            dirty: false,
            profile: "release".to_owned(),
        },
        machine: Machine {
            cpu: "Example CPU | 2.5 GHz".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "6.1.0".to_owned(),
            os: "Example Linux 12".to_owned(),
        },
        command: "lab bench laptop --requests 20000".to_owned(),
        scenario: scenario(),
        stack: StackRecord {
            kind: "servers".to_owned(),
            why: "servers: private ones on free ports, their binaries are here".to_owned(),
            settings: BTreeMap::from([
                (
                    "mariadb.innodb_flush_log_at_trx_commit".to_owned(),
                    "1".to_owned(),
                ),
                ("redis.appendfsync".to_owned(), "everysec".to_owned()),
            ]),
            overrides: BTreeMap::new(),
            skipped: Vec::new(),
        },
        ack: AckMode::Confirmed,
        legs: vec![leg("lua-single-key", 1, 12_500.0)],
        expectations: vec![Expectation {
            what: "errors, lua-single-key round 1".to_owned(),
            expected: "at most 0".to_owned(),
            actual: "0".to_owned(),
            met: true,
        }],
        error: None,
    }
}

pub fn rounds_with_null() -> RunResult {
    let mut run = one_engine();
    run.scenario.rounds = 3;
    run.scenario.engines = vec!["null".to_owned(), "lua-single-key".to_owned()];
    run.legs = vec![
        leg("null", 1, 20_000.0),
        leg("lua-single-key", 1, 13_000.0),
        leg("lua-single-key", 2, 12_000.0),
        leg("null", 2, 20_000.0),
        leg("null", 3, 19_000.0),
        leg("lua-single-key", 3, 12_500.0),
    ];
    run
}

/// Every role in one process.
fn in_one_process(usages: &UsageByProcess) -> UsageByProcess {
    let all = Usage {
        cpu_us: 1_400_000,
        peak_rss_bytes: 300 << 20,
    };
    let watchers = usages
        .iter()
        .filter(|(name, _)| ["driver", "lab"].contains(&name.as_str()));
    watchers
        .map(|(name, usage)| (name.clone(), *usage))
        .chain([("all".to_owned(), all)])
        .collect()
}

/// Three engines over two rounds without any server. One engine of the scenario could not run
/// there, and one of those that ran lost an order in its second round.
pub fn embedded() -> RunResult {
    let mut run = one_engine();
    run.scenario.rounds = 2;
    run.scenario.engines = ["null", "preallocated", "database-row"]
        .map(str::to_owned)
        .to_vec();
    run.stack = StackRecord {
        kind: "embedded".to_owned(),
        why: "embedded: one process with every role on one SQLite 3.46.0 file, as asked for"
            .to_owned(),
        settings: BTreeMap::from([("sqlite.synchronous".to_owned(), "full".to_owned())]),
        overrides: BTreeMap::new(),
        skipped: vec![SkippedEngine {
            engine: "lua-single-key".to_owned(),
            why: "needs redis".to_owned(),
        }],
    };
    run.legs = vec![
        leg("null", 1, 40_000.0),
        leg("database-row", 1, 6_000.0),
        leg("preallocated", 1, 22_000.0),
        leg("database-row", 2, 6_400.0),
        leg("preallocated", 2, 21_000.0),
        leg("null", 2, 41_000.0),
    ];
    for leg in &mut run.legs {
        leg.usage_until_reply = in_one_process(&leg.usage_until_reply);
        leg.usage_until_drained = leg.usage_until_drained.as_ref().map(in_one_process);
    }
    run.legs[4].audit = Some(AuditReport::of(vec![check(
        "every accepted order has one row",
        false,
    )]));
    run
}

pub fn incomplete() -> RunResult {
    let mut run = one_engine();
    run.complete = false;
    run.ack = AckMode::Published;
    run.tool.dirty = true;
    run.stack.overrides =
        BTreeMap::from([("SECKILL__MQ__CONSUMER_PREFETCH".to_owned(), "10".to_owned())]);
    let mut failed = leg("lua-single-key", 1, 12_500.0);
    failed.counts.accepted = 19_990;
    failed.counts.unknown = 10;
    failed.statuses.push(("DEADLINE_EXCEEDED".to_owned(), 10));
    failed.audit = Some(AuditReport::of(vec![
        check("no buyer has two live orders", true),
        check("every accepted order has one row", false),
    ]));
    let mut stopped = Leg::begin("database-row", 1, 20_000);
    stopped.error = Some("redis stopped with exit code 1".to_owned());
    run.legs = vec![failed, stopped];
    run.expectations[0].actual = "10".to_owned();
    run.expectations[0].met = false;
    run
}
