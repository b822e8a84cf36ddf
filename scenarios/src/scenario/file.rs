//! A scenario in its TOML form. The position of every value in the file is kept, so that an error
//! about a broken rule can name the line.

use std::collections::BTreeMap;
use std::ops::Range;

use reports::model::{AckMode, ReferenceRow};
use serde::Deserialize;
use toml::Spanned;

use super::rules::{BrokenRule, CONSUMER_MODES, one_of};
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
        // TOML's message may have a second line with the expected types; an error here is one
        // sentence.
        error(problem.span(), problem.message().replace('\n', ", "))
    })?;
    let mut spans = KeySpans::default();
    let scenario = convert(name, parsed, &mut spans);
    let checked = scenario.and_then(|scenario| scenario.check().map(|()| scenario));
    checked.map_err(|broken| error(spans.of(broken.key), broken.message))
}

fn convert(name: &str, file: File, spans: &mut KeySpans) -> Result<Scenario, BrokenRule> {
    let ack = file.ack.map_or_else(
        || AckMode::default().as_str().to_owned(),
        |ack| spans.take("ack", ack),
    );
    let consumer = file.consumer.map_or_else(
        || "running".to_owned(),
        |consumer| spans.take("consumer", consumer),
    );
    let mut sales = Vec::with_capacity(file.sales.len());
    for sale in file.sales {
        let sale = spans.take("sales", sale);
        sales.push(Sale {
            product_id: spans.take("sales.product", sale.product),
            total: spans.take("sales.total", sale.total),
            price_cents: spans.take("sales.price_cents", sale.price_cents),
        });
    }
    let scenario = Scenario {
        name: name.to_owned(),
        title: spans.take("title", file.title),
        question: spans.take("question", file.question),
        sales,
        engines: spans.take("engines", file.engines),
        driver: spans.take("driver", file.driver),
        ack: AckMode::default(),
        consumer_held_back: consumer == "held-back",
        rounds: file
            .rounds
            .map_or(Ok(1), |rounds| spans.count("rounds", rounds))?,
        load: Load {
            concurrency: spans.count("load.concurrency", file.load.concurrency)?,
            connections: spans.count("load.connections", file.load.connections)?,
            requests: spans.count("load.requests", file.load.requests)?,
            timeout_ms: spans.count("load.timeout_ms", file.load.timeout_ms)?,
            users: spans.count("load.users", file.load.users)?,
            max_quantity: spans.count("load.max_quantity", file.load.max_quantity)?,
            seed: spans.count("load.seed", file.load.seed)?,
        },
        warmup_requests: file.warmup.map_or(Ok(0), |warmup| {
            spans.count("warmup.requests", warmup.requests)
        })?,
        reference: file.reference,
        expectations: expectations(file.expectations, spans)?,
    };
    one_of("ack", &ack, &AckMode::ALL.map(AckMode::as_str))?;
    one_of("consumer", &consumer, &CONSUMER_MODES)?;
    Ok(Scenario {
        ack: AckMode::named(&ack).unwrap_or_default(),
        ..scenario
    })
}

fn expectations(
    table: ExpectationsTable,
    spans: &mut KeySpans,
) -> Result<Expectations, BrokenRule> {
    let errors = table
        .errors
        .map(|errors| spans.count("expectations.errors", errors))
        .transpose()?;
    let mut number = |key, value: Option<Spanned<f64>>| value.map(|value| spans.take(key, value));
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
        let audit = spans.take("expectations.audit", audit);
        if audit != "passed" {
            let message = format!(
                "audit = \"{audit}\" cannot be expected; allowed: \"passed\" (it must pass in any case)"
            );
            return Err(BrokenRule {
                key: "expectations.audit",
                message,
            });
        }
    }
    Ok(expectations)
}

/// Where in the text the value of each key stands. With several sales the last one counts, because
/// then the broken rule is that there are several.
#[derive(Default)]
struct KeySpans(BTreeMap<&'static str, Range<usize>>);

impl KeySpans {
    fn take<T>(&mut self, key: &'static str, value: Spanned<T>) -> T {
        self.0.insert(key, value.span());
        value.into_inner()
    }

    /// A number that must not be negative; its exact range is for `rules` to check.
    fn count<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        value: Spanned<i64>,
    ) -> Result<T, BrokenRule> {
        let number = self.take(key, value);
        T::try_from(number).map_err(|_| {
            let name = key.rsplit('.').next().unwrap_or(key);
            let allowed = if number < 0 {
                "no negative number"
            } else {
                "a smaller number"
            };
            BrokenRule {
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
