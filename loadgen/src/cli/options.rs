//! The options of `lab load grpc`, and the plan that they describe.

use crate::data::{DataSpec, Popularity};
use crate::duration::parse_duration;
use crate::plan::{Arrival, BACKLOG_DEFAULT, Data, End, LoadPlan, Shape};
use crate::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

const WORKERS_DEFAULT: u32 = 50;
const REQUESTS_DEFAULT: u64 = 200;
const USERS_DEFAULT: u64 = 500_000;
const PRODUCT_DEFAULT: i64 = 1;
const QUANTITY_MAX_DEFAULT: i32 = 2;

/// Load a server with `seckill.SeckillService/ExecuteSeckill`. Without --rate or --shape, a closed
/// loop with ghz's semantics: worker i uses connection i mod connections, request k uses data element
/// k mod length, and latency counts from the moment when a worker takes its request. With them, an
/// open loop: requests are due by a schedule whatever the server does, and latency counts from the
/// moment when each was due.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadGrpc {
    /// Server, HOST:PORT, plain text
    #[arg(value_name = "HOST:PORT", required_unless_present = "plan")]
    pub address: Option<String>,
    /// The whole load as a JSON file, instead of the options that describe it
    #[arg(long, value_name = "FILE", exclusive = false, conflicts_with_all = [
        "address", "concurrency", "requests", "duration", "think", "rate", "shape", "rates",
        "buyers", "backlog", "in_flight", "connections", "timeout", "data_file", "seed", "users",
        "product", "products", "zipf", "max_quantity", "repeat", "threads", "start_index",
        "sample_every",
    ])]
    pub plan: Option<PathBuf>,

    /// Closed loop: workers, each with one request at a time [default: 50]
    #[arg(short = 'c', long, value_name = "N", conflicts_with_all = ["rate", "shape"])]
    pub concurrency: Option<u32>,
    /// Requests in all [default: 200]
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration")]
    pub requests: Option<u64>,
    /// Send for this long instead of a number of requests
    #[arg(short = 'z', long, value_parser = parse_duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    /// Closed loop: how long a worker pauses between a reply and its next request
    #[arg(long, value_parser = parse_duration, value_name = "TIME", conflicts_with_all = ["rate", "shape"])]
    pub think: Option<Duration>,
    /// Open loop: requests per second
    #[arg(short = 'r', long, value_name = "R", conflicts_with_all = ["rates", "buyers"])]
    pub rate: Option<f64>,
    /// Open loop: course of the rate; constant without it
    #[arg(long, value_enum, value_name = "SHAPE")]
    pub shape: Option<ShapeName>,
    /// Open loop: the rates of a step, one after the other, or the first and the last of a line
    #[arg(
        long,
        value_name = "R,R",
        value_delimiter = ',',
        requires = "shape",
        conflicts_with = "buyers"
    )]
    pub rates: Vec<f64>,
    /// Open loop: how many come at once in a spike
    #[arg(long, value_name = "N", requires = "shape", conflicts_with_all = ["requests", "duration"])]
    pub buyers: Option<u64>,
    /// Open loop: most requests that wait for a connection; more are dropped [default: 100000]
    #[arg(long, value_name = "N")]
    pub backlog: Option<u64>,
    /// Open loop: most requests under way at once; at that bound, due requests wait
    #[arg(long, value_name = "N")]
    pub in_flight: Option<u64>,

    /// Connections, in a closed loop at most the number of workers
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub connections: u32,
    /// How long each request is waited for (resolution 10 ms), such as 20s, 1.5s, 500ms or 1m
    #[arg(short = 't', long, default_value = "20s", value_parser = parse_duration, value_name = "TIME")]
    pub timeout: Duration,
    /// Driver threads, to which the connections are assigned in turn
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: u32,

    /// JSON array of {"user_id", "product_id", "quantity"}; without it, data is generated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["users", "product", "products", "zipf", "max_quantity"])]
    pub data_file: Option<PathBuf>,
    /// Seed of the generated data and of a random schedule; without it, one is chosen and printed
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Generated data: user ids 1 to N, each once, in shuffled order [default: 500000]
    #[arg(long, value_name = "N")]
    pub users: Option<u64>,
    /// Generated data: the product that every request asks for [default: 1]
    #[arg(long, value_name = "ID")]
    pub product: Option<i64>,
    /// Generated data: several products, the most popular first, such as 1,2,7 or 1-100
    #[arg(
        long,
        value_name = "ID,ID",
        value_delimiter = ',',
        conflicts_with = "product"
    )]
    pub products: Vec<String>,
    /// Generated data: popularity falls with the rank to this power, instead of being the same
    #[arg(long, value_name = "EXPONENT", requires = "products")]
    pub zipf: Option<f64>,
    /// Generated data: each request asks for 1 to N units [default: 2]
    #[arg(long, value_name = "N")]
    pub max_quantity: Option<i32>,
    /// The same users may come again and again when the data ends
    #[arg(long)]
    pub repeat: bool,
    /// Also write the request data as JSON, for ghz or to keep it
    #[arg(long, value_name = "FILE")]
    pub write_data: Option<PathBuf>,
    /// Index of the data element that the first request uses
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub start_index: u64,

    /// At the end, write what each user was told to this file, for the audit
    #[arg(long, value_name = "FILE")]
    pub outcome_log: Option<PathBuf>,
    /// Print events as JSON lines instead of a summary
    #[arg(long)]
    pub events: bool,
    /// With --events: send after a line `go` on standard input, and sum up after `sum up`
    #[arg(long, requires = "events")]
    pub handshake: bool,
    /// With --events: report one in N accepted orders as it is accepted
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub sample_every: u64,
    /// Write what was measured as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the latencies in ms to this file, as HdrHistogram's plotters read them
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Exit with 1 if any request fails, is dropped or has an unknown outcome
    #[arg(long)]
    pub fail_on_errors: bool,
}

/// Course of an open loop's rate, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ShapeName {
    Constant,
    Step,
    Line,
    Spike,
    Poisson,
}

impl LoadGrpc {
    /// The plan that the options describe, or that of the file.
    ///
    /// # Errors
    /// [`Error::Usage`] where options contradict each other.
    pub fn plan(&self) -> Result<LoadPlan> {
        if let Some(path) = &self.plan {
            return LoadPlan::read(path);
        }
        let seed = self.seed.unwrap_or_else(rand::random);
        let arrival = self.arrival().map_err(Error::Usage)?;
        let end = match (&arrival, self.duration) {
            (
                Arrival::Open {
                    shape: Shape::Spike { buyers },
                    ..
                },
                _,
            ) => End::Count(*buyers),
            (_, Some(time)) => End::Time(time),
            (_, None) => End::Count(self.requests.unwrap_or(REQUESTS_DEFAULT)),
        };
        let address = self.address.clone().unwrap_or_default();
        Ok(LoadPlan {
            arrival,
            end,
            timeout: self.timeout,
            connections: self.connections,
            threads: self.threads,
            data: self.data(seed).map_err(Error::Usage)?,
            start_index: self.start_index,
            may_wrap: self.repeat,
            sample_every: self.sample_every,
            seed,
            ..LoadPlan::closed(address, 1, 1)
        })
    }

    fn arrival(&self) -> std::result::Result<Arrival, String> {
        let Some(shape) = self.shape()? else {
            for (given, name) in [
                (self.backlog.is_some(), "--backlog"),
                (self.in_flight.is_some(), "--in-flight"),
            ] {
                if given {
                    return Err(format!(
                        "{name} is for an open loop: give it a --rate or a --shape"
                    ));
                }
            }
            return Ok(Arrival::Closed {
                workers: self.concurrency.unwrap_or(WORKERS_DEFAULT),
                think: self.think.unwrap_or_default(),
            });
        };
        let backlog_default = match &shape {
            Shape::Spike { buyers } => BACKLOG_DEFAULT.max(*buyers),
            _ => BACKLOG_DEFAULT,
        };
        Ok(Arrival::Open {
            shape,
            backlog_max: self.backlog.unwrap_or(backlog_default),
            in_flight_max: self.in_flight,
        })
    }

    /// None for a closed loop.
    fn shape(&self) -> std::result::Result<Option<Shape>, String> {
        use ShapeName::{Constant, Line, Poisson, Spike, Step};
        let name = match (self.shape, self.rate) {
            (None, None) => return Ok(None),
            (name, _) => name.unwrap_or(Constant),
        };
        let given = (self.rate, &*self.rates, self.buyers);
        let shape = match (name, given) {
            (Constant, (Some(rate_per_s), [], None)) => Shape::Constant { rate_per_s },
            (Poisson, (Some(rate_per_s), [], None)) => Shape::Poisson { rate_per_s },
            (Step, (None, [_, ..], None)) => Shape::Step {
                rates_per_s: self.rates.clone(),
            },
            (Line, (None, [from_per_s, to_per_s], None)) => Shape::Line {
                from_per_s: *from_per_s,
                to_per_s: *to_per_s,
            },
            (Spike, (None, [], Some(buyers))) => Shape::Spike { buyers },
            (Constant, _) => return Err("a constant rate needs --rate and nothing else".to_owned()),
            (Poisson, _) => {
                return Err("--shape poisson needs --rate and nothing else".to_owned());
            }
            (Step, _) => return Err("--shape step needs --rates, as in 1000,2000,4000".to_owned()),
            (Line, _) => return Err("--shape line needs two --rates, as in 1000,4000".to_owned()),
            (Spike, _) => return Err("--shape spike needs --buyers and nothing else".to_owned()),
        };
        Ok(Some(shape))
    }

    fn data(&self, seed: u64) -> std::result::Result<Data, String> {
        if let Some(path) = &self.data_file {
            return Ok(Data::File(path.clone()));
        }
        let mut products = Vec::new();
        for item in &self.products {
            products.extend(product_range(item)?);
        }
        if products.is_empty() {
            products.push(self.product.unwrap_or(PRODUCT_DEFAULT));
        }
        Ok(Data::Generated(DataSpec {
            seed,
            users: self.users.unwrap_or(USERS_DEFAULT),
            products,
            popularity: self.zipf.map_or(Popularity::Uniform, Popularity::Zipf),
            quantity_max: self.max_quantity.unwrap_or(QUANTITY_MAX_DEFAULT),
        }))
    }
}

/// `7`, or `1-100`.
fn product_range(text: &str) -> std::result::Result<std::ops::RangeInclusive<i64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last))
            if 1 <= first
                && first <= last
                && ((last - first) as usize) < crate::data::PRODUCTS_MAX =>
        {
            Ok(first..=last)
        }
        _ => Err(format!(
            "products are ids of at least 1 and ranges of up to {} of them, as in 1,2,7 or 1-100, got {text:?}",
            crate::data::PRODUCTS_MAX
        )),
    }
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

    fn plan(args: &str) -> LoadPlan {
        let plan = parse(args).expect(args).plan().expect(args);
        plan.check().expect(args);
        plan
    }

    #[test]
    fn defaults_are_those_of_ghz() {
        let plan = plan("--seed 3 localhost:50053");
        let mut expected = LoadPlan::closed("localhost:50053", 50, 200);
        expected.seed = 3;
        expected.data = Data::Generated(DataSpec {
            seed: 3,
            ..DataSpec::default()
        });
        assert_eq!(plan, expected);
    }

    #[test]
    fn every_shape_can_be_said() {
        for (args, expected) in [
            ("--rate 1000", Shape::Constant { rate_per_s: 1e3 }),
            (
                "--rate 1000 --shape poisson",
                Shape::Poisson { rate_per_s: 1e3 },
            ),
            (
                "--shape step --rates 1000,2000,4000",
                Shape::Step {
                    rates_per_s: vec![1e3, 2e3, 4e3],
                },
            ),
            (
                "--shape line --rates 10,20",
                Shape::Line {
                    from_per_s: 10.0,
                    to_per_s: 20.0,
                },
            ),
        ] {
            let plan = plan(&format!("{args} -z 1.5s h:1"));
            assert_eq!(plan.end, End::Time(Duration::from_millis(1_500)));
            let Arrival::Open { shape, .. } = plan.arrival else {
                panic!("{args}: a closed loop");
            };
            assert_eq!(shape, expected, "{args}");
        }
        let spike = plan("--shape spike --buyers 300000 h:1");
        assert_eq!(spike.end, End::Count(300_000));
        let Arrival::Open { backlog_max, .. } = spike.arrival else {
            panic!("a closed loop");
        };
        assert_eq!(backlog_max, 300_000, "nobody is dropped at the door");
    }

    #[test]
    fn several_products_are_ids_and_ranges() {
        let Data::Generated(spec) = plan("--products 7,1-3 --zipf 1.1 h:1").data else {
            panic!("no generated data");
        };
        assert_eq!(spec.products, [7, 1, 2, 3]);
        assert_eq!(spec.popularity, Popularity::Zipf(1.1));
    }

    #[test]
    fn what_contradicts_itself_is_wrong_usage() {
        for args in [
            "--data-file f.json --users 1 h:1",
            "-n 5 -z 1s h:1",
            "-c 5 --rate 10 h:1",
            "--think 1s --rate 10 h:1",
            "--rate 10 --rates 1,2 --shape step h:1",
            "--buyers 5 h:1",
            "--shape spike --buyers 5 -n 6 h:1",
            "--product 1 --products 1,2 h:1",
            "--zipf 1 h:1",
            "--handshake h:1",
            "--plan f.json -c 5",
            "--plan f.json h:1",
            "--timeout 20 h:1",
            "",
        ] {
            assert!(parse(args).is_err(), "{args}");
        }
        for (args, part) in [
            ("--backlog 5 h:1", "--backlog is for an open loop"),
            ("--shape poisson h:1", "--shape poisson needs --rate"),
            (
                "--shape line --rates 5 h:1",
                "--shape line needs two --rates",
            ),
            ("--shape spike --rate 5 h:1", "--shape spike needs --buyers"),
            ("--products 3-1 h:1", "products are ids of at least 1"),
            (
                "--rate 2e7 h:1",
                "a rate must be 0.001 to 1000000 per second",
            ),
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
            let args = parse(&format!("--seed 1 {args}")).expect(args);
            let fault = crate::cli::run(args).expect_err("refused");
            assert!(
                fault.is_usage() && fault.to_string().contains(part),
                "{part}: {fault}"
            );
        }
    }
}
