//! The result model against the JSON Schema in the tree, and the refusal of what cannot be read.

mod result {
    mod followed;
}

use reports::result::{
    Ack, Arrival, ArrivalShape, AuditReport, Build, DataPlan, DriverKind, DriverRecord, Durability,
    Hist, HistRecorder, InFlight, Interval, Latency, LatencyClock, Leg, Limit, Little, METRICS,
    Machine, Noise, OpStats, Operation, OutcomeName, Outcomes, Phase, PhaseEnd, PhasePlan,
    Popularity, Purpose, QueueKind, READER, Run, RunKind, SCHEMA, SaleRecord, Scenario, Sees,
    StackRecord, Standing, Subject, Usage, json_schema, metric,
};
use std::collections::BTreeMap;
use std::path::Path;

fn schema_path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/result-2.schema.json")
}

fn hist(latencies_ns: &[u64]) -> Hist {
    let mut recorder = HistRecorder::new();
    latencies_ns
        .iter()
        .for_each(|latency| recorder.record_ns(*latency));
    recorder.to_hist()
}

/// 100 requests in 50 ms: 90 accepted at 1 ms, 10 refused at 2 ms, by two workers.
fn phase() -> Phase {
    let latency = |clock: LatencyClock, outcome: OutcomeName, latencies_ns: &[u64]| Latency {
        clock,
        outcome,
        hist: hist(latencies_ns),
    };
    let stats = OpStats {
        counts: Outcomes {
            accepted: 90,
            refused: 10,
            ..Outcomes::default()
        },
        units_accepted: 130,
        latency: vec![
            latency(LatencyClock::Taken, OutcomeName::Accepted, &[1_000_000; 90]),
            latency(LatencyClock::Taken, OutcomeName::Refused, &[2_000_000; 10]),
            latency(LatencyClock::Sent, OutcomeName::Accepted, &[900_000; 90]),
        ],
    };
    let used = |user_ns: u64| Usage {
        user_ns,
        peak_rss_bytes: 1 << 20,
        ..Usage::default()
    };
    Phase {
        name: "measure".to_owned(),
        purpose: Purpose::Measure,
        start_unix_us: 1_000_000,
        length_ns: 50_000_000,
        offered_per_s: None,
        due: 100,
        sent: 100,
        waiting_at_end: 0,
        finished: 100,
        dropped: BTreeMap::new(),
        operations: BTreeMap::from([(Operation::Buy, stats)]),
        statuses: BTreeMap::from([
            ("OK".to_owned(), 90),
            ("OK, refused: sold out".to_owned(), 10),
        ]),
        send_lag: None,
        buy_again: None,
        tail_ns: 0,
        in_flight: Some(InFlight {
            sampled_mean: 2.0,
            max: 2,
            samples: 5,
        }),
        little: Some(Little {
            expected: 2.0,
            measured: 2.2,
            applies: true,
        }),
        timeline: vec![Interval {
            t_ns: 0,
            length_ns: 50_000_000,
            due: 100,
            sent: 100,
            dropped: 0,
            counts: stats_counts(),
            latency: HistRecorder::coarse().to_hist(),
            committed_units: Some(130),
            steal_ns: None,
        }],
        usage: BTreeMap::from([
            ("seckill".to_owned(), used(900_000)),
            ("redis".to_owned(), used(100_000)),
            ("driver".to_owned(), used(500_000)),
        ]),
        noise: Noise::default(),
        limit: Limit::unknown(),
    }
}

fn stats_counts() -> Outcomes {
    Outcomes {
        accepted: 90,
        refused: 10,
        ..Outcomes::default()
    }
}

fn run() -> Run {
    let mut leg = Leg::begin("1", "smoke", "lua-single-key", 1, 1);
    leg.phases = vec![phase()];
    leg.audit = Some(AuditReport::of(Vec::new()));
    leg.complete = true;
    Run {
        schema: SCHEMA,
        min_reader: READER,
        id: "20260102-030405-smoke-abcdef".to_owned(),
        name: None,
        series: None,
        kind: RunKind::Bench,
        command: vec!["bench".to_owned(), "smoke".to_owned()],
        seed: 1,
        started_unix_us: 0,
        finished_unix_us: 1,
        complete: true,
        error: None,
        lab: Build::default(),
        machine: Machine::default(),
        stack: StackRecord {
            kind: "servers".to_owned(),
            why: "its own".to_owned(),
            versions: BTreeMap::new(),
            settings: BTreeMap::new(),
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
        scenarios: vec![scenario()],
        subjects: vec![Subject {
            id: "lua-single-key".to_owned(),
            engine: "lua-single-key".to_owned(),
            params: BTreeMap::new(),
            guarantees: BTreeMap::new(),
            build: Build::default(),
            variant: None,
            overrides: BTreeMap::new(),
            ack: None,
            driver: None,
            side: None,
            head: None,
            standing: Standing::Ranked,
            skipped_why: None,
        }],
        legs: vec![leg],
        searches: Vec::new(),
        gate: None,
        expectations: Vec::new(),
        metrics: METRICS.iter().map(|metric| metric.def()).collect(),
    }
}

fn scenario() -> Scenario {
    Scenario {
        name: "smoke".to_owned(),
        sha256: "00".to_owned(),
        title: "100 buyers".to_owned(),
        question: "Does it work?".to_owned(),
        sales: vec![SaleRecord {
            product_id: 1,
            total: 1_000,
            price_cents: 100,
        }],
        time_to_pay_ns: None,
        phases: vec![PhasePlan {
            name: "measure".to_owned(),
            purpose: Purpose::Measure,
            products: vec![1],
            driver: DriverRecord {
                kind: DriverKind::GrpcFast,
                version: "0.1.0".to_owned(),
                threads: 1,
                connections: 2,
                timeout_ns: 2_000_000_000,
                tls: false,
                pacing: None,
            },
            arrival: Arrival {
                shape: ArrivalShape::Closed,
                workers: Some(2),
                think_ns: None,
                rates: Vec::new(),
                backlog_max: None,
                in_flight_max: None,
            },
            end: PhaseEnd {
                count: Some(100),
                time_ns: None,
            },
            data: DataPlan {
                users: 100,
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

/// With `UPDATE_SCHEMA=1` it writes the schema anew.
#[test]
fn the_schema_in_the_tree_is_that_of_the_types() {
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(schema_path(), json_schema()).expect("written");
    }
    let in_tree = std::fs::read_to_string(schema_path()).expect("the schema is in the tree");
    assert_eq!(
        in_tree,
        json_schema(),
        "run this test with UPDATE_SCHEMA=1, and look at the difference"
    );
}

#[test]
fn a_result_is_valid_by_the_schema_and_a_wrong_one_is_not() {
    let text = std::fs::read_to_string(schema_path()).expect("the schema is in the tree");
    let schema = serde_json::from_str(&text).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut result: serde_json::Value = serde_json::from_str(&run().to_json()).expect("JSON");
    let faults: Vec<String> = validator
        .iter_errors(&result)
        .map(|fault| format!("{}: {fault}", fault.instance_path))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    result["legs"][0]["phases"][0]["length_ns"] = "long".into();
    assert!(!validator.is_valid(&result));
}

#[test]
fn a_result_survives_writing_and_reading_and_unknown_fields_and_names_do_no_harm() {
    let run = run();
    let mut value: serde_json::Value = serde_json::from_str(&run.to_json()).expect("JSON");
    assert_eq!(Run::from_json(&value.to_string()).expect("read"), run);
    value["of_a_later_version"] = 1.into();
    value["kind"] = "dream".into();
    let read = Run::from_json(&value.to_string()).expect("read");
    assert_eq!(read.kind, RunKind::Other("dream".to_owned()));
}

#[test]
fn other_schemas_and_results_for_later_readers_are_refused_in_one_sentence() {
    let refusal = |text: &str| Run::from_json(text).expect_err("refused").to_string();
    assert!(
        refusal(r#"{"schema":1}"#)
            .starts_with("this file has schema 1, and this version reads only schema 2")
    );
    assert_eq!(
        refusal(r#"{"schema":"2"}"#)
            .split_once(',')
            .map(|(head, _)| head),
        Some(r#"this file has schema "2""#)
    );
    assert!(refusal(r#"{"schema":2,"min_reader":9}"#).starts_with("this result needs reader 9"));
    for foreign in ["{}", "[]", "3", r#"{"scheme":2}"#] {
        assert_eq!(
            refusal(foreign),
            "not a result of this tool: it has no schema number"
        );
    }
    assert!(refusal(r#"{"schema":2}"#).starts_with("not a result of this tool: missing field"));
    assert!(refusal("engine,rate\n").starts_with("not a result of this tool: expected value"));
}

/// Wherever a file ends too early, that is what is said, and never that it is something else.
#[test]
fn a_result_that_was_cut_off_is_told_from_a_foreign_file() {
    let whole = run().to_json();
    let refusal = |text: &str| Run::from_json(text).expect_err("refused").to_string();
    assert_eq!(refusal(" \n"), "the file is empty");
    let end = whole.trim_end().len();
    let places = (1..end).step_by(97).chain([end - 1]);
    for cut in places.filter(|cut| whole.is_char_boundary(*cut)) {
        let line = whole[..cut].lines().count();
        let said = refusal(&whole[..cut]);
        assert!(
            said.starts_with("the file was cut off: its JSON ends in the middle, in line "),
            "cut at {cut}, line {line}: {said}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_in_one_sentence() {
    let folder = std::env::temp_dir().join(format!("reports-read-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of its own");
    let path = |name: &str| folder.join(name);
    let whole = run().to_json();
    std::fs::write(path("own.json"), &whole).expect("written");
    std::fs::write(path("cut.json"), &whole[..whole.len() / 2]).expect("written");
    std::fs::write(path("bytes.json"), [0xff, 0xfe, 0x00]).expect("written");
    assert_eq!(reports::read(path("own.json")).expect("read"), run());
    for (name, said) in [
        ("absent.json", " cannot be read: No such file"),
        ("cut.json", ": the file was cut off: "),
        ("bytes.json", ": not a result of this tool: it is not text"),
        (".", " cannot be read: Is a directory"),
    ] {
        let refused = reports::read(path(name)).expect_err("refused").to_string();
        let expected = format!("{}{said}", path(name).display());
        assert!(
            refused.starts_with(&expected) && !refused.contains('\n'),
            "{refused}"
        );
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn metrics_are_computed_from_the_measured_phase() {
    let run = run();
    let value = |id: &str| metric(id).expect("known").of(&run.legs[0]);
    for (id, expected) in [
        ("throughput_per_s", 2_000.0),
        ("accepted_per_s", 1_800.0),
        ("mean_ms", 1.1),
        ("cpu_us_per_request", 10.0),
        ("driver_cpu_us_per_request", 5.0),
        ("errors", 0.0),
        ("peak_rss_mib", 2.0),
    ] {
        let found = value(id).unwrap_or(f64::NAN);
        assert!((found - expected).abs() < 1e-9, "{id}: {found}");
    }
    for (id, expected) in [("p50_ms", 1.0), ("p99_ms", 2.0), ("p99_sent_ms", 0.9)] {
        let found = value(id).unwrap_or(f64::NAN);
        assert!((found / expected - 1.0).abs() < 2e-3, "{id}: {found}");
    }
    assert_eq!(value("durable_p99_ms"), None);
    for id in ["gave_up", "p99_buy_again_ms", "p99_cancel_ms", "p99_pay_ms"] {
        assert_eq!(value(id), None, "{id}: nothing followed");
    }
}

#[test]
fn little_s_law_is_held_against_a_closed_phase() {
    let mut little = phase().little.expect("closed");
    assert!(!little.holds());
    little.measured = 2.03;
    assert!(little.holds());
    (little.measured, little.applies) = (9.0, false);
    assert!(little.holds());
}

/// A histogram that was cut off would leave its figures out without a word.
#[test]
fn a_broken_histogram_is_refused_with_its_leg_and_phase() {
    let whole = run();
    Run::from_json(&whole.to_json()).expect("whole");
    let of = |change: fn(&mut Phase) -> &mut Hist| {
        let mut run = whole.clone();
        let hist = change(&mut run.legs[0].phases[0]);
        hist.v2_deflate_base64.truncate(8);
        let error = Run::from_json(&run.to_json()).expect_err("refused");
        error.to_string()
    };
    let leg = &whole.legs[0].id;
    let expected = format!(
        "the file is broken: in leg {leg}, phase measure, a latency histogram cannot be read"
    );
    let changes: [fn(&mut Phase) -> &mut Hist; 2] = [
        |phase| {
            let stats = phase.operations.values_mut().next().expect("one");
            &mut stats.latency[2].hist
        },
        |phase| &mut phase.timeline[0].latency,
    ];
    for change in changes {
        let said = of(change);
        assert!(said.starts_with(&expected), "{said}");
    }
}
