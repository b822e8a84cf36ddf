//! How many units of some sales are committed, as the allocation guard counts them. The timeline, the
//! share committed at the last reply and the end of the drain are all measured by this.

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
}

impl CommittedUnits {
    pub(super) async fn open(database_url: &str, products: &[i64]) -> anyhow::Result<Self> {
        let products: Vec<String> = products.iter().map(i64::to_string).collect();
        Ok(Self {
            tables: Tables::open(database_url).await?,
            products: products.join(", "),
        })
    }

    /// Units sold over all allocations of these sales.
    pub(super) async fn units(&mut self) -> anyhow::Result<u64> {
        let query = format!(
            "SELECT CAST(COALESCE(SUM(sold), 0) AS SIGNED) FROM allocations WHERE product_id IN ({})",
            self.products
        );
        let sums = tokio::time::timeout(QUERY_LIMIT, self.tables.integers(&query))
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
        let mut committed = CommittedUnits::open(database_url, products).await?;
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
