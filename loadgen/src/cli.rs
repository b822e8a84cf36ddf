//! `lab load grpc`: arguments, signals, and where the results go. Used by hand, it prints a summary
//! like ghz's; as the child process of a benchmark (`--events`), it prints one JSON object per
//! line.

use crate::data::{DataSpec, Encoded, generate, read_json};
use crate::events::{Event, Summary};
use crate::grpc::{LoadPlan, Measured, Stop, drive};
use crate::summary_text::summary_text;
use crate::{Error, Result};
use reports::outcome_log::Writer;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Load a server with `seckill.SeckillService/ExecuteSeckill`, closed loop, with ghz's semantics:
/// worker i uses connection i mod connections, request k uses data element k mod length.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadGrpc {
    /// Server, HOST:PORT, plain text
    #[arg(value_name = "HOST:PORT")]
    pub address: String,
    /// Workers, each with one request at a time
    #[arg(short = 'c', long, default_value_t = 50, value_name = "N")]
    pub concurrency: u32,
    /// Requests in all
    #[arg(short = 'n', long, default_value_t = 200, value_name = "N")]
    pub requests: u64,
    /// Connections, at most the number of workers
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub connections: u32,
    /// How long each request is waited for (resolution 10 ms), such as 20s, 500ms or 1m
    #[arg(short = 't', long, default_value = "20s", value_parser = parse_duration, value_name = "TIME")]
    pub timeout: Duration,
    /// JSON array of {"user_id", "product_id", "quantity"}; without it, data is generated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "users", "product", "max_quantity"])]
    pub data_file: Option<PathBuf>,
    /// Seed of the generated data; without it, a random seed is chosen and printed
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Generated data: user ids 1 to N, each once, in shuffled order
    #[arg(long, default_value_t = 500_000, value_name = "N")]
    pub users: u64,
    /// Generated data: the product that every request asks for
    #[arg(long, default_value_t = 1, value_name = "ID")]
    pub product: i64,
    /// Generated data: each request asks for 1 to N units
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub max_quantity: i32,
    /// Also write the request data as JSON, for ghz or to keep it
    #[arg(long, value_name = "FILE")]
    pub write_data: Option<PathBuf>,
    /// Driver threads, to which the connections are assigned in turn
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: u32,
    /// Index of the data element that the first request uses
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub start_index: u64,
    /// At the end, write what each user was told to this file, for the audit
    #[arg(long, value_name = "FILE")]
    pub outcome_log: Option<PathBuf>,
    /// Print events as JSON lines instead of a summary
    #[arg(long)]
    pub events: bool,
    /// With --events: report one in N accepted orders as it is accepted
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub sample_every: u64,
    /// Write the summary as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Carries out the command. The first SIGINT or SIGTERM stops the sending; open requests are waited
/// for until their time-out, and everything is still written. A second signal gives up the open
/// requests. Wrong usage is [`Error::Usage`].
///
/// Call it at most once per process, because it takes over the two signals. It may be called from
/// within a runtime.
pub fn run(args: LoadGrpc) -> Result<Summary> {
    let plan = plan(&args);
    plan.check()?;
    let data = Arc::new(Encoded::new(elements(&args)?));
    // A log that cannot be written is better found out now than after the run.
    let log = args
        .outcome_log
        .as_deref()
        .map(|path| Ok::<_, Error>((path, Writer::create(path).map_err(log_failed)?)));
    let log = log.transpose()?;
    let stop = Stop::default();
    stop_on_signals(stop.clone())?;
    let mut printing = Ok(());
    let mut observe = |event: Event| {
        if args.events && printing.is_ok() {
            printing = print_line(&event);
            if printing.is_err() {
                // The process that read the events is gone, so the rest of the run is of no use.
                stop.stop();
            }
        }
    };
    let measured = drive(&plan, data, &stop, &mut observe)?;
    if let Some((path, writer)) = log {
        write_log(path, writer, &measured)?;
    }
    if let Some(path) = &args.json {
        write_summary(path, &measured.summary)?;
    }
    if args.events {
        let finished = Event::Finished(measured.summary.clone());
        printing
            .and_then(|()| print_line(&finished))
            .map_err(stdout_failed)?;
    } else {
        let text = summary_text(&measured.summary, &measured.latency);
        io::stdout()
            .write_all(text.as_bytes())
            .map_err(stdout_failed)?;
    }
    Ok(measured.summary)
}

fn plan(args: &LoadGrpc) -> LoadPlan {
    LoadPlan {
        address: args.address.clone(),
        concurrency: args.concurrency,
        connections: args.connections,
        requests: args.requests,
        timeout: args.timeout,
        threads: args.threads,
        start_index: args.start_index,
        sample_every: args.sample_every,
        keep_outcomes: args.outcome_log.is_some(),
        report: args.events,
    }
}

fn elements(args: &LoadGrpc) -> Result<Vec<crate::data::Element>> {
    let elements = match &args.data_file {
        Some(path) => read_json(path)?,
        None => {
            let seed = args.seed.unwrap_or_else(rand::random);
            eprintln!("seed: {seed}");
            let (users, product_id, quantity_max) = (args.users, args.product, args.max_quantity);
            generate(&DataSpec {
                seed,
                users,
                product_id,
                quantity_max,
            })?
        }
    };
    if let Some(path) = &args.write_data {
        crate::data::write_json(path, &elements)?;
    }
    Ok(elements)
}

fn stop_on_signals(stop: Stop) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |source| Error::System {
        action: "listen for signals",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::interrupt()).map_err(failed)?,
            signal(SignalKind::terminate()).map_err(failed)?,
        )
    };
    let listen = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                stop.stop();
            }
        })
    };
    // The thread ends with the process.
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)
        .map_err(failed)?;
    Ok(())
}

fn print_line(event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

fn write_log(path: &Path, mut writer: Writer, measured: &Measured) -> Result<()> {
    measured
        .outcomes(|record| writer.push(record))
        .and_then(|()| writer.finish())
        .map_err(|fault| match fault {
            reports::outcome_log::OutcomeLogError::Io { action, source, .. } => {
                Error::file(action, path, source)
            }
            other => Error::file("write", path, io::Error::other(other)),
        })
}

fn log_failed(fault: reports::outcome_log::OutcomeLogError) -> Error {
    use reports::outcome_log::OutcomeLogError::Io;
    match fault {
        Io {
            action,
            path,
            source,
        } => Error::File {
            action,
            path,
            source,
        },
        other => Error::System {
            action: "write the outcome log",
            source: io::Error::other(other),
        },
    }
}

fn write_summary(path: &Path, summary: &Summary) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(summary)
        .map_err(|error| Error::file("write", path, error.into()))?;
    json.push(b'\n');
    std::fs::write(path, json).map_err(|source| Error::file("write", path, source))
}

fn stdout_failed(source: io::Error) -> Error {
    Error::System {
        action: "write to standard output",
        source,
    }
}

/// `20s`, `1.5s`, `500ms`, `250us`, `2m`.
fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let unit_at = text
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_s = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("a time needs a unit: us, ms, s or m, as in 20s".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "a time is a number and a unit, as in 20s".to_owned())?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadGrpc,
    }

    fn parse(args: &str) -> std::result::Result<LoadGrpc, clap::Error> {
        Cli::try_parse_from(std::iter::once("grpc").chain(args.split_whitespace()))
            .map(|cli| cli.load)
    }

    #[test]
    fn defaults_are_those_of_ghz() {
        let args = parse("localhost:50053").expect("valid");
        assert_eq!(
            (args.concurrency, args.requests, args.connections),
            (50, 200, 1)
        );
        assert_eq!(args.timeout, Duration::from_secs(20));
    }

    #[test]
    fn a_data_file_and_generation_exclude_each_other() {
        assert!(parse("--data-file f.json --seed 1 h:1").is_err());
        assert!(parse("--data-file f.json -c 5 h:1").is_ok());
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("20s", 20_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1m", 60_000),
            ("20000us", 20),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in ["20", "s", "-1s", "1h", "1.2.3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for (args, part) in [
            (
                "-c 5 --connections 6 h:1",
                "connections must be at most the concurrency (5), got 6",
            ),
            ("-n 0 h:1", "requests must be at least 1"),
            ("-c 0 h:1", "concurrency must be 1 to"),
            ("-t 61s h:1", "timeout must be 10 ms to 60 s"),
            ("--threads 0 h:1", "threads must be 1 to"),
            ("nowhere", "the address must be HOST:PORT"),
        ] {
            let fault =
                run(parse(&format!("--users 1 {args}")).expect("parses")).expect_err("refused");
            assert!(
                fault.is_usage() && fault.to_string().contains(part),
                "{args}: {fault}"
            );
        }
    }

    #[test]
    fn a_malformed_data_file_is_no_wrong_usage() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("data.json");
        std::fs::write(&path, r#"[{"user_id":1,"product_id":1,"quantity":0}]"#).expect("written");
        let args = parse(&format!("--data-file {} h:1", path.display())).expect("parses");
        let fault = run(args).expect_err("refused");
        assert!(!fault.is_usage());
        assert!(
            fault
                .to_string()
                .contains("element 1: quantity must be a whole number of at least 1, got 0"),
            "{fault}"
        );
    }
}
