//! The ranking of a run's subjects: who gets a place, who does not and why, and what the rounds must
//! be for that.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reports::result::{
    AuditCheck, AuditReport, Build, Flag, Leg, Limit, Machine, Noise, OpStats, Operation, Outcomes,
    Phase, Purpose, Run, Standing, Subject, metric,
};
use reports::stats::{Method, NoPlaces, Ranking, Separation, ceiling, ranking, ratios};
use std::collections::BTreeMap;

const SCENARIO: &str = "engines";

fn phase(per_s: f64) -> Phase {
    // A million seconds, so that the rate of whole requests is exact enough.
    let length_s = 1_000_000u64;
    Phase {
        name: "measure".to_owned(),
        purpose: Purpose::Measure,
        start_unix_us: 0,
        length_ns: length_s * 1_000_000_000,
        offered_per_s: None,
        due: 0,
        sent: 0,
        waiting_at_end: 0,
        finished: (per_s * length_s as f64) as u64,
        dropped: BTreeMap::new(),
        operations: BTreeMap::from([(
            Operation::Buy,
            OpStats {
                counts: Outcomes {
                    accepted: (per_s * length_s as f64) as u64,
                    ..Outcomes::default()
                },
                ..OpStats::default()
            },
        )]),
        statuses: BTreeMap::new(),
        send_lag: None,
        buy_again: None,
        tail_ns: 0,
        in_flight: None,
        little: None,
        timeline: Vec::new(),
        usage: BTreeMap::new(),
        noise: Noise::default(),
        limit: Limit::unknown(),
    }
}

/// A run of subjects with their requests per second in each round, all audited and passed.
fn run(subjects: &[(&str, &[f64])]) -> Run {
    let build = serde_json::to_value(Build::default()).expect("JSON");
    let machine = serde_json::to_value(Machine::default()).expect("JSON");
    let json = serde_json::json!({
        "schema": 2, "min_reader": 1, "id": "1", "kind": "bench", "command": [], "seed": 1,
        "started_unix_us": 0, "finished_unix_us": 0, "complete": true, "lab": build,
        "machine": machine,
        "stack": { "kind": "servers", "why": "", "versions": {}, "settings": {}, "overrides": {},
            "sees": "all" },
        "durability": { "ack": "confirmed", "queue": "classic", "storage_survives": true },
        "scenarios": [{ "name": SCENARIO, "sha256": "", "title": "", "question": "", "sales": [],
            "phases": [], "rounds": 5, "reference": [] }],
        "subjects": [], "legs": [], "metrics": [],
    });
    let mut run = Run::from_json(&json.to_string()).expect("a result");
    for (id, rates) in subjects {
        run.subjects.push(Subject {
            id: (*id).to_owned(),
            engine: (*id).to_owned(),
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
        });
        for (round, rate) in (1..).zip(*rates) {
            let position = run.legs.len() as u32 + 1;
            let mut leg = Leg::begin(position.to_string(), SCENARIO, *id, round, position);
            leg.complete = true;
            leg.audit = Some(AuditReport::of(Vec::new()));
            leg.phases = vec![phase(*rate)];
            run.legs.push(leg);
        }
    }
    run
}

fn leg_mut<'a>(run: &'a mut Run, subject: &str, round: u32) -> &'a mut Leg {
    let legs = &mut run.legs;
    legs.iter_mut()
        .find(|leg| leg.subject == subject && leg.round == round)
        .expect("it is there")
}

fn by_throughput(run: &Run) -> Ranking {
    ranking(run, SCENARIO, metric("throughput_per_s").expect("known"))
}

fn order(ranking: &Ranking) -> Vec<(&str, Option<u32>, &str)> {
    ranking
        .entries
        .iter()
        .map(|entry| {
            let letters = entry.letters.as_deref().unwrap_or("-");
            (entry.subject.as_str(), entry.place, letters)
        })
        .collect()
}

fn failed_audit() -> AuditReport {
    AuditReport::of(vec![AuditCheck {
        name: "every accepted order has exactly one row".to_owned(),
        invariant: "b".to_owned(),
        passed: false,
        expected: "1".to_owned(),
        actual: "0".to_owned(),
    }])
}

const FAST: &[f64] = &[1_000.0, 1_040.0, 700.0, 1_030.0, 990.0];
const AS_FAST: &[f64] = &[1_020.0, 1_000.0, 720.0, 1_010.0, 1_000.0];
const SLOW: &[f64] = &[500.0, 510.0, 352.0, 520.0, 495.0];

#[test]
fn five_rounds_give_places_and_equals_share_one() {
    let run = run(&[("slow", SLOW), ("fast", FAST), ("as-fast", AS_FAST)]);
    let ranking = by_throughput(&run);
    assert!(matches!(ranking.method, Method::Tukey { df: 8.0, .. }));
    assert_eq!(
        order(&ranking),
        [
            ("fast", Some(1), "a"),
            ("as-fast", Some(1), "a"),
            ("slow", Some(3), "b")
        ]
    );
    assert_eq!(ranking.rounds_used, [1, 2, 3, 4, 5]);
    let pair = ranking.pair("slow", "fast").expect("compared");
    assert_eq!(
        (pair.better.as_str(), pair.separation),
        ("fast", Separation::Separated)
    );
    let (lower, upper) = pair.interval.expect("after Tukey's test");
    assert!(
        lower > 1.9 && lower < pair.ratio && pair.ratio < upper && upper < 2.1,
        "{pair:?}"
    );
    let equals = ranking.pair("fast", "as-fast").expect("compared");
    assert_eq!(equals.separation, Separation::NotSeparated);
    let fast = ranking.entry("fast").expect("there");
    assert_eq!(fast.summary.median, Some(1_000.0));
    assert!(ranking.sentence().starts_with("Ranked over 5 rounds: "));
    // Two standard deviations of about 1.5 % each.
    let detectable = ranking.detectable_ratio().expect("after Tukey's test");
    assert!(detectable > 1.02 && detectable < 1.08, "{detectable}");
}

#[test]
fn less_is_better_where_the_metric_says_so() {
    let mut run = run(&[("slow", SLOW), ("fast", FAST)]);
    for leg in &mut run.legs {
        leg.drain_ns = Some((1e12 / leg.phases[0].finished_per_s()) as u64);
    }
    let ranking = ranking(&run, SCENARIO, metric("drain_s").expect("known"));
    assert_eq!(
        order(&ranking),
        [("fast", Some(1), "a"), ("slow", Some(2), "b")]
    );
    assert!(ranking.pairs[0].ratio < 1.0);
}

#[test]
fn three_rounds_show_extremes_and_separate_nobody() {
    let run = run(&[
        ("slow", &SLOW[..3]),
        ("fast", &FAST[..3]),
        ("as-fast", &AS_FAST[..3]),
    ]);
    let ranking = by_throughput(&run);
    assert_eq!(ranking.method, Method::Ranges);
    assert_eq!(ranking.detectable_ratio(), None);
    assert!(
        order(&ranking)
            .iter()
            .all(|(_, place, letters)| place.is_none() && *letters == "-")
    );
    let separation = |a: &str, b: &str| ranking.pair(a, b).expect("compared").separation;
    assert_eq!(separation("fast", "as-fast"), Separation::NotSeparated);
    // Not 500 and 510 against 1,000 and more, but all of them: 352 to 510, and 700 to 1,040.
    assert_eq!(separation("fast", "slow"), Separation::NotRanked);
    let slow = &ranking.entry("slow").expect("there").summary;
    assert_eq!((slow.min, slow.max), (352.0, 510.0));
    let said = "Not ranked over 3 rounds: places need 5; shown are the extremes.";
    assert_eq!(ranking.sentence(), said);
}

#[test]
fn two_rounds_show_values_and_no_median() {
    let run = run(&[("slow", &SLOW[..2]), ("fast", &FAST[..2])]);
    let ranking = by_throughput(&run);
    assert_eq!(ranking.method, Method::Values(NoPlaces::TooFewRounds));
    assert!(ranking.pairs.is_empty());
    assert_eq!(ranking.entries[0].summary.median, None);
    let said = "Not ranked over 2 rounds: the order may be noise; places need 5.";
    assert_eq!(ranking.sentence(), said);
}

#[test]
fn a_leg_that_says_nothing_is_left_out_with_its_reason() {
    let with_two_more = |rates: &[f64]| [rates, &[rates[0], rates[1]]].concat();
    let (fast, slow) = (with_two_more(FAST), with_two_more(SLOW));
    let mut run = run(&[("fast", &fast), ("slow", &slow)]);
    leg_mut(&mut run, "fast", 2).flags.insert(Flag::StockEnded);
    let broken = leg_mut(&mut run, "slow", 4);
    (broken.complete, broken.error) = (false, Some("redis died\nits log".to_owned()));
    // Said, but no reason to leave a leg out.
    leg_mut(&mut run, "slow", 1).flags.insert(Flag::ShortWindow);
    let ranking = by_throughput(&run);
    assert_eq!(ranking.rounds_used, [1, 3, 5, 6, 7]);
    assert_eq!(ranking.entries[0].summary.rounds(), 5);
    let left_out: Vec<(&str, u32, &str)> = ranking
        .left_out
        .iter()
        .map(|leg| (leg.subject.as_str(), leg.round, leg.why.as_str()))
        .collect();
    let expected = [
        ("fast", 2, "its stock ended"),
        ("slow", 4, "it failed: redis died"),
    ];
    assert_eq!(left_out, expected);
    let said = ranking.sentence();
    assert!(
        said.starts_with("Ranked over 5 of 7 rounds, those that count for all: "),
        "{said}"
    );
    run.scenarios[0].may_sell_out = true;
    assert_eq!(by_throughput(&run).rounds_used, [1, 2, 3, 5, 6, 7]);
}

/// Five rounds and one leg lost: that subject has no place, and the others keep theirs.
#[test]
fn a_subject_without_enough_rounds_does_not_cost_the_others_their_places() {
    let mut run = run(&[("slow", SLOW), ("fast", FAST), ("as-fast", AS_FAST)]);
    leg_mut(&mut run, "as-fast", 3).audit = None;
    let ranking = by_throughput(&run);
    assert_eq!(
        order(&ranking),
        [("fast", Some(1), "a"), ("slow", Some(2), "b")]
    );
    let [out] = &ranking.not_ranked[..] else {
        panic!("{:?}", ranking.not_ranked);
    };
    assert_eq!(out.subject, "as-fast");
    let why = "4 of its rounds count, 4 together with the others; places need 5";
    assert_eq!(out.why, why);
    assert_eq!(
        out.summary.as_ref().map(|summary| summary.rounds()),
        Some(4)
    );
}

#[test]
fn a_subject_whose_audit_failed_once_has_no_place() {
    let rates = [FAST, &[1_000.0]].concat();
    let mut run = run(&[("slow", &rates), ("fast", &rates), ("as-fast", &rates)]);
    leg_mut(&mut run, "fast", 6).audit = Some(failed_audit());
    let ranking = by_throughput(&run);
    assert_eq!(ranking.entries.len(), 2);
    assert_eq!(ranking.not_ranked[0].why, "its audit failed in round 6");
}

#[test]
fn ceilings_are_shown_and_never_ranked() {
    let ceilings = [2_000.0, 2_100.0, 1_400.0, 2_000.0, 2_000.0];
    let mut run = run(&[
        ("null", &ceilings),
        ("fast", FAST),
        ("slow", SLOW),
        ("racy", FAST),
    ]);
    run.subjects[0].standing = Standing::Ceiling;
    for round in 1..=5 {
        leg_mut(&mut run, "null", round).audit = Some(AuditReport::not_applicable());
        leg_mut(&mut run, "racy", round).audit = Some(failed_audit());
    }
    run.subjects[3].standing = Standing::Unsafe;
    let ranking = by_throughput(&run);
    assert_eq!(
        order(&ranking),
        [("fast", Some(1), "a"), ("slow", Some(2), "b")]
    );
    assert_eq!(ranking.ceilings[0].summary.median, Some(2_000.0));
    assert_eq!(ranking.not_ranked[0].why, "breaks the contract on purpose");
    // Without an audit, only a ceiling counts.
    leg_mut(&mut run, "fast", 1).audit = Some(AuditReport::not_applicable());
    assert_eq!(by_throughput(&run).left_out[0].why, "it was not audited");
}

#[test]
fn a_ratio_is_taken_within_a_round() {
    let ceilings = [2_000.0, 2_100.0, 1_400.0];
    let mut run = run(&[("null", &ceilings), ("fast", &FAST[..3])]);
    run.subjects[0].standing = Standing::Ceiling;
    let throughput = metric("throughput_per_s").expect("known");
    assert_eq!(
        ceiling(&run, SCENARIO).map(|subject| subject.id.as_str()),
        Some("null")
    );
    let ratio = ratios(&run, SCENARIO, throughput, "fast", "null").expect("in all rounds");
    // The third round was slow for both.
    assert_eq!(ratio.summary.by_round[&3], 0.5);
    assert_eq!(ratio.summary.median, Some(0.5));
    assert_eq!(ratios(&run, SCENARIO, throughput, "fast", "redsi"), None);
    leg_mut(&mut run, "null", 3).error = Some("died".to_owned());
    let ratio = ratios(&run, SCENARIO, throughput, "fast", "null").expect("in two rounds");
    assert_eq!((ratio.summary.rounds(), ratio.summary.median), (2, None));
}

#[test]
fn nothing_to_compare_is_said() {
    let values = |ranking: &Ranking| match ranking.method {
        Method::Values(why) => why,
        other => panic!("{other:?}"),
    };
    let alone = run(&[("fast", FAST)]);
    assert_eq!(values(&by_throughput(&alone)), NoPlaces::Alone);
    let run = run(&[("fast", FAST), ("slow", SLOW)]);
    let by = |id: &str| ranking(&run, SCENARIO, metric(id).expect("known"));
    assert_eq!(values(&by("requests")), NoPlaces::NoGoodDirection);
    assert_eq!(values(&by("errors")), NoPlaces::NotPositive);
    assert_eq!(
        by("errors").sentence(),
        "Not ranked: errors is 0 somewhere, and 0 is in no ratio to others."
    );
    let not_measured = by("drain_s");
    assert_eq!(not_measured.not_ranked.len(), 2);
    assert!(
        not_measured.not_ranked[0]
            .why
            .contains("drain_s was not measured")
    );
    assert!(
        ranking(&run, "soak", metric("p99_ms").expect("known"))
            .entries
            .is_empty()
    );
}

/// The same figures in another unit, and subjects in another order: the same ranking.
#[test]
fn units_and_the_order_of_subjects_change_nothing() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..20 {
        let mut rates = || -> Vec<f64> {
            let rate = |_| random.random_range(800.0..1_200.0);
            (0..5).map(rate).collect()
        };
        let (a, b, c) = (rates(), rates(), rates());
        let one = by_throughput(&run(&[("a", &a), ("b", &b), ("c", &c)]));
        let scaled = |rates: &[f64]| -> Vec<f64> { rates.iter().map(|rate| rate * 1e3).collect() };
        let (a, b, c) = (scaled(&a), scaled(&b), scaled(&c));
        let other = by_throughput(&run(&[("c", &c), ("a", &a), ("b", &b)]));
        assert_eq!(order(&one), order(&other));
    }
}
