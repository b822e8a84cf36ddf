//! Scenario files: the catalog contains what it should, and every mistake is refused with its line
//! and what is allowed.

#[path = "scenario/after_yes.rs"]
mod after_yes;

use reports::result::Ack;
use scenarios::catalog;
use scenarios::scenario::{Arrival, Scenario};

const SMOKE: &str = include_str!("../catalog/smoke.toml");

fn refused(from: &str, to: &str) -> String {
    assert!(SMOKE.contains(from), "smoke.toml has no {from}");
    let text = SMOKE.replacen(from, to, 1);
    Scenario::parse("my", "my.toml", &text)
        .expect_err(to)
        .to_string()
}

#[test]
fn every_scenario_of_the_catalog_is_valid_and_asks_one_question() {
    let all = catalog::all().expect("valid");
    assert_eq!(all.len(), catalog::EMBEDDED.len());
    for scenario in all {
        let question = &scenario.question;
        assert!(
            question.ends_with('?') && question.matches('?').count() == 1,
            "{}: {question}",
            scenario.name
        );
    }
}

/// What is compared is warmed up for three seconds, and by something that cannot sell out.
#[test]
fn what_is_compared_is_warmed_up() {
    for scenario in catalog::all().expect("valid") {
        let before = &scenario.phases[..scenario.measured_phase()];
        let warm_ups = before
            .iter()
            .filter_map(|phase| phase.end.time())
            .map(|time| time.as_secs_f64());
        let is_compared = scenario.engines.len() > 1 && scenario.name != "textbook";
        let warm_up_s: f64 = warm_ups.sum();
        assert!(!is_compared || warm_up_s >= 3.0, "{}", scenario.name);
        for phase in 0..scenario.measured_phase() {
            let units = scenario.sales_of(phase)[0].total;
            let requests = scenario
                .expected_requests(phase, |_| None)
                .unwrap_or(1_000_000);
            assert!(units >= requests as i64 * 2, "{}: {units}", scenario.name);
        }
    }
}

#[test]
fn every_file_in_the_catalog_folder_is_embedded() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/catalog");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let mut embedded: Vec<String> = catalog::EMBEDDED
        .iter()
        .map(|(name, _)| format!("{name}.toml"))
        .collect();
    files.sort();
    embedded.sort();
    assert_eq!(files, embedded);
}

#[test]
fn the_profiles_have_the_published_load_and_both_reference_rows() {
    for (name, requests, parameters, figures) in [
        (
            "laptop",
            500_000,
            "-c 500 -n 500000 --connections=200 --timeout=2s",
            [(28.99, 17_248.0, 97.09), (161.7, 3_093.0, 344.51)],
        ),
        (
            "4c4g",
            50_000,
            "-c 150 -n 50000 --connections=120 --timeout=2s",
            [(11.15, 4_484.0, 85.83), (12.9, 3_870.0, 86.92)],
        ),
    ] {
        let scenario = catalog::load(name).expect("known");
        let measured = &scenario.phases[scenario.measured_phase()];
        let Arrival::Closed { concurrency } = measured.arrival else {
            panic!("{measured:?}")
        };
        let load = &scenario.load;
        let as_ghz = format!(
            "-c {concurrency} -n {} --connections={} --timeout={}s",
            measured.end.requests().expect("by count"),
            load.connections,
            load.timeout.as_secs()
        );
        assert_eq!(as_ghz, parameters);
        assert_eq!((load.users, load.max_quantity), (Some(500_000), 2));
        let rows: Vec<(f64, f64, f64)> = scenario
            .reference
            .iter()
            .map(|row| (row.total_s, row.requests_per_s, row.p99_ms))
            .collect();
        assert_eq!(rows, figures);
        assert!(
            scenario
                .reference
                .iter()
                .all(|row| row.parameters == parameters)
        );
        // There must be enough stock for every buyer.
        assert!(scenario.products.total >= Some(requests * 2));
    }
}

#[test]
fn mistakes_are_refused_with_their_line_and_what_is_allowed() {
    let phase = "\n[[phases]]\nname = \"more\"\npurpose = \"measure\"\n";
    for (from, to, said) in [
        (
            "rounds = 1",
            "round = 1",
            "my.toml:6: unknown field `round`, expected one of `title`",
        ),
        (
            "driver = \"grpc\"",
            "driver = \"htpp\"",
            "my.toml:4: unknown driver \"htpp\"; known: grpc, http, ghz",
        ),
        (
            "ack = \"confirmed\"",
            "ack = \"later\"",
            "my.toml:5: unknown ack \"later\"; known: confirmed, published",
        ),
        (
            "rounds = 1",
            "rounds = 2",
            "my.toml:6: rounds = 2 has no middle one; allowed: an odd number",
        ),
        (
            "requests = 2_000",
            "requests = 0",
            "my.toml:30: requests = 0 is out of range; allowed: 1 to 100000000",
        ),
        (
            "requests = 2_000",
            "requests = -1",
            "my.toml:30: requests = -1 is out of range; allowed: no negative number",
        ),
        (
            "requests = 2_000",
            "requests = \"many\"",
            "my.toml:30: invalid type",
        ),
        (
            "requests = 2_000",
            "time = \"2\"",
            "my.toml:30: \"2\": \"2\" is no length of time",
        ),
        (
            "requests = 2_000",
            "requests = 2_000\ntime = \"3s\"",
            "needs either requests or time",
        ),
        (
            "requests = 2_000",
            "requests = 2_000\narrival = \"rush\"",
            "my.toml:31: unknown arrival \"rush\"; known: closed, constant, step, line, spike, poisson",
        ),
        (
            "requests = 2_000",
            "time = \"3s\"\narrival = \"constant\"",
            "the phase \"measure\" with arrival \"constant\" needs rate",
        ),
        (
            "requests = 2_000",
            "time = \"3s\"\narrival = \"constant\"\nrate = \"60% of calibrate\"",
            "my.toml:32: a share of \"calibrate\" is unknown; allowed: a number, or base, as no earlier phase calibrates",
        ),
        (
            "requests = 2_000",
            "time = \"3s\"\narrival = \"constant\"\nrate = \"fast\"",
            "my.toml:32: \"fast\" is no rate; allowed: a number of requests per second, or a share",
        ),
        (
            "requests = 2_000",
            "arrival = \"spike\"\nbuyers = 0",
            "my.toml:31: buyers = 0 is out of range; allowed: 1 to",
        ),
        (
            "purpose = \"warm-up\"",
            "purpose = \"wramup\"",
            "my.toml:22: unknown purpose \"wramup\"; known: warm-up, calibrate, measure",
        ),
        (
            "purpose = \"measure\"",
            "purpose = \"calibrate\"",
            "the last phase must have the purpose \"measure\"",
        ),
        (
            "name = \"measure\"",
            "name = \"warm-up\"",
            "my.toml:27: \"warm-up\" is taken; allowed: a name of its own",
        ),
        (
            "connections = 20",
            "connections = 51",
            "my.toml:14: 51 connections for 50 workers",
        ),
        (
            "max_quantity = 2",
            "max_quantity = 0",
            "my.toml:17: max_quantity = 0 is out of range; allowed: 1 to",
        ),
        (
            "max_quantity = 2",
            "max_quantity = 2\npopularity = \"zipf\"",
            "popularity = \"zipf\" needs zipf_exponent",
        ),
        (
            "timeout = \"2s\"",
            "timeout = \"2h\"",
            "my.toml:15: timeout = 7200s is out of range; allowed: 10ms to 60s",
        ),
        (
            "total = 10_000",
            "total = 0",
            "my.toml:10: total = 0 is out of range; allowed: 1 to",
        ),
        (
            "engines = [\"lua-single-key\"]",
            "engines = []",
            "my.toml:3: no engine",
        ),
        (
            "engines = [\"lua-single-key\"]",
            "engines = [\"null\", \"null\"]",
            "engine \"null\" is listed twice",
        ),
        (
            "\"errors==0\"",
            "\"erors==0\"",
            "my.toml:7: the expectation \"erors==0\": unknown metric \"erors\"; known: throughput_per_s",
        ),
        (
            "\"errors==0\"",
            "\"errors\"",
            "has no relation; write a metric",
        ),
        (
            "[load]",
            "[objective]\nsearch = true\n[load]",
            "a search needs a phase that calibrates",
        ),
        ("title = ", "title == ", "my.toml:1: "),
        ("question = ", "# ", "my.toml:1: missing field `question`"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(said), "{to}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let text = format!("{SMOKE}{phase}");
    let error = Scenario::parse("my", "my.toml", &text).expect_err("refused");
    assert!(error.to_string().contains("needs concurrency"), "{error}");
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = SMOKE
        .replace("ack = \"confirmed\"\n", "")
        .replace("rounds = 1\n", "");
    let scenario = Scenario::parse("my", "my.toml", &text).expect("valid");
    assert_eq!((scenario.ack, scenario.rounds), (Ack::Confirmed, 1));
    assert_eq!(scenario.variants, []);
    assert_eq!(scenario.load.users, Some(500_000));
}

#[test]
fn each_phase_has_sales_of_its_own_and_only_the_measured_one_can_sell_out() {
    let smoke = catalog::load("smoke").expect("known");
    assert_eq!(smoke.products_of(1), [1]);
    assert_eq!(smoke.products_of(0), [2]);
    assert_eq!(smoke.sales_of(0)[0].total, 10_000);
    let storm = catalog::load("sold-out-storm").expect("known");
    assert_eq!(storm.sales_of(1)[0].total, 1_000);
    assert!(storm.sales_of(0)[0].total > 1_000_000);
    let many = catalog::load("many-products").expect("known");
    assert_eq!(many.sales().len(), 200);
    let numbers: std::collections::BTreeSet<i64> =
        many.sales().iter().map(|sale| sale.product_id).collect();
    assert_eq!(numbers.len(), 200);
}

#[test]
fn a_phase_by_time_has_twice_the_users_that_it_expects() {
    let steady = catalog::load("steady").expect("known");
    let measured = |name: &str| match name {
        "calibrate" => Some(10_000.0),
        _ => Some(1_000.0),
    };
    // Six seconds at 60 % of what was measured.
    assert_eq!(steady.users_of(2, measured), 72_000);
    assert_eq!(steady.users_of(3, measured), 7_200);
    assert!(steady.needs_slowest());
    assert_eq!(steady.calibration_phases(), 2);
}

#[test]
fn a_record_tells_apart_what_changes_the_measurement_and_nothing_else() {
    let scenario = catalog::load("laptop").expect("known");
    let hash = |scenario: &Scenario| scenario.record().sha256;
    let mut more_rounds = scenario.clone();
    more_rounds.rounds = 5;
    assert_eq!(hash(&scenario), hash(&more_rounds));
    let mut other_seed = scenario.clone();
    other_seed.load.seed = 2;
    assert_ne!(hash(&scenario), hash(&other_seed));
}

#[test]
fn a_scenario_file_of_random_text_is_read_or_refused_with_the_name_of_its_file() {
    let seeds: Vec<&str> = catalog::EMBEDDED.iter().map(|(_, text)| *text).collect();
    fuzzing::check_text(&seeds, |text| {
        match Scenario::parse("my", "my.toml", text) {
            Ok(scenario) => assert!(scenario.check().is_ok()),
            Err(error) => assert!(error.to_string().contains("my.toml"), "{error}"),
        }
    });
}
