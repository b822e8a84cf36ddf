//! How many units of some sales were committed, as the allocation guard counts them, those of orders
//! that were cancelled since among them. The timeline, the share committed at the last reply and the
//! end of the drain are all measured by this.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::tables::Tables;

/// Time between two points of the timeline.
pub(super) const TIMELINE: Duration = Duration::from_millis(250);
/// A database that does not answer one small query for this long has stalled.
const QUERY_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct CommittedUnits {
    tables: Tables,
    /// `IN (…)` of the sales that are counted.
    products: String,
    /// Orders may have been cancelled.
    has_releases: bool,
}

impl CommittedUnits {
    /// `has_releases` where orders may be cancelled: it costs a scan of those that were.
    pub(super) async fn open(
        database_url: &str,
        products: &[i64],
        has_releases: bool,
    ) -> anyhow::Result<Self> {
        let products: Vec<String> = products.iter().map(i64::to_string).collect();
        Ok(Self {
            tables: Tables::open(database_url).await?,
            products: products.join(", "),
            has_releases,
        })
    }

    /// Units sold over all allocations of these sales, and units that were and came back.
    pub(super) async fn units(&mut self) -> anyhow::Result<u64> {
        let products = &self.products;
        let sold = format!(
            "SELECT CAST(COALESCE(SUM(sold), 0) AS SIGNED) FROM allocations WHERE product_id IN ({products})"
        );
        // One statement sees both sides of a cancel, or neither.
        let query = match self.has_releases {
            true => format!(
                "SELECT ({sold}) + (SELECT CAST(COALESCE(SUM(quantity), 0) AS SIGNED) FROM outbox \
                 WHERE kind = 'release' AND product_id IN ({products}))"
            ),
            false => sold,
        };
        self.number(&query).await
    }

    /// Cancelled orders whose units are not back yet.
    pub(super) async fn releases_left(&mut self) -> anyhow::Result<u64> {
        let query = format!(
            "SELECT COUNT(*) FROM outbox WHERE kind = 'release' AND released_at_ms IS NULL AND product_id IN ({})",
            self.products
        );
        match self.has_releases {
            true => self.number(&query).await,
            false => Ok(0),
        }
    }

    async fn number(&mut self, query: &str) -> anyhow::Result<u64> {
        let sums = tokio::time::timeout(QUERY_LIMIT, self.tables.integers(query))
            .await
            .with_context(|| {
                format!(
                    "the database did not answer for {} s",
                    QUERY_LIMIT.as_secs()
                )
            })?
            .context("the committed units cannot be read")?;
        Ok(sums
            .first()
            .map_or(0, |sum| u64::try_from(*sum).unwrap_or(0)))
    }
}

/// Reads the count again and again in the background, and holds the newest one.
#[derive(Debug)]
pub(super) struct CommittedWatch {
    newest: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl CommittedWatch {
    pub(super) async fn start(database_url: &str, products: &[i64]) -> anyhow::Result<Self> {
        // The timeline is of what the guard counts: a scan of all releases, four times a second, would
        // disturb what is measured.
        let mut committed = CommittedUnits::open(database_url, products, false).await?;
        let (sender, newest) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TIMELINE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // If the database fails, the leg ends elsewhere, with the reason; the timeline
                // merely stops.
                let Ok(units) = committed.units().await else {
                    return;
                };
                if sender.send(units).is_err() {
                    return;
                }
            }
        });
        Ok(Self { newest, task })
    }

    pub(super) fn units(&self) -> u64 {
        *self.newest.borrow()
    }
}

impl Drop for CommittedWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
