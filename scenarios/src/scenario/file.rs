//! A scenario in its TOML form. The position of every value in the file is kept, so that an error
//! about a broken rule can name the line.

mod spans;
mod tables;

use std::ops::Range;
use std::time::Duration;

use loadgen::duration::parse_duration;
use reports::expect::{ExpectError, Expected};
use reports::result::{Ack, DriverKind, LimitsWanted, Objective, Popularity, Purpose};
use toml::Spanned;

use self::spans::KeySpans;
use self::tables::{
    AfterTable, File, LimitsTable, LoadTable, ObjectiveTable, PhaseTable, ProductsTable,
};
use super::after::parse_delay;
use super::rules::{BrokenRule, CONSUMER_MODES, PURPOSES, SHAPES, one_of};
use super::{After, Arrival, End, Load, OpenShape, PhasePlan, Products, Rate, Scenario, Variant};

/// Requests that may wait for a connection where a phase says nothing: more than any phase of the
/// catalog has waiting, and bounded.
const BACKLOG_MAX: u64 = 100_000;

/// Why there is no scenario to run, each in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScenarioError {
    Unknown {
        name: String,
        known: Vec<&'static str>,
    },
    Unreadable {
        file: String,
        reason: String,
    },
    /// `my.toml:12: requests = 0 is out of range; allowed: 1 to 100000000`. Without a line, the
    /// file as a whole is at fault.
    Invalid {
        file: String,
        line: Option<usize>,
        message: String,
    },
}

impl std::error::Error for ScenarioError {}

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown { name, known } => {
                write!(
                    f,
                    "unknown scenario \"{name}\"; known: {}, or the path of a .toml file",
                    known.join(", ")
                )
            }
            Self::Unreadable { file, reason } => {
                write!(f, "{file}: the scenario file cannot be read: {reason}")
            }
            Self::Invalid {
                file,
                line: Some(line),
                message,
            } => write!(f, "{file}:{line}: {message}"),
            Self::Invalid {
                file,
                line: None,
                message,
            } => write!(f, "{file}: {message}"),
        }
    }
}

pub(super) fn parse(name: &str, file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let error = |span: Option<Range<usize>>, message: String| ScenarioError::Invalid {
        file: file.to_owned(),
        line: span.map(|span| line_of(text, span.start)),
        message,
    };
    let parsed: File = toml::from_str(text).map_err(|problem| {
        // TOML's message may have a second line with the expected types; an error here is one
        // sentence.
        error(problem.span(), problem.message().replace('\n', ", "))
    })?;
    let mut spans = KeySpans::default();
    let scenario = convert(name, parsed, &mut spans);
    let checked = scenario.and_then(|scenario| scenario.check().map(|()| scenario));
    checked.map_err(|broken| error(spans.of(&broken.key), broken.message))
}

fn convert(name: &str, file: File, spans: &mut KeySpans) -> Result<Scenario, BrokenRule> {
    let driver = spans.take("driver", file.driver);
    let ack = match file.ack {
        Some(ack) => spans.take("ack", ack),
        None => Ack::Confirmed.as_str().to_owned(),
    };
    one_of("ack", &ack, &names(Ack::KNOWN.iter().map(Ack::as_str)))?;
    let consumer = match file.consumer {
        Some(consumer) => spans.take("consumer", consumer),
        None => CONSUMER_MODES[0].to_owned(),
    };
    one_of("consumer", &consumer, &CONSUMER_MODES)?;
    let mut phases = Vec::with_capacity(file.phases.len());
    for (index, table) in file.phases.into_iter().enumerate() {
        phases.push(phase(index, table, spans)?);
    }
    let mut expectations = Vec::new();
    for (index, text) in file.expectations.into_iter().enumerate() {
        expectations.push(parsed(spans, &format!("expectations[{index}]"), text)?);
    }
    let mut variants = Vec::new();
    for (index, table) in file.variants.into_iter().enumerate() {
        let key = format!("variants[{index}]");
        let ack = match table.ack {
            Some(ack) => {
                let ack = spans.take(&format!("{key}.ack"), ack);
                one_of(
                    &format!("{key}.ack"),
                    &ack,
                    &names(Ack::KNOWN.iter().map(Ack::as_str)),
                )?;
                Some(Ack::named(&ack))
            }
            None => None,
        };
        variants.push(Variant {
            name: spans.take(&format!("{key}.name"), table.name),
            ack,
            driver: None,
            settings: table.set,
        });
    }
    Ok(Scenario {
        name: name.to_owned(),
        title: spans.take("title", file.title),
        question: spans.take("question", file.question),
        products: products(file.products, spans)?,
        engines: spans.take("engines", file.engines),
        variants,
        driver: DriverKind::named(&driver),
        ack: Ack::named(&ack),
        rounds: match file.rounds {
            Some(rounds) => spans.count("rounds", rounds)?,
            None => 1,
        },
        load: load(file.load, spans)?,
        phases,
        consumer_held_back: consumer == CONSUMER_MODES[1],
        may_sell_out: file.may_sell_out,
        unsafe_engines: file.unsafe_engines,
        search: file
            .objective
            .as_ref()
            .is_some_and(|objective| objective.search),
        objective: file
            .objective
            .map(|table| objective(table, spans))
            .transpose()?,
        limits: file.limits.map(|table| limits(table, spans)).transpose()?,
        reference: file.reference,
        expectations,
    })
}

fn products(table: ProductsTable, spans: &mut KeySpans) -> Result<Products, BrokenRule> {
    Ok(Products {
        count: match table.count {
            Some(count) => spans.count("products.count", count)?,
            None => 1,
        },
        total: table.total.map(|total| spans.take("products.total", total)),
        price_cents: spans.take("products.price_cents", table.price_cents),
        time_to_pay: match table.time_to_pay {
            Some(time) => Some(duration(spans, "products.time_to_pay", time)?),
            None => None,
        },
    })
}

fn load(table: LoadTable, spans: &mut KeySpans) -> Result<Load, BrokenRule> {
    let popularity = match table.popularity {
        Some(popularity) => spans.take("load.popularity", popularity),
        None => Popularity::Uniform.as_str().to_owned(),
    };
    one_of(
        "load.popularity",
        &popularity,
        &names(Popularity::KNOWN.iter().map(Popularity::as_str)),
    )?;
    Ok(Load {
        connections: spans.count("load.connections", table.connections)?,
        threads: match table.threads {
            Some(threads) => Some(spans.count("load.threads", threads)?),
            None => None,
        },
        timeout: duration(spans, "load.timeout", table.timeout)?,
        users: match table.users {
            Some(users) => Some(spans.count("load.users", users)?),
            None => None,
        },
        max_quantity: spans.count("load.max_quantity", table.max_quantity)?,
        seed: spans.count("load.seed", table.seed)?,
        popularity: Popularity::named(&popularity),
        zipf_exponent: table
            .zipf_exponent
            .map(|exponent| spans.take("load.zipf_exponent", exponent)),
        may_wrap: table.may_wrap,
        after: table.after.map(|table| after(table, spans)).transpose()?,
    })
}

fn after(table: Spanned<AfterTable>, spans: &mut KeySpans) -> Result<After, BrokenRule> {
    let table = spans.take("load.after", table);
    let text = spans.take("load.after.delay", table.delay);
    let (delay_min, delay_max) = parse_delay(&text).map_err(|message| BrokenRule {
        key: "load.after.delay".to_owned(),
        message: format!("\"{text}\": {message}, or two such times, as in 50ms..500ms"),
    })?;
    let mut share = |name: &str, value: Option<Spanned<f64>>| {
        let key = format!("load.after.{name}");
        value.map_or(0.0, |value| spans.take(&key, value))
    };
    Ok(After {
        cancel: share("cancel", table.cancel),
        pay: share("pay", table.pay),
        cancel_and_pay: share("cancel_and_pay", table.cancel_and_pay),
        again: share("again", table.again),
        twice: share("twice", table.twice),
        delay_min,
        delay_max,
    })
}

fn phase(index: usize, table: PhaseTable, spans: &mut KeySpans) -> Result<PhasePlan, BrokenRule> {
    let key = |field: &str| format!("phases[{index}].{field}");
    let name = spans.take(&key("name"), table.name);
    let purpose = spans.take(&key("purpose"), table.purpose);
    one_of(&key("purpose"), &purpose, &PURPOSES)?;
    let shape = match table.arrival {
        Some(shape) => spans.take(&key("arrival"), shape),
        None => SHAPES[0].to_owned(),
    };
    one_of(&key("arrival"), &shape, &SHAPES)?;
    let missing = |field: &str| BrokenRule {
        key: key("name"),
        message: format!("the phase \"{name}\" with arrival \"{shape}\" needs {field}"),
    };
    let mut rates = Vec::new();
    let given = table
        .rate
        .into_iter()
        .chain(table.rates.unwrap_or_default());
    for rate in given {
        let field = key("rate");
        let rate = spans.take(&field, rate);
        rates.push(rate.parsed().map_err(|message| BrokenRule {
            key: field,
            message,
        })?);
    }
    let mut rates = rates.into_iter();
    let mut next_rate = |field: &str| rates.next().ok_or_else(|| missing(field));
    let shape = match shape.as_str() {
        "closed" => None,
        "constant" => Some(OpenShape::Constant {
            rate: next_rate("rate")?,
        }),
        "poisson" => Some(OpenShape::Poisson {
            rate: next_rate("rate")?,
        }),
        "line" => Some(OpenShape::Line {
            from: next_rate("rates = [from, to]")?,
            to: next_rate("rates = [from, to]")?,
        }),
        "step" => {
            let first: Rate = next_rate("rates = [first, second, …]")?;
            Some(OpenShape::Step {
                rates: std::iter::once(first).chain(rates.by_ref()).collect(),
            })
        }
        _ => {
            let buyers = table.buyers.ok_or_else(|| missing("buyers"))?;
            Some(OpenShape::Spike {
                buyers: spans.count(&key("buyers"), buyers)?,
            })
        }
    };
    if rates.next().is_some() {
        return Err(BrokenRule {
            key: key("rate"),
            message: format!("the phase \"{name}\" has more rates than its arrival takes"),
        });
    }
    let arrival = match shape {
        None => Arrival::Closed {
            concurrency: spans.count(
                &key("concurrency"),
                table.concurrency.ok_or_else(|| missing("concurrency"))?,
            )?,
        },
        Some(shape) => Arrival::Open {
            shape,
            backlog_max: match table.backlog {
                Some(backlog) => spans.count(&key("backlog"), backlog)?,
                None => BACKLOG_MAX,
            },
        },
    };
    let spike = match &arrival {
        Arrival::Open {
            shape: OpenShape::Spike { buyers },
            ..
        } => Some(*buyers),
        _ => None,
    };
    let end = match (table.requests, table.time) {
        (None, None) if spike.is_some() => End::Requests(spike.unwrap_or_default()),
        _ if spike.is_some() => {
            return Err(missing(
                "neither requests nor time, as it ends with its buyers",
            ));
        }
        (Some(requests), None) => End::Requests(spans.count(&key("requests"), requests)?),
        (None, Some(time)) => End::Time(duration(spans, &key("time"), time)?),
        _ => return Err(missing("either requests or time")),
    };
    Ok(PhasePlan {
        name,
        purpose: purpose_named(&purpose),
        arrival,
        end,
    })
}

fn purpose_named(name: &str) -> Purpose {
    Purpose::named(&name.replace('-', "_"))
}

fn objective(table: ObjectiveTable, spans: &mut KeySpans) -> Result<Objective, BrokenRule> {
    let p99 = match table.p99 {
        Some(p99) => Some(duration(spans, "objective.p99", p99)?),
        None => None,
    };
    Ok(Objective {
        p99_ns_max: p99.map(|p99| u64::try_from(p99.as_nanos()).unwrap_or(u64::MAX)),
        failed_share_max: table
            .failed_share
            .map(|share| spans.take("objective.failed_share", share)),
    })
}

fn limits(table: LimitsTable, spans: &mut KeySpans) -> Result<LimitsWanted, BrokenRule> {
    let memory_bytes = match table.memory_mib {
        Some(mib) => {
            let mib: u64 = spans.count("limits.memory_mib", mib)?;
            Some(mib << 20)
        }
        None => None,
    };
    Ok(LimitsWanted {
        cpus: table.cpus.map(|cpus| spans.take("limits.cpus", cpus)),
        memory_bytes,
    })
}

fn duration(
    spans: &mut KeySpans,
    key: &str,
    text: Spanned<String>,
) -> Result<Duration, BrokenRule> {
    let text = spans.take(key, text);
    parse_duration(&text).map_err(|message| BrokenRule {
        key: key.to_owned(),
        message: format!("\"{text}\": {message}"),
    })
}

fn parsed(spans: &mut KeySpans, key: &str, text: Spanned<String>) -> Result<Expected, BrokenRule> {
    spans
        .take(key, text)
        .parse()
        .map_err(|error: ExpectError| BrokenRule {
            key: key.to_owned(),
            message: error.to_string(),
        })
}

fn names<'a>(known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    known.collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}
