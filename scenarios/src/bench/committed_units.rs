//! How many units of some sales were committed, as the allocation guard counts them, those of orders
//! that were cancelled since among them. The timeline, the share committed at the last reply and the
//! end of the drain are all measured by this.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::releases;
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
    /// Where the releases of orders are that may have been cancelled.
    releases: Vec<&'static str>,
}

impl CommittedUnits {
    /// `has_releases` where orders may be cancelled: it costs a scan of those that were.
    pub(super) async fn open(
        database_url: &str,
        products: &[i64],
        has_releases: bool,
    ) -> anyhow::Result<Self> {
        let products: Vec<String> = products.iter().map(i64::to_string).collect();
        let mut tables = Tables::open(database_url).await?;
        let releases = match has_releases {
            true => releases::tables(&mut tables).await?,
            false => Vec::new(),
        };
        Ok(Self {
            tables,
            products: products.join(", "),
            releases,
        })
    }

    /// Units sold over all allocations of these sales, and units that were and came back.
    pub(super) async fn units(&mut self) -> anyhow::Result<u64> {
        let products = &self.products;
        let sold = format!(
            "SELECT CAST(COALESCE(SUM(sold), 0) AS SIGNED) FROM allocations WHERE product_id IN ({products})"
        );
        // One statement sees both sides of a cancel, or neither.
        let released = self.releases.iter().map(|releases| {
            format!(" + (SELECT CAST(COALESCE(SUM(units), 0) AS SIGNED) FROM ({releases}) r WHERE product_id IN ({products}))")
        });
        let released: String = released.collect();
        self.number(&format!("SELECT ({sold}){released}")).await
    }

    /// Cancelled orders whose units are not back yet.
    pub(super) async fn releases_left(&mut self) -> anyhow::Result<u64> {
        let mut left = 0;
        for releases in self.releases.clone() {
            left += self
                .number(&releases::left(releases, &self.products))
                .await?;
        }
        Ok(left)
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
