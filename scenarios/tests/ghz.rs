//! ghz as a driver: what its report becomes, and the real tool against the real system. The report
//! in `ghz/` was written by ghz 0.120.0 in the test at the end: 200 requests by 10 workers for a
//! sale of 150 units, 20 of them for a product that is not on sale.

use std::path::{Path, PathBuf};
use std::time::Duration;

use loadgen::data::Element;
use reports::result::{LatencyClock, Operation, OutcomeName, Outcomes, Phase, Purpose};
use scenarios::ghz::{Ghz, GhzSpec, Report, split_answered};
use scenarios::stack::{RoleSpec, Stack, StackKind, StackOptions};
use scenarios::testing;
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const REQUESTS: u64 = 200;
const WORKERS: u32 = 10;
const UNITS: u64 = 150;
const PRODUCT: i64 = 1;
/// Not on sale.
const OTHER_PRODUCT: i64 = 999;
const OTHER_REQUESTS: u64 = 20;
/// Until every accepted order has its row.
const ROWS_LIMIT: Duration = Duration::from_secs(30);

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ghz/report.json")
}

fn assert_is_the_run(phase: &Phase) {
    assert_eq!(
        (phase.due, phase.sent, phase.finished),
        (REQUESTS, REQUESTS, REQUESTS)
    );
    assert_eq!(phase.statuses["OK"], REQUESTS - OTHER_REQUESTS);
    assert_eq!(phase.statuses.values().sum::<u64>(), REQUESTS);
    let expected = Outcomes {
        accepted: REQUESTS - OTHER_REQUESTS,
        error: OTHER_REQUESTS,
        ..Outcomes::default()
    };
    assert_eq!(phase.outcomes(), expected, "{:?}", phase.statuses);
    let latencies = |outcome: &str| {
        let outcome = OutcomeName::named(outcome);
        phase
            .latencies(&LatencyClock::Taken, Some(&outcome))
            .count()
    };
    assert_eq!(latencies("answered"), REQUESTS - OTHER_REQUESTS);
    assert_eq!(latencies("error"), OTHER_REQUESTS);
    assert_eq!(phase.headline_latencies().count(), REQUESTS);
    assert!(phase.headline_latencies().max_ns() <= phase.length_ns);
    let little = phase.little.as_ref().expect("a closed loop");
    assert_eq!(little.expected, f64::from(WORKERS));
    // No worker has more than one request at a time.
    assert!(
        little.measured > 0.0 && little.measured <= f64::from(WORKERS),
        "{little:?}"
    );
    assert_eq!(
        phase
            .timeline
            .iter()
            .map(|interval| interval.sent)
            .sum::<u64>(),
        REQUESTS
    );
    let ended = phase
        .timeline
        .iter()
        .map(|interval| interval.counts.total());
    assert_eq!(ended.sum::<u64>(), REQUESTS);
}

#[test]
fn a_recorded_report_becomes_a_phase() {
    let report = Report::read(&recorded()).expect("a report");
    assert!(report.is_complete());
    let mut phase = report.phase("measure", Purpose::Measure);
    assert_is_the_run(&phase);
    // What ghz itself printed.
    let text = std::fs::read_to_string(recorded()).expect("readable");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rps = json["rps"].as_f64().expect("a rate");
    assert!((phase.finished_per_s() / rps - 1.0).abs() < 1e-6, "{rps}");
    let average_ns = json["average"].as_f64().expect("a mean");
    assert!((phase.headline_latencies().mean_ns() / average_ns - 1.0).abs() < 1e-3);

    split_answered(&mut phase, UNITS, UNITS);
    let buy = &phase.operations[&Operation::Buy];
    assert_eq!((buy.counts.accepted, buy.counts.refused), (150, 30));
    assert_eq!(buy.units_accepted, UNITS);
    assert_eq!(phase.outcomes().total(), REQUESTS);
}

#[test]
fn what_ghz_cannot_tell_is_said() {
    let report = Report::read(&recorded()).expect("a report");
    let sentences = report.blind_spots();
    assert!(
        sentences[0].contains("no buyer's own outcome"),
        "{sentences:?}"
    );
    assert!(sentences.iter().all(|sentence| sentence.ends_with('.')));
    // Of a run that was longer than what ghz remembers.
    let cut = with(|json| json["count"] = 1_500_000.into());
    let last = cut.blind_spots().pop().expect("sentences");
    assert!(last.contains("the first 200 of 1500000"), "{last}");
    assert!(cut.phase("measure", Purpose::Measure).timeline.is_empty());
}

/// The recorded report with a change.
fn with(change: impl FnOnce(&mut serde_json::Value)) -> Report {
    let text = std::fs::read_to_string(recorded()).expect("readable");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    change(&mut json);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    std::fs::write(&path, json.to_string()).expect("written");
    Report::read(&path).expect("a report")
}

#[test]
fn a_status_that_leaves_it_open_counts_as_unknown() {
    let report = with(|json| {
        json["statusCodeDistribution"] = serde_json::json!({
            "OK": 180, "DeadlineExceeded": 12, "Unavailable": 5, "Canceled": 1, "ResourceExhausted": 2
        });
        json["endReason"] = "cancel".into();
    });
    assert!(!report.is_complete());
    let phase = report.phase("measure", Purpose::Measure);
    let counts = phase.outcomes();
    assert_eq!(
        (counts.accepted, counts.unknown, counts.error),
        (180, 18, 2)
    );
    assert_eq!(phase.statuses["DEADLINE_EXCEEDED"], 12);
    assert_eq!(phase.statuses["CANCELLED"], 1);
}

#[test]
fn what_is_no_report_is_refused_with_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    for (text, named) in [
        ("summary: 200 requests", "is no report of ghz"),
        (
            r#"{"options":{},"count":0,"total":0,"details":null}"#,
            "has sent nothing",
        ),
    ] {
        std::fs::write(&path, text).expect("written");
        let refused = Report::read(&path).expect_err("no report").to_string();
        assert!(
            refused.contains(named) && refused.contains("report.json"),
            "{refused}"
        );
    }
}

/// The whole system in one process, with one sale.
async fn system(stack: &Stack) -> scenarios::stack::Role {
    let program = scenarios::bench::system_binary::build().expect("the system builds");
    let spec = |args: &[&str]| RoleSpec {
        name: args[0].to_owned(),
        program: program.clone(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: [
            ("SECKILL__DATABASE__URL", stack.database_url("sale")),
            ("SECKILL__SECKILL__ENGINE", "preallocated".to_owned()),
            ("SECKILL__SECKILL__LISTEN", "127.0.0.1:0".to_owned()),
            ("SECKILL__ORDER__LISTEN", "127.0.0.1:0".to_owned()),
            ("SECKILL__PRODUCT__LISTEN", "127.0.0.1:0".to_owned()),
            ("SECKILL__AUTH__LISTEN", "127.0.0.1:0".to_owned()),
            ("SECKILL__USER__LISTEN", "127.0.0.1:0".to_owned()),
            ("SECKILL__GATEWAY__LISTEN", "127.0.0.1:0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
    };
    let seed = stack.scratch().join("seed.toml");
    let text = format!(
        "[[sales]]\nproduct_id = {PRODUCT}\nname = \"a thing\"\nprice_cents = 100\n\
         total = {}\nstarts_at = 0\nends_at = 4102444800\n",
        UNITS + 1
    );
    std::fs::write(&seed, text).expect("written");
    let migrate = spec(&["migrate", "--seed", &seed.display().to_string()]);
    stack.run_to_end(&migrate).await.expect("migrated");
    stack.spawn_role(&spec(&["all"])).await.expect("ready")
}

async fn orders(stack: &Stack) -> u64 {
    let url = format!("{}?mode=ro", stack.database_url("sale"));
    let mut database = sqlx::SqliteConnection::connect(&url)
        .await
        .expect("the file");
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders")
        .fetch_one(&mut database)
        .await
        .expect("a table");
    count as u64
}

fn write(path: &Path, elements: impl IntoIterator<Item = (u64, i64)>) {
    let element = |(user, product_id): (u64, i64)| Element {
        user_id: user as i64 + 1,
        product_id,
        quantity: 1,
    };
    let elements: Vec<Element> = elements.into_iter().map(element).collect();
    loadgen::data::write_json(path, &elements).expect("written");
}

/// Lets one buyer buy, again and again until the sale has opened.
async fn opened(ghz: &Ghz, spec: &GhzSpec<'_>) {
    write(spec.data, [(REQUESTS, PRODUCT)]);
    let one = GhzSpec {
        workers: 1,
        requests: 1,
        connections: 1,
        ..spec.clone()
    };
    let buying = async {
        loop {
            let mut running = ghz.start(&one).expect("it starts");
            let report = running.finish().await.expect("a report");
            if report.phase("open", Purpose::WarmUp).outcomes().accepted == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(ROWS_LIMIT, buying)
        .await
        .expect("the sale opens");
}

#[tokio::test]
#[ignore = "nightly: needs ghz (lab setup --ghz)"]
async fn ghz_buys_and_the_database_agrees() {
    let ghz = match Ghz::find() {
        Ok(ghz) => ghz,
        Err(reason) => return eprintln!("ignored: {reason:#}"),
    };
    let options = StackOptions {
        kind: StackKind::Embedded,
        ..testing::options()
    };
    let stack = Stack::start(&options).await.expect("it needs nothing");
    let mut role = system(&stack).await;
    let spec = GhzSpec {
        target: role.listen().expect("an address"),
        workers: WORKERS,
        requests: REQUESTS,
        connections: 4,
        timeout: Duration::from_secs(20),
        data: &stack.scratch().join("data.json"),
        stem: &stack.scratch().join("measure"),
        tag: stack.tag(),
    };
    assert_eq!(ghz.record(&spec).connections, 4);
    opened(&ghz, &spec).await;
    let product = |user| {
        if user < OTHER_REQUESTS {
            OTHER_PRODUCT
        } else {
            PRODUCT
        }
    };
    write(spec.data, (0..REQUESTS).map(|user| (user, product(user))));
    let mut running = ghz.start(&spec).expect("it starts");
    let report = running.finish().await.expect("a report");
    let mut phase = report.phase("measure", Purpose::Measure);
    assert_is_the_run(&phase);
    // One of them belongs to the buyer who came before.
    let waiting = async {
        while orders(&stack).await < UNITS + 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(ROWS_LIMIT, waiting)
        .await
        .expect("every unit is sold");
    split_answered(&mut phase, orders(&stack).await - 1, UNITS);
    let counts = phase.outcomes();
    assert_eq!((counts.accepted, counts.refused), (UNITS, 30));
    role.stop().await.expect("an orderly end");
    stack.stop().await.expect("an orderly end");
}

#[tokio::test]
#[ignore = "nightly: needs ghz (lab setup --ghz)"]
async fn what_ghz_refuses_is_told_in_its_own_words() {
    let ghz = match Ghz::find() {
        Ok(ghz) => ghz,
        Err(reason) => return eprintln!("ignored: {reason:#}"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut spec = GhzSpec {
        // Nobody listens on the port of "discard" but who means to.
        target: "127.0.0.1:9".parse().expect("an address"),
        workers: 1,
        requests: 1,
        connections: 1,
        timeout: Duration::from_secs(1),
        data: &folder.path().join("data.json"),
        stem: &folder.path().join("measure"),
        tag: ("LAB_RUN_ID", "ghz-test"),
    };
    let mut running = ghz.start(&spec).expect("it starts");
    let failed = running.finish().await.expect_err("no data").to_string();
    assert!(
        failed.starts_with("ghz failed") && failed.contains("data.json"),
        "{failed}"
    );
    // To ghz, a target that is not there is one that answers nothing.
    write(spec.data, [(1, PRODUCT)]);
    spec.requests = 3;
    let mut running = ghz.start(&spec).expect("it starts");
    let report = running.finish().await.expect("a report");
    let phase = report.phase("measure", Purpose::Measure);
    assert_eq!(phase.outcomes().unknown, 3);
}

/// As a server that says no more than it must: reads frames of HTTP/2 until one begins a request.
async fn first_request(connection: &mut tokio::net::TcpStream) {
    const PREFACE_BYTES: usize = 24;
    const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    connection.write_all(&EMPTY_SETTINGS).await.expect("sent");
    let mut preface = [0; PREFACE_BYTES];
    connection
        .read_exact(&mut preface)
        .await
        .expect("a preface");
    loop {
        let mut header = [0; 9];
        connection.read_exact(&mut header).await.expect("a frame");
        if header[3] == HEADERS {
            return;
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        connection
            .read_exact(&mut payload)
            .await
            .expect("its payload");
    }
}

#[tokio::test]
#[ignore = "nightly: needs ghz (lab setup --ghz)"]
async fn an_interrupted_ghz_sums_up_what_it_has() {
    let ghz = match Ghz::find() {
        Ok(ghz) => ghz,
        Err(reason) => return eprintln!("ignored: {reason:#}"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let spec = GhzSpec {
        target: silent.local_addr().expect("an address"),
        workers: WORKERS,
        requests: REQUESTS,
        connections: 1,
        timeout: Duration::from_secs(60),
        data: &folder.path().join("data.json"),
        stem: &folder.path().join("measure"),
        tag: ("LAB_RUN_ID", "ghz-test"),
    };
    write(spec.data, [(1, PRODUCT)]);
    let mut running = ghz.start(&spec).expect("it starts");
    let (mut connection, _) = silent.accept().await.expect("a connection");
    tokio::time::timeout(ROWS_LIMIT, first_request(&mut connection))
        .await
        .expect("a request");
    running.interrupt();
    let finished = running.finish();
    let report = tokio::time::timeout(ROWS_LIMIT, finished)
        .await
        .expect("it ends");
    let report = report.expect("a report");
    assert!(!report.is_complete());
    let phase = report.phase("measure", Purpose::Measure);
    assert!(
        (1..REQUESTS).contains(&phase.finished),
        "{}",
        phase.finished
    );
    assert_eq!(phase.outcomes().unknown, phase.finished);
}
