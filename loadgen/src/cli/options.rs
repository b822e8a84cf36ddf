//! The options of `lab load`, and the plan that they describe.

#[cfg(test)]
mod tests;

use crate::data::{DataSpec, Popularity};
use crate::duration::parse_duration;
use crate::plan::{Arrival, BACKLOG_DEFAULT, Data, End, Http, LoadPlan, Shape};
use crate::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

const WORKERS_DEFAULT: u32 = 50;
const CONNECTIONS_DEFAULT: u32 = 1;
/// In an open loop over HTTP, where each has one request under way.
const HTTP_CONNECTIONS_DEFAULT: u32 = 200;
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
    #[arg(long, value_name = "FILE", conflicts_with_all = [
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

    /// Connections, in a closed loop at most the number of workers [default: 1; over HTTP, where a
    /// connection has one request under way, as many as workers or --in-flight, or 200]
    #[arg(long, value_name = "N")]
    pub connections: Option<u32>,
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

/// Load a gateway with `POST /api/v1/seckill/execute`, each buyer with a token of their own. The same
/// loops as those of gRPC; a connection has one request under way.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadHttp {
    #[command(flatten)]
    pub load: LoadGrpc,
    /// File with the key that the system verifies tokens with (its jwt.secret_file)
    #[arg(long, value_name = "FILE", required_unless_present = "plan")]
    pub jwt_secret_file: Option<PathBuf>,
    /// Issuer of the tokens (its jwt.issuer)
    #[arg(long, value_name = "NAME", default_value = "seckill")]
    pub jwt_issuer: String,
    /// Audience of the tokens (its jwt.audience)
    #[arg(long, value_name = "NAME", default_value = "seckill")]
    pub jwt_audience: String,
}

impl LoadHttp {
    /// The load that the options describe, with as many connections as it has requests under way.
    pub fn load(&self) -> LoadGrpc {
        let mut load = self.load.clone();
        let is_open = load.rate.is_some() || load.shape.is_some();
        let under_way = match is_open {
            true => load.in_flight.and_then(|most| u32::try_from(most).ok()),
            false => Some(load.concurrency.unwrap_or(WORKERS_DEFAULT)),
        };
        let default = under_way.unwrap_or(HTTP_CONNECTIONS_DEFAULT);
        load.connections = load.connections.or(Some(default));
        load
    }

    /// None where a plan says it.
    pub fn http(&self) -> Option<Http> {
        self.jwt_secret_file.as_ref().map(|path| Http {
            secret_file: path.clone(),
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
        })
    }
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
            connections: self.connections.unwrap_or(CONNECTIONS_DEFAULT),
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
