//! The command as a whole, from arguments to files.

use super::server::{Answer, Server};
use clap::Parser;
use loadgen::cli::{LoadGrpc, run};
use loadgen::data::read_json;
use reports::outcome_log::{self, Outcome};
use reports::result::{DRIVER, Phase};
use std::collections::HashMap;

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
