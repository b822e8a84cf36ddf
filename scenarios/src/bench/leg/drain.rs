//! The drain of a phase: waits until everything accepted is committed, the engine has no open hold
//! left, and what was cancelled is back.

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

/// How the error of a leg begins whose orders did not all become rows.
pub(in crate::bench) const NOT_DRAINED: &str = "not drained";

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

/// What is drained.
pub(super) struct Drain<'a> {
    pub progress: &'a Progress,
    pub database_url: &'a str,
    pub products: &'a [i64],
    pub accepted_units: u64,
    /// Orders may be cancelled, so that units have to come back.
    pub has_releases: bool,
    /// An engine that breaks its contract may leave holds open for ever, so its drain ends once
    /// nothing has moved for a while.
    pub ends_when_still: bool,
}

/// # Errors
/// [`NotDrained`] when it took too long or nothing more can come, and whatever keeps the database
/// from being read.
pub(super) async fn wait(drain: &Drain<'_>, inspector: &mut StockInspector) -> anyhow::Result<()> {
    let Drain {
        progress,
        database_url,
        products,
        accepted_units,
        has_releases,
        ends_when_still,
    } = *drain;
    let mut committed = CommittedUnits::open(database_url, products, has_releases).await?;
    let phase = progress.phase("drain", Planned::Count(accepted_units));
    let mut phase = phase.counting("units committed");
    let started = Instant::now();
    // What was committed, open and to be released when it last changed, and since when.
    let mut at_rest = ((0, None, 0), started);
    loop {
        let asked = Instant::now();
        let units = committed.units().await?;
        let releases = committed.releases_left().await?;
        let cost = asked.elapsed();
        phase.reached(units);
        let open = open_units(inspector, products, units >= accepted_units).await;
        if units >= accepted_units && open == Ok(0) && releases == 0 {
            return Ok(());
        }
        let now = (units, open.clone().ok(), releases);
        if at_rest.0 != now {
            at_rest = (now, Instant::now());
        }
        let is_lost =
            (open == Ok(0) && releases == 0 || ends_when_still) && at_rest.1.elapsed() > LOST_AFTER;
        if is_lost || started.elapsed() > DRAIN_LIMIT {
            let waited_s = started.elapsed().as_secs();
            let open = match open {
                Ok(units) => format!("{units} units are open"),
                Err(why) => format!("the open units are unknown ({why})"),
            };
            let releases = match releases {
                0 => String::new(),
                releases => format!(", the units of {releases} cancelled orders are not back"),
            };
            return Err(NotDrained(format!(
                "{NOT_DRAINED} within {waited_s} s: {units} of {accepted_units} accepted units are committed, \
                 {open}{releases}"
            ))
            .into());
        }
        // Looking must not be what keeps the database busy.
        tokio::time::sleep(DRAIN_POLL.max(cost * 4)).await;
    }
}

/// Units on open holds over all sales. Of many sales only the first with such units is told while
/// rows are missing, because nothing more is asked then.
async fn open_units(
    inspector: &mut StockInspector,
    products: &[i64],
    all_committed: bool,
) -> Result<u64, String> {
    let mut open = 0;
    for &product_id in products {
        let stock = inspector.stock(product_id).await;
        let stock = stock.map_err(|status| format!("{}: {}", status.code(), status.message()))?;
        open += u64::try_from(stock.open_units).unwrap_or(0);
        if open > 0 && !all_committed {
            break;
        }
    }
    Ok(open)
}
