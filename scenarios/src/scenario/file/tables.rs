//! The tables of a scenario file, as TOML has them.

use std::collections::BTreeMap;

use reports::result::ReferenceRow;
use serde::Deserialize;
use toml::Spanned;

use crate::scenario::Rate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub title: Spanned<String>,
    pub question: Spanned<String>,
    pub engines: Spanned<Vec<String>>,
    pub driver: Spanned<String>,
    pub ack: Option<Spanned<String>>,
    pub consumer: Option<Spanned<String>>,
    pub rounds: Option<Spanned<i64>>,
    #[serde(default)]
    pub may_sell_out: bool,
    #[serde(default)]
    pub unsafe_engines: bool,
    #[serde(default)]
    pub expectations: Vec<Spanned<String>>,
    pub products: ProductsTable,
    pub load: LoadTable,
    pub phases: Vec<PhaseTable>,
    #[serde(default)]
    pub variants: Vec<VariantTable>,
    pub objective: Option<ObjectiveTable>,
    pub limits: Option<LimitsTable>,
    #[serde(default)]
    pub reference: Vec<ReferenceRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductsTable {
    pub count: Option<Spanned<i64>>,
    pub total: Option<Spanned<i64>>,
    pub price_cents: Spanned<i64>,
    pub time_to_pay: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadTable {
    pub connections: Spanned<i64>,
    pub threads: Option<Spanned<i64>>,
    pub timeout: Spanned<String>,
    pub users: Option<Spanned<i64>>,
    pub max_quantity: Spanned<i64>,
    pub seed: Spanned<i64>,
    pub popularity: Option<Spanned<String>>,
    pub zipf_exponent: Option<Spanned<f64>>,
    #[serde(default)]
    pub may_wrap: bool,
    pub after: Option<Spanned<AfterTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterTable {
    pub cancel: Option<Spanned<f64>>,
    pub pay: Option<Spanned<f64>>,
    pub cancel_and_pay: Option<Spanned<f64>>,
    pub again: Option<Spanned<f64>>,
    pub twice: Option<Spanned<f64>>,
    pub delay: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhaseTable {
    pub name: Spanned<String>,
    pub purpose: Spanned<String>,
    pub arrival: Option<Spanned<String>>,
    pub concurrency: Option<Spanned<i64>>,
    pub rate: Option<Spanned<RateValue>>,
    pub rates: Option<Vec<Spanned<RateValue>>>,
    pub buyers: Option<Spanned<i64>>,
    pub backlog: Option<Spanned<i64>>,
    pub requests: Option<Spanned<i64>>,
    pub time: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RateValue {
    PerS(f64),
    Text(String),
}

impl RateValue {
    pub(super) fn parsed(self) -> Result<Rate, String> {
        match self {
            Self::PerS(per_s) => Ok(Rate::PerS(per_s)),
            Self::Text(text) => text.parse(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariantTable {
    pub name: Spanned<String>,
    pub ack: Option<Spanned<String>>,
    #[serde(default)]
    pub set: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectiveTable {
    pub p99: Option<Spanned<String>>,
    pub failed_share: Option<Spanned<f64>>,
    #[serde(default)]
    pub search: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable {
    pub cpus: Option<Spanned<f64>>,
    pub memory_mib: Option<Spanned<i64>>,
}
