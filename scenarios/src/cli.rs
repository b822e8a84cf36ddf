//! The command line of `lab`: its subcommands, and the one place where an error becomes an exit
//! code.
//!
//! 0 is success, 1 a run, audit or expectation that failed, 2 wrong usage, mistakes in a scenario
//! file included.

mod bench_args;
mod compare;
mod history;
mod listing;
mod nightly;
mod outputs;
mod regress;
mod report;
mod settings;
mod show;
mod test_command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use reports::result::{AuditVerdict, Run};

use self::bench_args::BenchArgs;
use self::compare::CompareArgs;
use self::history::History;
use self::regress::RegressArgs;
use self::report::ReportArgs;
use self::show::ShowArgs;
use self::test_command::TestArgs;
use crate::audit::{self, AuditArgs};
use crate::bench::{self, CannotRun, Interrupt};
use crate::guard::{self, GuardArgs};
use crate::scenario::ScenarioError;
use crate::stack::{StackKind, StackOptions};
use crate::up::UpOptions;
use crate::{doctor, provenance, setup, up};

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// A performance lab for flash-sale systems: it starts its own servers, loads the system, and
/// audits every order
#[derive(Debug, Parser)]
#[command(name = "lab", version = provenance::VERSION, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 success; 1 a run, audit or expectation failed; 2 wrong usage.";

const SEARCH_PATH: &str = "Binaries are looked for on PATH and in the usual folders of servers behind it. \
    LAB_SEARCH_PATH, if set, is searched instead of all of these.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Find the servers, and install what is missing where that is possible
    Setup {
        /// Only look for them, and install nothing
        #[arg(long)]
        no_install: bool,
        /// Also the load driver ghz, built with Go from its source; not needed by any other driver
        #[arg(long)]
        ghz: bool,
        /// Also what counts instructions: valgrind, and gungraun-runner, built with cargo
        #[arg(long)]
        instructions: bool,
    },
    /// Show what this machine has (binaries, versions, cores, memory, disk) and what each stack
    /// needs
    #[command(after_help = SEARCH_PATH)]
    Doctor(StackOptions),
    /// Run a scenario: stack, system, load, drain, audit, tables
    Bench(Box<BenchArgs>),
    Compare(Box<CompareArgs>),
    Regress(Box<RegressArgs>),
    /// Send load to a system that is already running
    #[command(subcommand)]
    Load(Load),
    /// List the stock engines that the system's binary knows; it is built first unless LAB_SECKILL
    /// names one
    Engines {
        /// Print the list as JSON, as the binary itself does
        #[arg(long)]
        json: bool,
    },
    /// List the scenarios of the catalog
    Scenarios,
    Audit(AuditArgs),
    Report(ReportArgs),
    /// Print results that were written before: the first screen, every table, or Markdown
    Show(ShowArgs),
    /// Keep the ratios of commits to an anchor commit, and find where they change
    #[command(subcommand)]
    History(History),
    /// Install the servers if needed, run every test against them, then the scenario `smoke`
    /// (--stack embedded does without servers)
    Test(Box<TestArgs>),
    /// Start the servers, and with --roles the whole system, print their addresses, and keep them until
    /// Ctrl-C
    Up(UpOptions),
    #[command(hide = true)]
    Guard(GuardArgs),
}

#[derive(Debug, Subcommand)]
enum Load {
    /// gRPC: a closed loop with the options and the meaning of ghz, or an open loop by a schedule
    Grpc(Box<loadgen::cli::LoadGrpc>),
    /// HTTP: the same loops, at a gateway
    Http(Box<loadgen::cli::LoadHttp>),
}

/// How a command ended that could be carried out.
enum Ending {
    Passed,
    Failed,
    /// Another program's exit code, passed on.
    Code(u8),
}

impl Ending {
    fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }

    /// A failed run says why once more, after its tables.
    fn of_run(result: &Run) -> Self {
        let failure = bench::failure(result);
        if let Some(reason) = &failure {
            eprintln!("error: {reason}");
        }
        Self::of(failure.is_none())
    }
}

/// Wrong usage that clap cannot detect.
#[derive(Debug)]
struct UsageError(String);

impl std::error::Error for UsageError {}

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses the arguments, runs the command and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(Ending::Passed) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(FAILED),
        Ok(Ending::Code(code)) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if is_usage(&error) {
                WRONG_USAGE
            } else {
                FAILED
            })
        }
    }
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<UsageError>()
            || cause.is::<CannotRun>()
            || cause.is::<ScenarioError>()
            || cause
                .downcast_ref::<loadgen::Error>()
                .is_some_and(loadgen::Error::is_usage)
    })
}

fn run(command: Command) -> anyhow::Result<Ending> {
    match command {
        Command::Setup {
            no_install,
            ghz,
            instructions,
        } => {
            setup::setup(!no_install)?;
            if ghz {
                setup::setup_ghz(!no_install)?;
            }
            if instructions {
                setup::setup_instructions(!no_install)?;
            }
        }
        Command::Doctor(options) => print!("{}", doctor::report(&options)),
        Command::Bench(arguments) => return run_bench(&arguments),
        Command::Compare(arguments) => compare::run(&arguments)?,
        Command::Regress(arguments) => return Ok(Ending::Code(run_regress(&arguments))),
        // These two build the runtime that they need by themselves.
        Command::Load(Load::Grpc(arguments)) => drop(loadgen::cli::run(*arguments)?),
        Command::Load(Load::Http(arguments)) => drop(loadgen::cli::run_http(*arguments)?),
        Command::Guard(arguments) => guard::run(&arguments)?,
        Command::Engines { json } => listing::engines(json)?,
        Command::Scenarios => print!("{}", listing::scenarios()?),
        Command::Audit(arguments) => {
            let report = block_on(audit::command(arguments))?;
            return Ok(Ending::of(report.verdict != AuditVerdict::Failed));
        }
        Command::Report(arguments) => report::run(&arguments)?,
        Command::Show(arguments) => show::run(&arguments)?,
        Command::History(command) => history::run(&command)?,
        Command::Test(arguments) => {
            check_stack(&arguments.stack)?;
            return test_command::run(&arguments);
        }
        Command::Up(options) => {
            check_stack(&options.stack)?;
            block_on(up::up(&options))?;
        }
    }
    Ok(Ending::Passed)
}

fn run_bench(arguments: &BenchArgs) -> anyhow::Result<Ending> {
    let options = arguments.options()?;
    check_stack(&options.stack)?;
    if arguments.dry_run {
        print!("{}", bench::plan(&options)?);
        return Ok(Ending::Passed);
    }
    block_on(async {
        let interrupt = Interrupt::listen()?;
        let result = Box::pin(bench::run(&options, &interrupt)).await?;
        Ok(Ending::of_run(&result))
    })
}

/// A result from a file; the refusal names the file.
fn read_result(path: &std::path::Path) -> Result<Run, UsageError> {
    reports::read(path).map_err(|error| UsageError(error.to_string()))
}

/// Whatever keeps the builds from being compared is no verdict, and never exit code 1.
fn run_regress(arguments: &RegressArgs) -> u8 {
    let compared = || {
        let options = arguments.options()?;
        check_stack(&options.bench.stack)?;
        block_on(async {
            let interrupt = Interrupt::listen()?;
            Box::pin(crate::regress::run(&options, &interrupt)).await
        })
    };
    compared().unwrap_or_else(|error: anyhow::Error| {
        eprintln!("error: {error:#}");
        crate::regress::NOT_MEASURED
    })
}

/// Refuses options that belong to another stack. The addresses of external servers are never
/// guessed.
fn check_stack(options: &StackOptions) -> Result<(), UsageError> {
    let addresses = &options.external;
    let all = [
        &addresses.database_url,
        &addresses.redis_url,
        &addresses.amqp_url,
    ];
    let given = all.iter().filter(|address| address.is_some()).count();
    match options.kind {
        StackKind::External if given < all.len() => Err(UsageError(
            "--stack external needs --database-url, --redis-url and --amqp-url".to_owned(),
        )),
        StackKind::Auto | StackKind::Servers | StackKind::Embedded if given > 0 => Err(UsageError(
            "--database-url, --redis-url and --amqp-url are for --stack external only".to_owned(),
        )),
        StackKind::External | StackKind::Embedded if options.redis_cluster => Err(UsageError(
            "--redis-cluster is for the lab's own servers only (--stack servers or auto)"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// There are two worker threads, so that waiting for the servers does not delay the reading of the
/// driver's events.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
