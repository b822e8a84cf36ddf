//! Runs with plausible figures, for what is drawn from them.

use super::findings::*;
use super::parts::*;
use reports::result::*;
use std::collections::{BTreeMap, BTreeSet};

/// One engine and two references.
pub fn laptop() -> Run {
    let mut scenario = scenario(
        "laptop",
        "500,000 buyers, one product, 500 in flight",
        "Does the system sell to half a million buyers at the published rate, with every accepted order in the \
         database?",
    );
    scenario.reference = vec![
        reference("Go project, published", 17_248.0, 97.09, "r5-7640HS laptop"),
        reference("Go project, re-measured", 3_093.0, 344.51, "2-core machine"),
    ];
    let legs = vec![leg("laptop", "lua-single-key", 1, LUA)];
    run(
        scenario,
        vec![subject("lua-single-key", Standing::Ranked)],
        legs,
    )
}

/// Four engines and `null`, five rounds; two of them are not separated.
pub fn engines() -> Run {
    let mut scenario = scenario(
        "engines",
        "every engine at the load of laptop, interleaved",
        "Which way of taking stock down is fastest here, at the same durability and with the same proof?",
    );
    scenario.rounds = 5;
    let mut subjects = vec![subject("null", Standing::Ceiling)];
    let mut legs = Vec::new();
    for round in 1..=5 {
        // The round is a slow or a fast one for all; some of it is each engine's own.
        let drift = 1.0 + 0.01 * f64::from(round);
        let own = 0.02 * f64::from(round % 2);
        for (id, rate, p99_ms, cpu_us) in [
            ("null", 117_174.0, 7.54, 8.0),
            ("lua-single-key", 54_019.0, 16.7, 26.8),
            ("sharded-slots", 52_893.0, 17.7, 28.2),
            ("preallocated", 63_616.0, 14.2, 22.7),
            ("database-row", 17_284.0, 49.0, 76.5),
        ] {
            let figures = Figures {
                rate: rate
                    * (drift
                        + if id == "sharded-slots" {
                            2.0 * own
                        } else {
                            -own
                        }),
                p99_ms,
                cpu_us,
                accepted: 200_000,
                refused: 0,
            };
            let mut leg = leg("engines", id, round, figures);
            leg.phases[0].limit = match id {
                "null" => thread_limit("seckill", "serving-0"),
                "database-row" => limit(LimitBy::Nothing, 0.6),
                _ => limit(LimitBy::AllCores, 0.976),
            };
            legs.push(leg);
        }
    }
    for id in [
        "lua-single-key",
        "sharded-slots",
        "preallocated",
        "database-row",
    ] {
        subjects.push(subject(id, Standing::Ranked));
    }
    run(scenario, subjects, legs)
}

/// Known ways, one of which is wrong: its audit must fail.
pub fn textbook() -> Run {
    let scenario = scenario(
        "textbook",
        "what everyone has tried, and what the audit says",
        "Which of the ways that everyone has tried keeps its promises, and how fast is it?",
    );
    let figures = |rate: f64, p99_ms: f64, cpu_us: f64| Figures {
        rate,
        p99_ms,
        cpu_us,
        accepted: 20_000,
        refused: 0,
    };
    let mut wrong = leg(
        "textbook",
        "unsafe-counter",
        1,
        figures(21_400.0, 38.0, 61.0),
    );
    wrong.audit = Some(AuditReport::of(vec![
        check(
            "sold units are at most the total",
            "a",
            Some(("at most 20,000 units", "23,418 units")),
        ),
        check("every accepted order has exactly one row", "b", None),
    ]));
    let mut legs = vec![
        leg(
            "textbook",
            "optimistic-row",
            1,
            figures(4_210.0, 212.0, 190.0),
        ),
        wrong,
        leg("textbook", "database-row", 1, figures(17_284.0, 49.0, 76.5)),
    ];
    for leg in &mut legs {
        leg.flags = BTreeSet::from([Flag::ShortWindow]);
    }
    let subjects = vec![
        subject("optimistic-row", Standing::Ranked),
        subject("unsafe-counter", Standing::Unsafe),
        subject("database-row", Standing::Ranked),
    ];
    run(scenario, subjects, legs)
}

/// An order was lost in the second of three rounds.
pub fn failed_audit() -> Run {
    let mut run = laptop();
    run.scenarios[0].rounds = 3;
    for round in 2..=3 {
        run.legs.push(leg("laptop", "lua-single-key", round, LUA));
    }
    run.legs[1].audit = Some(AuditReport::of(vec![
        check(
            "every accepted order has exactly one row",
            "b",
            Some((
                "500,000 rows",
                "499,999 rows; order 7181542400000071 is missing",
            )),
        ),
        check(
            "total = remaining + open + sold",
            "d",
            Some(("1,000,000", "999,999")),
        ),
    ]));
    run.machine.scratch = Scratch {
        file_system: "tmpfs".to_owned(),
        is_tmpfs: true,
    };
    run.durability.storage_survives = false;
    run
}

/// Ctrl-C in the third of five legs.
pub fn interrupted() -> Run {
    let mut run = engines();
    run.scenarios[0].rounds = 1;
    run.legs.truncate(3);
    run.complete = false;
    let last = &mut run.legs[2];
    last.complete = false;
    last.error = Some("interrupted".to_owned());
    last.audit = None;
    last.drain_ns = None;
    last.durable = None;
    last.committed_at_last_reply = None;
    run
}

/// A server died before the first request.
pub fn nothing_measured() -> Run {
    let mut run = laptop();
    run.complete = false;
    let mut leg = Leg::begin("lua-single-key-1", "laptop", "lua-single-key", 1, 1);
    leg.error = Some(
        "redis stopped with exit code 1:\n\u{1b}[31mCan't open the append-only file\u{1b}[0m"
            .to_owned(),
    );
    run.legs = vec![leg];
    run
}

/// Two engines at one offered rate; one of them stalls for a second.
pub fn open_loop() -> Run {
    let mut scenario = scenario(
        "steady",
        "open loop at 60 % of the slowest engine's capacity",
        "How long do buyers wait for each engine when they arrive at a rate of their own?",
    );
    let arrival = &mut scenario.phases[0].arrival;
    arrival.shape = ArrivalShape::Poisson;
    arrival.workers = None;
    arrival.rates = vec![Rate {
        per_s: Some(10_000.0),
        ..Rate::default()
    }];
    arrival.backlog_max = Some(10_000);
    let figures = |p99_ms: f64| Figures {
        rate: 10_000.0,
        p99_ms,
        cpu_us: 30.0,
        accepted: 100_000,
        refused: 0,
    };
    let mut calm = leg("steady", "lua-single-key", 1, figures(3.2));
    let mut stalling = leg("steady", "database-row", 1, figures(812.0));
    for leg in [&mut calm, &mut stalling] {
        let phase = &mut leg.phases[0];
        phase.offered_per_s = Some(10_000.0);
        phase.little = None;
        phase.limit = limit(LimitBy::OfferedRate, 1.0);
        for stats in phase.operations.values_mut() {
            for latency in &mut stats.latency {
                if latency.clock == LatencyClock::Taken {
                    latency.clock = LatencyClock::Intended;
                }
            }
        }
    }
    let phase = &mut stalling.phases[0];
    phase.limit = limit(LimitBy::Nothing, 0.4);
    phase.send_lag = Some(hist(640.0, 100));
    phase.dropped = BTreeMap::from([("backlog full".to_owned(), 12_400)]);
    phase.due = 112_400;
    phase.offered_per_s = Some(11_240.0);
    for interval in &mut phase.timeline[6..8] {
        interval.counts = Outcomes::default();
        interval.latency = HistRecorder::new().to_hist();
    }
    for stats in phase.operations.values_mut() {
        for latency in &mut stats.latency {
            if latency.clock == LatencyClock::Sent {
                latency.hist = hist(21.0, 100_000);
            }
        }
    }
    stalling.flags = BTreeSet::from([Flag::RateMissed]);
    let subjects = ["lua-single-key", "database-row"].map(|id| subject(id, Standing::Ranked));
    let mut run = run(scenario, subjects.to_vec(), vec![calm, stalling]);
    run.expectations = vec![Expectation {
        metric: "p99_ms".to_owned(),
        leg: "database-row-1".to_owned(),
        relation: "<".to_owned(),
        bound: 100.0,
        actual: Some(812.0),
        met: false,
    }];
    run
}

/// 1,000 units, 500,000 buyers, without servers.
pub fn sold_out_storm() -> Run {
    let mut scenario = scenario(
        "sold-out-storm",
        "1,000 units, 500,000 buyers",
        "When nearly every buyer is refused, how close does the system come to a service that does nothing?",
    );
    scenario.may_sell_out = true;
    scenario.sales[0].total = 1_000;
    let figures = |rate: f64, p99_ms: f64, cpu_us: f64| Figures {
        rate,
        p99_ms,
        cpu_us,
        accepted: 1_000,
        refused: 499_000,
    };
    let legs = vec![
        leg(
            "sold-out-storm",
            "preallocated",
            1,
            figures(131_000.0, 9.1, 9.4),
        ),
        leg(
            "sold-out-storm",
            "database-row",
            1,
            figures(98_000.0, 12.4, 11.2),
        ),
    ];
    let mut skipped = subject("lua-single-key", Standing::Ranked);
    skipped.skipped_why = Some("needs redis".to_owned());
    let subjects = vec![
        subject("preallocated", Standing::Ranked),
        subject("database-row", Standing::Ranked),
        skipped,
    ];
    let mut run = run(scenario, subjects, legs);
    run.stack.kind = "embedded".to_owned();
    run.durability = Durability {
        ack: Ack::Confirmed,
        queue: QueueKind::Sqlite,
        redis_aof: None,
        db_flush: Some("full".to_owned()),
        storage_survives: true,
    };
    run
}

/// The highest rate that meets an objective, of two engines.
pub fn capacity() -> Run {
    let mut scenario = scenario(
        "capacity",
        "the highest rate at which P99 and errors meet the objective",
        "How many buyers per second does each engine serve before they notice?",
    );
    let objective = Objective {
        p99_ns_max: Some(20_000_000),
        failed_share_max: Some(0.001),
    };
    scenario.objective = Some(objective.clone());
    let mut legs = Vec::new();
    let mut searches = Vec::new();
    for (id, holds, fails) in [
        ("database-row", 9_770.0, 10_260.0),
        ("preallocated", 41_200.0, 43_300.0),
    ] {
        let probes: Vec<ProbeResult> = [(holds, true), (fails, false)]
            .into_iter()
            .map(|(rate_per_s, met)| ProbeResult {
                leg: format!("{id}-{rate_per_s}"),
                rate_per_s,
                met,
                why: if met { "" } else { "P99 31.2 ms" }.to_owned(),
            })
            .collect();
        for (step, probe) in (0..).zip(&probes) {
            let figures = Figures {
                rate: probe.rate_per_s,
                ..LUA
            };
            let mut leg = leg("capacity", id, 1, figures);
            leg.id = probe.leg.clone();
            leg.probe = Some(Probe { search: 0, step });
            leg.phases[0].offered_per_s = Some(probe.rate_per_s);
            legs.push(leg);
        }
        // As in a file, where what is not known is absent.
        let search = serde_json::json!({
            "scenario": "capacity",
            "subject": id,
            "objective": objective,
            "grid_ratio": 1.05,
            "probes": probes,
            "holds_per_s": holds,
            "fails_per_s": fails,
            "saturated_per_s": holds * 1.6,
        });
        searches.push(serde_json::from_value::<Search>(search).expect("a search"));
    }
    let subjects = ["database-row", "preallocated"].map(|id| subject(id, Standing::Ranked));
    let mut run = run(scenario, subjects.to_vec(), legs);
    run.kind = RunKind::Search;
    run.searches = searches;
    run
}

/// Two scenarios in one run.
pub fn matrix() -> Run {
    let mut run = engines();
    let storm = sold_out_storm();
    run.kind = RunKind::Matrix;
    run.scenarios[0].rounds = 1;
    run.legs.retain(|leg| leg.round == 1);
    run.scenarios.extend(storm.scenarios);
    run.legs.extend(storm.legs);
    run
}
