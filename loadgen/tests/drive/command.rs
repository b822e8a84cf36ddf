//! The command as a whole, from arguments to files.

use super::server::{Answer, ReceivedRequest, Server};
use clap::Parser;
use loadgen::cli::{LoadGrpc, run, run_on};
use loadgen::data::read_json;
use loadgen::events::Event;
use loadgen::run::Stop;
use reports::outcome_log::{self, Outcome};
use reports::result::{DRIVER, Phase};
use std::collections::{HashMap, HashSet};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadGrpc,
}

#[test]
fn a_run_by_hand_leaves_its_data_its_summary_and_its_outcome_log() {
    let server = Server::start("127.0.0.1:0", |request| match request.user_id % 10 {
        0 => Answer::Refuse("sold out"),
        1 => Answer::Status(14, "shedding"),
        _ => Answer::Accept(request.user_id * 3),
    });
    let folder = tempfile::tempdir().expect("scratch folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (data, json, log) = (file("data.json"), file("out.json"), file("log"));
    let address = server.address.to_string();
    let args = [
        "grpc",
        "-c",
        "20",
        "-n",
        "2500",
        "--connections",
        "4",
        "--seed",
        "7",
        "--users",
        "2000",
        "--product",
        "9",
    ];
    let files = [
        "--write-data",
        &data,
        "--json",
        &json,
        "--outcome-log",
        &log,
        &address,
    ];
    let phase = run(Cli::parse_from(args.into_iter().chain(files)).load).expect("runs");

    let written: Phase =
        serde_json::from_slice(&std::fs::read(&json).expect("there")).expect("a phase");
    assert_eq!(written, phase);
    assert_eq!((phase.finished, phase.outcomes().total()), (2_500, 2_500));
    let driver = &phase.usage[DRIVER];
    assert!(driver.cpu_ns() > 0 && driver.peak_rss_bytes > 0);

    let quantity: HashMap<i64, i32> = read_json(data.as_ref())
        .expect("data")
        .iter()
        .map(|element| (element.user_id, element.quantity))
        .collect();
    assert_eq!(quantity.len(), 2_000);
    let records = outcome_log::read(&log).expect("a log");
    let count = |outcome| {
        records
            .iter()
            .filter(|record| record.outcome == outcome)
            .count() as u64
    };
    assert_eq!(records.len(), 2_500);
    assert_eq!(count(Outcome::Accepted), phase.outcomes().accepted);
    assert_eq!(
        count(Outcome::Accepted),
        1_600,
        "each user is accepted once; a repeated request is a duplicate"
    );
    assert_eq!(count(Outcome::Duplicate), phase.outcomes().duplicate);
    assert_eq!(count(Outcome::Refused), phase.outcomes().refused);
    assert_eq!(count(Outcome::Error), phase.outcomes().error);
    for record in &records {
        assert_eq!(
            (record.product_id, record.quantity),
            (9, quantity[&record.user_id] as u32)
        );
        let told = matches!(record.outcome, Outcome::Accepted | Outcome::Duplicate);
        assert_eq!(record.order_id, if told { record.user_id * 3 } else { 0 });
    }
}

#[test]
fn a_log_that_cannot_be_written_is_found_out_before_the_run() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let address = server.address.to_string();
    let args = [
        "grpc",
        "--users",
        "10",
        "--outcome-log",
        "/nonexistent/log",
        &address,
    ];
    let error = run(Cli::parse_from(args).load).expect_err("refused");
    assert!(
        error
            .to_string()
            .starts_with("cannot create /nonexistent/log"),
        "{error}"
    );
    assert!(
        server
            .received
            .lock()
            .expect("no panic")
            .requests
            .is_empty()
    );
}

#[test]
fn errors_fail_the_command_only_if_it_is_told_so() {
    let server = Server::start("127.0.0.1:0", |request| match request.user_id % 2 {
        0 => Answer::Status(14, "shedding"),
        _ => Answer::Accept(request.user_id),
    });
    let folder = tempfile::tempdir().expect("scratch folder");
    let hgrm = folder.path().join("latency.hgrm").display().to_string();
    let address = server.address.to_string();
    let args = [
        "grpc", "-n", "100", "--users", "100", "--hgrm", &hgrm, &address,
    ];
    let phase = run(Cli::parse_from(args).load).expect("runs");
    assert_eq!(phase.outcomes().error, 50);
    let written = std::fs::read_to_string(&hgrm).expect("there");
    assert!(
        written.contains("Total count    =          100]"),
        "{written}"
    );
    std::fs::remove_file(&hgrm).expect("removed");
    let args = args.into_iter().chain(["--fail-on-errors"]);
    let error = run(Cli::parse_from(args).load).expect_err("fails");
    assert_eq!(
        error.to_string(),
        "50 of 100 requests failed or were dropped"
    );
    assert!(!error.is_usage());
    assert!(
        std::fs::exists(&hgrm).expect("readable"),
        "everything is written all the same"
    );
}

/// Runs the command with these options against a server that says yes to everybody; who asked for
/// what, in the order in which they came.
fn asked_with(options: &[&str]) -> (Phase, Vec<ReceivedRequest>) {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let address = server.address.to_string();
    let args = [&["grpc", "--seed", "7"], options, &[&address]].concat();
    let phase = run(Cli::parse_from(args).load).expect("runs");
    let received = server.received.lock().expect("no panic").requests.clone();
    (phase, received)
}

#[test]
fn what_a_closed_loop_is_told_shows_in_what_it_sends() {
    let folder = tempfile::tempdir().expect("scratch folder");
    let data = folder.path().join("data.json").display().to_string();
    let (phase, asked) = asked_with(&[
        "-n",
        "1",
        "-c",
        "1",
        "--users",
        "50",
        "--start-index",
        "3",
        "--write-data",
        &data,
    ]);
    let data = read_json(data.as_ref()).expect("data");
    assert_eq!((phase.finished, asked[0].user_id), (1, data[3].user_id));

    let began = Instant::now();
    let (phase, asked) = asked_with(&[
        "--requests",
        "20",
        "--concurrency",
        "2",
        "--connections",
        "2",
        "--threads",
        "2",
        "--think",
        "50ms",
        "--users",
        "20",
    ]);
    assert_eq!(phase.finished, 20);
    // Each of the two workers pauses between ten requests.
    assert!(began.elapsed() >= Duration::from_millis(9 * 50));
    let connections: HashSet<usize> = asked.iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 2);

    let (phase, asked) = asked_with(&["-n", "30", "-c", "1", "--users", "10", "--repeat"]);
    let users: HashSet<i64> = asked.iter().map(|request| request.user_id).collect();
    assert_eq!((phase.finished, users.len()), (30, 10));
}

#[test]
fn generated_requests_are_for_the_products_and_quantities_that_were_asked_for() {
    let (_, asked) = asked_with(&[
        "-n",
        "400",
        "-c",
        "10",
        "--users",
        "400",
        "--products",
        "3,5-6",
        "--zipf",
        "2",
        "--max-quantity",
        "4",
    ]);
    let mut of_product = HashMap::<i64, usize>::new();
    for request in &asked {
        *of_product.entry(request.product_id).or_default() += 1;
    }
    let known: HashSet<i64> = of_product.keys().copied().collect();
    assert_eq!(known, HashSet::from([3, 5, 6]));
    // By rank 1, 1/4 and 1/9.
    assert!(of_product[&3] > 2 * of_product[&5], "{of_product:?}");
    let quantities: HashSet<i64> = asked.iter().map(|request| request.quantity).collect();
    assert_eq!(quantities, HashSet::from([1, 2, 3, 4]));
}

#[test]
fn every_shape_of_an_open_loop_sends_what_it_was_told_to() {
    for (options, requests) in [
        (
            vec!["--rate", "400", "-n", "40", "--backlog", "10"],
            40..=40,
        ),
        (
            vec!["--shape", "poisson", "--rate", "400", "-n", "40"],
            40..=40,
        ),
        (
            vec![
                "--shape",
                "step",
                "--rates",
                "100,300",
                "--duration",
                "400ms",
            ],
            70..=90,
        ),
        (
            vec![
                "--shape",
                "line",
                "--rates",
                "100,300",
                "--duration",
                "400ms",
            ],
            70..=90,
        ),
        (
            vec![
                "--shape",
                "spike",
                "--buyers",
                "60",
                "--in-flight",
                "5",
                "--timeout",
                "10s",
            ],
            60..=60,
        ),
    ] {
        let (phase, asked) = asked_with(&[&options[..], &["--users", "1000"]].concat());
        assert!(
            requests.contains(&asked.len()),
            "{options:?}: {}",
            asked.len()
        );
        assert_eq!(phase.outcomes().accepted, asked.len() as u64, "{options:?}");
        let most = asked.iter().map(|request| request.open).max();
        assert!(
            !options.contains(&"--in-flight") || most <= Some(5),
            "{most:?}"
        );
    }
}

#[test]
fn one_in_so_many_orders_is_reported_as_it_is_accepted() {
    for (every, reports) in [("1", 40), ("10", 4)] {
        let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
        let address = server.address.to_string();
        let args = [
            "grpc",
            "-n",
            "40",
            "-c",
            "1",
            "--users",
            "40",
            "--events",
            "--sample-every",
            every,
            &address,
        ];
        let (said, its_output) = UnixStream::pair().expect("a pair");
        let reading = std::thread::spawn(move || std::io::read_to_string(said).expect("text"));
        let ended = run_on(
            Cli::parse_from(args).load,
            Box::new(std::io::empty()),
            Box::new(its_output),
            Stop::default(),
        );
        ended.expect("runs");
        let said = reading.join().expect("no panic");
        let orders = said.lines().map(|line| match serde_json::from_str(line) {
            Ok(Event::Samples { samples }) => samples.len(),
            Ok(_) => 0,
            Err(error) => panic!("{line}: {error}"),
        });
        assert_eq!(orders.sum::<usize>(), reports, "{said}");
    }
}
