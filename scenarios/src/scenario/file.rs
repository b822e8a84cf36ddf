//! A scenario's TOML form. Every value keeps its place in the file, so that a broken rule can point
//! at its line.

use std::collections::BTreeMap;
use std::ops::Range;

use reports::model::{AckMode, ReferenceRow};
use serde::Deserialize;
use toml::Spanned;

use super::rules::{ACK_MODES, CONSUMER_MODES, Fault, one_of};
use super::{Expectations, Load, Sale, Scenario};

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
    /// `my.toml:12: requests = 0 is out of range; allowed: 1 to 100000000`. No line: the whole file
    /// is at fault.
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: Spanned<String>,
    question: Spanned<String>,
    engines: Spanned<Vec<String>>,
    driver: Spanned<String>,
    ack: Option<Spanned<String>>,
    consumer: Option<Spanned<String>>,
    rounds: Option<Spanned<i64>>,
    sales: Vec<Spanned<SaleTable>>,
    load: LoadTable,
    warmup: Option<WarmupTable>,
    #[serde(default)]
    reference: Vec<ReferenceRow>,
    #[serde(default)]
    expectations: ExpectationsTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaleTable {
    product: Spanned<i64>,
    total: Spanned<i64>,
    price_cents: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadTable {
    concurrency: Spanned<i64>,
    connections: Spanned<i64>,
    requests: Spanned<i64>,
    timeout_ms: Spanned<i64>,
    users: Spanned<i64>,
    max_quantity: Spanned<i64>,
    seed: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WarmupTable {
    requests: Spanned<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ExpectationsTable {
    errors: Option<Spanned<i64>>,
    p99_ms_max: Option<Spanned<f64>>,
    requests_per_s_min: Option<Spanned<f64>>,
    committed_at_last_reply_min: Option<Spanned<f64>>,
    system_cpu_until_reply_us_max: Option<Spanned<f64>>,
    system_cpu_until_drained_us_max: Option<Spanned<f64>>,
    audit: Option<Spanned<String>>,
}

pub(super) fn parse(name: &str, file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let error = |span: Option<Range<usize>>, message: String| ScenarioError::Invalid {
        file: file.to_owned(),
        line: span.map(|span| line_of(text, span.start)),
        message,
    };
    let parsed: File = toml::from_str(text).map_err(|problem| {
        // TOML's message may hold a second line with the expected kinds; an error here is one
        // sentence.
        error(problem.span(), problem.message().replace('\n', ", "))
    })?;
    let mut places = Places::default();
    let scenario = convert(name, parsed, &mut places);
    let checked = scenario.and_then(|scenario| scenario.check().map(|()| scenario));
    checked.map_err(|fault| error(places.of(fault.key), fault.message))
}

fn convert(name: &str, file: File, places: &mut Places) -> Result<Scenario, Fault> {
    let ack = file
        .ack
        .map_or_else(|| "confirmed".to_owned(), |ack| places.take("ack", ack));
    let consumer = file.consumer.map_or_else(
        || "running".to_owned(),
        |consumer| places.take("consumer", consumer),
    );
    let mut sales = Vec::with_capacity(file.sales.len());
    for sale in file.sales {
        let sale = places.take("sales", sale);
        sales.push(Sale {
            product_id: places.take("sales.product", sale.product),
            total: places.take("sales.total", sale.total),
            price_cents: places.take("sales.price_cents", sale.price_cents),
        });
    }
    let scenario = Scenario {
        name: name.to_owned(),
        title: places.take("title", file.title),
        question: places.take("question", file.question),
        sales,
        engines: places.take("engines", file.engines),
        driver: places.take("driver", file.driver),
        ack: AckMode::Confirmed,
        consumer_held_back: consumer == "held-back",
        rounds: file
            .rounds
            .map_or(Ok(1), |rounds| places.count("rounds", rounds))?,
        load: Load {
            concurrency: places.count("load.concurrency", file.load.concurrency)?,
            connections: places.count("load.connections", file.load.connections)?,
            requests: places.count("load.requests", file.load.requests)?,
            timeout_ms: places.count("load.timeout_ms", file.load.timeout_ms)?,
            users: places.count("load.users", file.load.users)?,
            max_quantity: places.count("load.max_quantity", file.load.max_quantity)?,
            seed: places.count("load.seed", file.load.seed)?,
        },
        warmup_requests: file.warmup.map_or(Ok(0), |warmup| {
            places.count("warmup.requests", warmup.requests)
        })?,
        reference: file.reference,
        expectations: expectations(file.expectations, places)?,
    };
    one_of("ack", &ack, &ACK_MODES)?;
    one_of("consumer", &consumer, &CONSUMER_MODES)?;
    Ok(Scenario {
        ack: ack_mode(&ack),
        ..scenario
    })
}

/// `name` is one of `ACK_MODES`.
fn ack_mode(name: &str) -> AckMode {
    if name == "published" {
        AckMode::Published
    } else {
        AckMode::Confirmed
    }
}

fn expectations(table: ExpectationsTable, places: &mut Places) -> Result<Expectations, Fault> {
    let errors = table
        .errors
        .map(|errors| places.count("expectations.errors", errors))
        .transpose()?;
    let mut number = |key, value: Option<Spanned<f64>>| value.map(|value| places.take(key, value));
    let expectations = Expectations {
        errors,
        p99_ms_max: number("expectations.p99_ms_max", table.p99_ms_max),
        requests_per_s_min: number("expectations.requests_per_s_min", table.requests_per_s_min),
        committed_at_last_reply_min: number(
            "expectations.committed_at_last_reply_min",
            table.committed_at_last_reply_min,
        ),
        system_cpu_until_reply_us_max: number(
            "expectations.system_cpu_until_reply_us_max",
            table.system_cpu_until_reply_us_max,
        ),
        system_cpu_until_drained_us_max: number(
            "expectations.system_cpu_until_drained_us_max",
            table.system_cpu_until_drained_us_max,
        ),
    };
    if let Some(audit) = table.audit {
        let audit = places.take("expectations.audit", audit);
        if audit != "passed" {
            let message = format!(
                "audit = \"{audit}\" cannot be expected; allowed: \"passed\" (it must pass in any case)"
            );
            return Err(Fault {
                key: "expectations.audit",
                message,
            });
        }
    }
    Ok(expectations)
}

/// Where each key's value stands in the text. With several sales the last one wins, and then the
/// rule that is broken is their number.
#[derive(Default)]
struct Places(BTreeMap<&'static str, Range<usize>>);

impl Places {
    fn take<T>(&mut self, key: &'static str, value: Spanned<T>) -> T {
        self.0.insert(key, value.span());
        value.into_inner()
    }

    /// A number that is never negative; its exact range is a matter of the rules.
    fn count<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        value: Spanned<i64>,
    ) -> Result<T, Fault> {
        let number = self.take(key, value);
        T::try_from(number).map_err(|_| {
            let name = key.rsplit('.').next().unwrap_or(key);
            let allowed = if number < 0 {
                "no negative number"
            } else {
                "a smaller number"
            };
            Fault {
                key,
                message: format!("{name} = {number} is out of range; allowed: {allowed}"),
            }
        })
    }

    fn of(&self, key: &str) -> Option<Range<usize>> {
        self.0.get(key).cloned()
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}
