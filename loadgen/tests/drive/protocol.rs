//! The driver as a child of a benchmark: its plan, its events, and the two lines that it waits for.

use super::server::{Answer, Server};
use super::wait_until;
use clap::Parser;
use loadgen::Result;
use loadgen::cli::{LoadGrpc, run_on};
use loadgen::data::{DataSpec, read_json};
use loadgen::events::Event;
use loadgen::plan::{Data, End, LoadPlan, Shape};
use loadgen::run::Stop;
use reports::outcome_log;
use reports::result::{Phase, Purpose};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadGrpc,
}

/// A driver in a thread, with both ends of what would be its standard input and output.
struct Child {
    input: UnixStream,
    events: std::io::Lines<BufReader<UnixStream>>,
    stop: Stop,
    thread: JoinHandle<Result<Phase>>,
}

impl Child {
    fn start(folder: &Path, plan: &LoadPlan) -> Self {
        let path = folder.join("plan.json");
        std::fs::write(&path, serde_json::to_vec(plan).expect("json")).expect("written");
        let log = folder.join("told.log");
        let args = [
            "grpc",
            "--plan",
            &path.display().to_string(),
            "--events",
            "--handshake",
            "--outcome-log",
            &log.display().to_string(),
        ]
        .map(str::to_owned);
        let args = Cli::parse_from(args).load;
        let (input, its_input) = UnixStream::pair().expect("a pair");
        let (output, its_output) = UnixStream::pair().expect("a pair");
        let stop = Stop::default();
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let its_input = Box::new(BufReader::new(its_input));
            run_on(args, its_input, Box::new(its_output), told)
        });
        Self {
            input,
            events: BufReader::new(output).lines(),
            stop,
            thread,
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the driver listens");
    }

    /// Reads to the first event that is wanted, and returns the names of all others on the way.
    fn read_to(&mut self, wanted: fn(&Event) -> bool) -> (Event, Vec<String>) {
        let mut others = Vec::new();
        loop {
            let line = self.events.next().expect("an event").expect("read");
            let event = serde_json::from_str(&line).expect(&line);
            if wanted(&event) {
                return (event, others);
            }
            let json: serde_json::Value = serde_json::from_str(&line).expect("json");
            others.push(json["event"].as_str().expect("a tag").to_owned());
        }
    }
}

fn plan(server: &Server) -> LoadPlan {
    LoadPlan {
        name: "steady".to_owned(),
        purpose: Purpose::WarmUp,
        connections: 2,
        data: Data::Generated(DataSpec::one_product(1, 1_000, 7, 2)),
        sample_every: 10,
        ..LoadPlan::open(
            server.address.to_string(),
            Shape::Constant { rate_per_s: 500.0 },
            End::Count(200),
        )
    }
}

fn received(server: &Server) -> usize {
    server.received.lock().expect("no panic").requests.len()
}

#[test]
fn a_driver_sends_after_go_and_sums_up_when_it_is_asked() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let folder = tempfile::tempdir().expect("scratch folder");
    let mut child = Child::start(folder.path(), &plan(&server));
    let (ready, before) = child.read_to(|event| matches!(event, Event::Ready { .. }));
    let expected = Event::Ready {
        connections: 2,
        requests: Some(200),
    };
    assert_eq!((ready, before), (expected, Vec::new()));
    let connections = || server.received.lock().expect("no panic").connections;
    assert_eq!((connections(), received(&server)), (2, 0));
    child.say("go");
    let (started, _) = child.read_to(|event| matches!(event, Event::Started { .. }));
    let (ended, between) = child.read_to(|event| matches!(event, Event::Ended { .. }));
    let (Event::Started { at_unix_us: from }, Event::Ended { at_unix_us: to }) = (started, ended)
    else {
        panic!("other events");
    };
    assert_eq!(received(&server), 200);
    for name in ["progress", "samples"] {
        assert!(between.iter().any(|other| other == name), "{between:?}");
    }
    child.say("sum up");
    let (finished, last) = child.read_to(|event| matches!(event, Event::Finished { .. }));
    assert_eq!(last, Vec::<String>::new(), "nothing comes after the end");
    let Event::Finished {
        phase,
        data_wrapped,
    } = finished
    else {
        panic!("another event");
    };
    assert_eq!((phase.due, phase.finished, data_wrapped), (200, 200, false));
    assert_eq!((&*phase.name, &phase.purpose), ("steady", &Purpose::WarmUp));
    let length_us = (phase.length_ns / 1_000) as i64;
    assert!(phase.start_unix_us >= from && phase.start_unix_us + length_us <= to + 1);
    let returned = child.thread.join().expect("no panic").expect("a phase");
    assert_eq!(*phase, returned);
    let log = outcome_log::read(folder.path().join("told.log")).expect("a log");
    assert_eq!(
        log.len(),
        200,
        "the outcome log implies that outcomes are kept"
    );
}

#[test]
fn a_driver_whose_input_ends_before_go_sends_nothing() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let folder = tempfile::tempdir().expect("scratch folder");
    let mut child = Child::start(folder.path(), &plan(&server));
    child.read_to(|event| matches!(event, Event::Ready { .. }));
    drop(child.input);
    let phase = child.thread.join().expect("no panic").expect("a phase");
    assert_eq!((phase.due, phase.sent, received(&server)), (0, 0, 0));
}

#[test]
fn an_interrupted_driver_keeps_what_it_measured() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let folder = tempfile::tempdir().expect("scratch folder");
    let endless = LoadPlan {
        end: End::Count(100_000),
        ..plan(&server)
    };
    let mut child = Child::start(folder.path(), &endless);
    child.say("go");
    wait_until("some requests", || received(&server) > 50);
    child.stop.stop();
    // Nobody asks for the sum; the end of the input is enough.
    drop(child.input);
    let phase = child.thread.join().expect("no panic").expect("a phase");
    assert!(
        (50..100_000).contains(&phase.finished),
        "{}",
        phase.finished
    );
    assert_eq!(phase.outcomes().accepted, phase.sent);
    let log = outcome_log::read(folder.path().join("told.log")).expect("a log");
    assert_eq!(log.len() as u64, phase.finished);
}

#[test]
fn a_plan_with_a_fault_is_wrong_usage_and_a_data_file_with_one_is_not() {
    let folder = tempfile::tempdir().expect("scratch folder");
    let refused = |name: &str, text: &str, option: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        let path = path.display().to_string();
        let mut args = vec!["grpc", option, &path];
        if option == "--data-file" {
            args.push("127.0.0.1:1");
        }
        let args = Cli::parse_from(args).load;
        let (input, output) = (std::io::empty(), std::io::sink());
        run_on(args, Box::new(input), Box::new(output), Stop::default()).expect_err("refused")
    };
    let plan = LoadPlan::closed("127.0.0.1:1", 5, 10);
    let mut json = serde_json::to_value(&plan).expect("json");
    json["arrival"]["closed"]["workers"] = 0.into();
    let fault = refused("plan.json", &json.to_string(), "--plan");
    assert!(fault.is_usage() && fault.to_string().contains("concurrency must be 1 to"));
    json["colour"] = "red".into();
    let fault = refused("plan.json", &json.to_string(), "--plan");
    assert!(fault.is_usage());
    assert!(
        fault
            .to_string()
            .contains("plan.json: colour: unknown field `colour`"),
        "{fault}"
    );
    let data = r#"[{"user_id":1,"product_id":1,"quantity":0}]"#;
    let fault = refused("data.json", data, "--data-file");
    assert!(!fault.is_usage());
    assert!(
        fault
            .to_string()
            .contains("element 1: quantity: invalid value"),
        "{fault}"
    );
    assert!(read_json(&folder.path().join("data.json")).is_err());
}
