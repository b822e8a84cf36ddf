//! The drain of a leg: waits until everything accepted is committed and the engine has no open hold
//! left.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::bench::committed_units::CommittedUnits;
use crate::bench::stock_inspector::StockInspector;

/// Longest drain that is waited for.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);
/// Time between two looks, which limits the precision of a drain time.
const DRAIN_POLL: Duration = Duration::from_millis(20);

pub(super) async fn wait(
    database_url: &str,
    inspector: &mut StockInspector,
    product_id: i64,
    accepted_units: u64,
) -> anyhow::Result<()> {
    let mut committed = CommittedUnits::open(database_url, product_id).await?;
    let started = Instant::now();
    loop {
        let units = committed.units().await?;
        let open = match inspector.stock(product_id).await {
            Ok(stock) if stock.open_units == 0 && units >= accepted_units => return Ok(()),
            Ok(stock) => format!("{} units are open", stock.open_units),
            Err(status) => format!(
                "the open units are unknown ({}: {})",
                status.code(),
                status.message()
            ),
        };
        if started.elapsed() > DRAIN_LIMIT {
            bail!(
                "not drained within {} s: {units} of {accepted_units} accepted units are committed, {open}",
                DRAIN_LIMIT.as_secs()
            );
        }
        tokio::time::sleep(DRAIN_POLL).await;
    }
}
