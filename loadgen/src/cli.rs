//! `lab load grpc` and `lab load http`: arguments, signals, and where the results go. Used by hand,
//! it prints a summary like ghz's; as the child process of a benchmark (`--plan FILE --events
//! --handshake`), it prints one JSON object per line.

mod console;
mod options;
mod signals;

pub use options::{LoadGrpc, LoadHttp, ShapeName};

use crate::data::Encoded;
use crate::events::Event;
use crate::grpc::load_data;
use crate::plan::{Http, LoadPlan};
use crate::run::{Measured, Stop};
use crate::summary_text::summary_text;
use crate::{Error, Result};
use console::Console;
pub use console::{Input, Output};
use reports::outcome_log::{OutcomeLogError, Writer};
use reports::result::Phase;
use reports::view::hgrm;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Carries out the command. The first SIGINT or SIGTERM stops the sending; open requests are waited
/// for until their time-out, and everything is still written. A second signal gives up the open
/// requests. Wrong usage is [`Error::Usage`].
///
/// Call it at most once per process, because it takes over the two signals. It may be called from
/// within a runtime.
pub fn run(args: LoadGrpc) -> Result<Phase> {
    run_with(args, Over::Grpc)
}

/// The same over HTTP.
pub fn run_http(args: LoadHttp) -> Result<Phase> {
    run_with(args.load(), Over::Http(args.http()))
}

/// The protocol that was asked for.
enum Over {
    Grpc,
    /// With what it takes, unless a plan says it.
    Http(Option<Http>),
}

impl Over {
    /// What the driver is to ask with; a plan is not carried out over another protocol than its own.
    fn settled(self, plan: Option<Http>) -> Result<Option<Http>> {
        match (self, plan) {
            (Self::Grpc, None) => Ok(None),
            (Self::Grpc, Some(_)) => {
                let reason = "the plan is for HTTP, which is lab load http";
                Err(Error::Usage(reason.to_owned()))
            }
            (Self::Http(given), plan) => match given.or(plan) {
                Some(http) => Ok(Some(http)),
                None => Err(Error::Usage(crate::http::NOT_FOR_HTTP.to_owned())),
            },
        }
    }
}

fn run_with(args: LoadGrpc, over: Over) -> Result<Phase> {
    let stop = Stop::default();
    signals::stop_on_signals(stop.clone())?;
    let input = Box::new(io::BufReader::new(io::stdin()));
    run_plan(args, over, input, Box::new(io::stdout()), stop)
}

/// The command on any input and output, told by `stop` instead of by signals.
pub fn run_on(args: LoadGrpc, input: Input, output: Output, stop: Stop) -> Result<Phase> {
    run_plan(args, Over::Grpc, input, output, stop)
}

fn run_plan(args: LoadGrpc, over: Over, input: Input, output: Output, stop: Stop) -> Result<Phase> {
    let mut plan = args.plan()?;
    plan.http = over.settled(plan.http)?;
    plan.keep_outcomes |= args.outcome_log.is_some();
    plan.report |= args.events;
    plan.check()?;
    if args.plan.is_none() && args.seed.is_none() {
        eprintln!("seed: {}", plan.seed);
    }
    let data = data(&args, &plan)?;
    // A log that cannot be written is better found out now than after the run.
    let log = args
        .outcome_log
        .as_deref()
        .map(|path| Ok::<_, Error>((path, Writer::create(path).map_err(log_failed)?)));
    let log = log.transpose()?;
    let mut console = Console::new(args.events, args.handshake, input, output, stop.clone());
    let mut observe = |event: Event| console.see(&event);
    let measured = match plan.http {
        Some(_) => crate::http::drive(&plan, data, &stop, &mut observe)?,
        None => crate::grpc::drive(&plan, data, &stop, &mut observe)?,
    };
    if let Some((path, writer)) = log {
        write_log(path, writer, &measured)?;
    }
    let phase = &measured.phase;
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(phase);
        write(
            path,
            &json.map_err(|error| Error::file("write", path, error.into()))?,
        )?;
    }
    if let Some(path) = &args.hgrm {
        write(path, hgrm(&phase.headline_latencies()).as_bytes())?;
    }
    if args.events {
        let finished = Event::Finished {
            phase: Box::new(phase.clone()),
            data_wrapped: measured.data_wrapped,
        };
        console.see(&finished);
    } else {
        console.print(&summary_text(&plan, &measured));
    }
    console.finish().map_err(|source| Error::System {
        action: "write to standard output",
        source,
    })?;
    let failed = phase.outcomes().failed() + phase.dropped_in_all();
    match failed {
        1.. if args.fail_on_errors => Err(Error::Failed {
            failed,
            due: phase.due,
        }),
        _ => Ok(measured.phase),
    }
}

fn data(args: &LoadGrpc, plan: &LoadPlan) -> Result<Arc<Encoded>> {
    let data = load_data(&plan.data)?;
    if let Some(path) = &args.write_data {
        crate::data::write_json(path, &data.elements())?;
    }
    Ok(data)
}

fn write_log(path: &Path, mut writer: Writer, measured: &Measured) -> Result<()> {
    measured
        .outcomes(|record| writer.push(record))
        .and_then(|()| writer.finish())
        .map_err(|fault| match fault {
            OutcomeLogError::Io { action, source, .. } => Error::file(action, path, source),
            other => Error::file("write", path, io::Error::other(other)),
        })
}

fn log_failed(fault: OutcomeLogError) -> Error {
    match fault {
        OutcomeLogError::Io {
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

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let mut content = content.to_vec();
    if content.last() != Some(&b'\n') {
        content.push(b'\n');
    }
    std::fs::write(path, content).map_err(|source| Error::file("write", path, source))
}
