//! The oracle: after a leg it reads the database and what the driver was told, and judges whether
//! the consistency contract holds, invariants (a) to (f). It shares no code with the system and
//! trusts none of the database's constraints. A run that it cannot judge is an error, never a pass.

mod bounded_list;
mod changes;
mod checks;
mod command;
mod database;
mod lives;
mod outcome_index;
mod releases;
mod tally;
mod text;

pub use command::{AuditArgs, command};
pub use text::text;

use anyhow::{Context, bail};
use database::Snapshot;
use outcome_index::OutcomeIndex;
use reports::result::AuditReport;
use std::{collections::BTreeSet, path::PathBuf, time::Duration};
use tally::Tally;

/// An audit that takes longer than this is given up. 500,000 rows take seconds, so the database
/// must have stalled.
const AUDIT_LIMIT: Duration = Duration::from_secs(600);

/// How far the clocks of drivers, services and database may be apart; they run on one machine. A
/// fault that lasted no longer than this may go unnoticed.
const CLOCK_MARGIN_MS: i64 = 250;

const ENGINE_NOT_ASKED: &str = "the engine's own count of what is left: it was not asked";

/// What to judge, and against what.
#[derive(Clone, Debug)]
pub struct AuditInput {
    /// `mysql://user[:password]@host:port/database` or `sqlite:///path/of.db`.
    pub database_url: String,
    /// One outcome log per driver; together they hold every request that was ever sent to these
    /// sales.
    pub logs: Vec<PathBuf>,
    pub sales: Vec<ExpectedSale>,
    /// What the engine says about its stock once the run has come to rest. It is only
    /// cross-checked, and may be empty, which the report says; where one sale is there, all must be.
    pub engine_stock: Vec<EngineStock>,
}

/// A sale as the scenario set it up, with which the database is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedSale {
    pub product_id: i64,
    pub total: i64,
    pub price_cents: i64,
    /// After this time an order that is not paid may be cancelled by the system itself; None: never.
    pub time_to_pay_ms: Option<i64>,
}

/// An engine's own count of one sale, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStock {
    pub product_id: i64,
    pub remaining: i64,
    pub open_units: i64,
}

/// Judges a run that has come to rest. A violated invariant is a failed report.
///
/// # Errors
/// When there is nothing to judge (no log, no request, no sale, a sale that the database does not
/// know) or the log or the database cannot be read.
pub async fn audit(input: &AuditInput) -> anyhow::Result<AuditReport> {
    refuse_unusable(input)?;
    tokio::time::timeout(AUDIT_LIMIT, Box::pin(judge(input)))
        .await
        .with_context(|| format!("the audit was not done after {} s", AUDIT_LIMIT.as_secs()))?
}

async fn judge(input: &AuditInput) -> anyhow::Result<AuditReport> {
    let logs = input.logs.clone();
    let outcomes = tokio::task::spawn_blocking(move || OutcomeIndex::read(&logs)).await??;
    refuse_unlisted_products(&outcomes, &input.sales)?;

    let mut snapshot = Snapshot::open(&input.database_url).await?;
    let sales = snapshot.sales(&input.sales).await?;
    let mut tally = Tally::new(&outcomes, &sales, snapshot.releases().await?);
    snapshot.each_parked(|parked| tally.parked(parked)).await?;
    snapshot.each_order(|order| tally.order(order)).await?;
    tally.end();
    snapshot.close().await;

    let checks = checks::conclude(&outcomes, &sales, tally, &input.engine_stock);
    let mut report = AuditReport::of(checks);
    if input.engine_stock.is_empty() {
        report.blind_spots.push(ENGINE_NOT_ASKED.to_owned());
    }
    Ok(report)
}

fn refuse_unusable(input: &AuditInput) -> anyhow::Result<()> {
    if input.logs.is_empty() {
        bail!(
            "no outcome log to audit: without what the buyers were told there is nothing to judge"
        );
    }
    if input.sales.is_empty() {
        bail!("no sale to audit: name at least one as PRODUCT:TOTAL:PRICE_CENTS");
    }
    let mut known = BTreeSet::new();
    for sale in &input.sales {
        if sale.total < 0 || sale.price_cents < 0 {
            bail!(
                "sale {}: total and price must not be negative",
                sale.product_id
            );
        }
        if !known.insert(sale.product_id) {
            bail!("sale {} is listed twice", sale.product_id);
        }
    }
    if let Some(stray) = input
        .engine_stock
        .iter()
        .find(|stock| !known.contains(&stock.product_id))
    {
        bail!(
            "the engine's stock of product {} belongs to no audited sale",
            stray.product_id
        );
    }
    Ok(())
}

/// Units sold of a product that is not among the audited sales cannot be judged, and ignoring them
/// would hide an oversale.
fn refuse_unlisted_products(outcomes: &OutcomeIndex, sales: &[ExpectedSale]) -> anyhow::Result<()> {
    let listed = |product_id| sales.iter().any(|sale| sale.product_id == product_id);
    let stray = outcomes
        .accepted_records()
        .find(|record| !listed(record.product_id));
    if let Some(record) = stray {
        let names: Vec<String> = sales
            .iter()
            .map(|sale| sale.product_id.to_string())
            .collect();
        bail!(
            "the outcome log says that product {} was sold, but it is not among the audited sales ({})",
            record.product_id,
            names.join(", ")
        );
    }
    Ok(())
}
