//! What a leg has to do with orders that do not end with the yes: who cancels them, and when nothing
//! about them moves any more.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::LegWork;
use crate::audit::ExpectedSale;
use crate::bench::progress::Planned;
use crate::bench::releases;
use crate::scenario::After;
use crate::tables::Tables;

/// How long the last order may take to expire once its time is over, and its units to be back.
const EXPIRY_LIMIT: Duration = Duration::from_secs(60);
const EXPIRY_POLL: Duration = Duration::from_millis(100);

impl LegWork<'_> {
    /// What buyers do after the yes; nothing where there are no orders.
    pub(super) fn after(&self) -> Option<&After> {
        let after = self.context.scenario.load.after.as_ref();
        after.filter(|_| self.plan.subject.sells())
    }

    /// Whether orders are cancelled, so that their units come back.
    pub(super) fn releases(&self) -> bool {
        self.after().is_some() || self.plan.subject.time_to_pay().is_some()
    }

    /// As the audit expects them.
    pub(super) fn expected_sales(&self) -> Vec<ExpectedSale> {
        let time_to_pay = self.plan.subject.time_to_pay();
        let time_to_pay_ms =
            time_to_pay.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let sales = self.sales().into_iter();
        let expected = sales.map(|sale| ExpectedSale {
            product_id: sale.product_id,
            total: sale.total,
            price_cents: sale.price_cents,
            time_to_pay_ms,
        });
        expected.collect()
    }

    /// Waits until no order of the leg can expire any more, so that nothing moves under the audit.
    pub(super) async fn expired(&self, products: &[i64]) -> anyhow::Result<()> {
        let Some(time_to_pay) = self.plan.subject.time_to_pay() else {
            return Ok(());
        };
        let context = self.context;
        let database_url = context.stack.database_url(&self.namespace.database);
        let waiting = wait_expired(&database_url, products, time_to_pay);
        let mut phase = context.progress.phase("expiry", Planned::Unknown);
        phase.during(waiting).await
    }
}

async fn wait_expired(
    database_url: &str,
    products: &[i64],
    time_to_pay: Duration,
) -> anyhow::Result<()> {
    let products: Vec<String> = products.iter().map(i64::to_string).collect();
    let products = products.join(", ");
    let unpaid =
        format!("SELECT COUNT(*) FROM orders WHERE status = 0 AND product_id IN ({products})");
    let mut tables = Tables::open(database_url).await?;
    let releases = releases::tables(&mut tables).await?.into_iter();
    let unreleased: Vec<String> = releases
        .map(|releases| releases::left(releases, &products))
        .collect();
    let (started, limit) = (Instant::now(), time_to_pay + EXPIRY_LIMIT);
    loop {
        let unpaid: i64 = tables.integers(&unpaid).await?.iter().sum();
        let mut left: i64 = 0;
        for unreleased in &unreleased {
            left += tables.integers(unreleased).await?.iter().sum::<i64>();
        }
        if unpaid + left == 0 {
            return Ok(());
        }
        if started.elapsed() > limit {
            bail!(
                "{unpaid} orders have not expired within {} s although nobody paid them, and {left} releases are left",
                limit.as_secs()
            );
        }
        tokio::time::sleep(EXPIRY_POLL).await;
    }
}
