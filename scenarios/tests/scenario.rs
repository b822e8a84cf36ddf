//! Scenario files: the catalog contains what it should, and every mistake is refused with its line
//! and what is allowed.

use reports::model::AckMode;
use scenarios::catalog;
use scenarios::scenario::Scenario;

const SMOKE: &str = include_str!("../catalog/smoke.toml");

fn refused(from: &str, to: &str) -> String {
    assert!(SMOKE.contains(from), "smoke.toml has no {from}");
    let text = SMOKE.replacen(from, to, 1);
    Scenario::parse("my", "my.toml", &text)
        .expect_err(to)
        .to_string()
}

#[test]
fn every_scenario_of_the_catalog_is_valid() {
    let all = catalog::all().expect("valid");
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    assert_eq!(
        names,
        ["smoke", "laptop", "4c4g", "engines", "soldout", "backlog"]
    );
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
    for (name, parameters, figures) in [
        (
            "laptop",
            "-c 500 -n 500000 --connections=200 --timeout=2s",
            [(28.99, 17_248.0, 97.09), (161.7, 3_093.0, 344.51)],
        ),
        (
            "4c4g",
            "-c 150 -n 50000 --connections=120 --timeout=2s",
            [(11.15, 4_484.0, 85.83), (12.9, 3_870.0, 86.92)],
        ),
    ] {
        let scenario = catalog::load(name).expect("known");
        assert_eq!(scenario.record().load.parameters(), parameters);
        assert_eq!(
            (scenario.load.users, scenario.load.max_quantity),
            (500_000, 2)
        );
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
        let demand = scenario.load.requests as i64 * i64::from(scenario.load.max_quantity);
        assert!(scenario.sales[0].total >= demand);
    }
}

#[test]
fn mistakes_are_refused_with_their_line_and_what_is_allowed() {
    for (from, to, said) in [
        (
            "rounds = 1",
            "round = 1",
            "my.toml:6: unknown field `round`, expected one of `title`",
        ),
        (
            "driver = \"grpc\"",
            "driver = \"htpp\"",
            "my.toml:4: unknown driver \"htpp\"; known: grpc",
        ),
        (
            "ack = \"confirmed\"",
            "ack = \"later\"",
            "my.toml:5: unknown ack \"later\"; known: confirmed, published",
        ),
        (
            "requests = 2_000",
            "requests = 0",
            "my.toml:16: requests = 0 is out of range; allowed: 1 to 100000000",
        ),
        (
            "requests = 2_000",
            "requests = -1",
            "my.toml:16: requests = -1 is out of range; allowed: no negative number",
        ),
        (
            "requests = 2_000",
            "requests = \"many\"",
            "my.toml:16: invalid type",
        ),
        (
            "connections = 20",
            "connections = 51",
            "my.toml:15: 51 connections for 50 workers",
        ),
        (
            "concurrency = 50",
            "concurrency = 0",
            "my.toml:14: concurrency = 0 is out of range; allowed: 1 to",
        ),
        (
            "max_quantity = 2",
            "max_quantity = 0",
            "my.toml:19: max_quantity = 0 is out of range; allowed: 1 to",
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
            "audit = \"passed\"",
            "audit = \"failed\"",
            "my.toml:27: audit = \"failed\" cannot be expected; allowed: \"passed\"",
        ),
        (
            "errors = 0",
            "p99_ms_max = 0.0",
            "my.toml:26: 0 is out of range; allowed: a number above 0",
        ),
        (
            "errors = 0",
            "erors = 0",
            "my.toml:26: unknown field `erors`, expected one of `errors`",
        ),
        (
            "[[sales]]\nproduct = 1",
            "[[sales]]\nprice_cents = 1\ntotal = 1\nproduct = 2\n[[sales]]\nproduct = 1",
            "2 sales; the driver grpc needs exactly one [[sales]]",
        ),
        ("title = ", "title == ", "my.toml:1: "),
        ("question = ", "# ", "my.toml:1: missing field `question`"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(said), "{to}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = SMOKE
        .replace("ack = \"confirmed\"\n", "")
        .replace("rounds = 1\n", "")
        .replace("[warmup]\nrequests = 200\n", "");
    let scenario = Scenario::parse("my", "my.toml", &text).expect("valid");
    assert_eq!((scenario.ack, scenario.rounds), (AckMode::Confirmed, 1));
    assert_eq!(
        (scenario.warmup_requests, scenario.warmup_sale()),
        (0, None)
    );
}

#[test]
fn the_warm_up_has_a_sale_of_its_own_that_cannot_sell_out() {
    let scenario = catalog::load("smoke").expect("known");
    let sale = scenario.warmup_sale().expect("smoke warms up");
    assert_eq!(sale.product_id, 2);
    // As large as the scenario's own, unless its requests could ask for more.
    assert_eq!(sale.total, 10_000);
    let soldout = catalog::load("soldout").expect("known");
    assert_eq!(soldout.sales[0].total, 1_000);
    assert_eq!(soldout.warmup_sale().expect("it warms up").total, 5_000 * 2);
}
