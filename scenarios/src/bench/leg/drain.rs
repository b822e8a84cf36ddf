//! The drain of a leg: waits until everything accepted is committed and the engine has no open hold
//! left.

use std::time::{Duration, Instant};

use crate::bench::committed_units::CommittedUnits;
use crate::bench::progress::{Planned, Progress};
use crate::bench::stock_inspector::StockInspector;

/// Longest drain that is waited for.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);
/// A hold is closed only once its row is committed or never will be. So if none is open and rows
/// are missing, they are lost, and no more than this is waited for them.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// Time between two looks, which limits the precision of a drain time.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Not everything that was accepted became a row, or an open hold stayed open. The audit says what
/// is lost.
#[derive(Debug)]
pub(super) struct NotDrained(String);

impl std::error::Error for NotDrained {}

impl std::fmt::Display for NotDrained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// # Errors
/// [`NotDrained`] when it took too long or nothing more can come, and whatever keeps the database
/// from being read.
pub(super) async fn wait(
    database_url: &str,
    inspector: &mut StockInspector,
    product_id: i64,
    accepted_units: u64,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut committed = CommittedUnits::open(database_url, product_id).await?;
    let phase = progress.phase("drain", Planned::Count(accepted_units));
    let mut phase = phase.counting("units committed");
    let started = Instant::now();
    // The units that were committed when no hold was open any more, and since when.
    let mut at_rest = None::<(u64, Instant)>;
    loop {
        let units = committed.units().await?;
        phase.reached(units);
        let stock = inspector.stock(product_id).await;
        let open = match &stock {
            Ok(stock) if stock.open_units == 0 && units >= accepted_units => return Ok(()),
            Ok(stock) => format!("{} units are open", stock.open_units),
            Err(status) => format!(
                "the open units are unknown ({}: {})",
                status.code(),
                status.message()
            ),
        };
        let nothing_open = stock.is_ok_and(|stock| stock.open_units == 0);
        at_rest = match at_rest {
            Some(rest) if nothing_open && rest.0 == units => Some(rest),
            _ => nothing_open.then(|| (units, Instant::now())),
        };
        let is_lost = at_rest.is_some_and(|(_, since)| since.elapsed() > LOST_AFTER);
        if is_lost || started.elapsed() > DRAIN_LIMIT {
            let waited_s = started.elapsed().as_secs();
            return Err(NotDrained(format!(
                "not drained within {waited_s} s: {units} of {accepted_units} accepted units are committed, {open}"
            ))
            .into());
        }
        tokio::time::sleep(DRAIN_POLL).await;
    }
}
