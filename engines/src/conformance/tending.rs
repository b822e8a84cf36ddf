//! Checks of `Upkeep` that hold for every engine: it sells nothing, and does no harm whoever
//! calls it how often.

use super::harness::{Failure, Harness, Outcome, equal};
use super::sale::{OTHER_PUBLISHER, PUBLISHER, Sale};
use crate::{IncarnationId, Tending};
use tokio::task::JoinSet;

/// A life of the process that is over: incarnations are numbered in the order of their starts.
const EARLIER_PUBLISHER: IncarnationId = IncarnationId(1);
/// Callers at the same time.
const CALLERS: usize = 16;

pub(super) async fn the_server_it_runs_on_passes_its_own_check(harness: &Harness) -> Outcome {
    let engine = harness.engine().await?;
    for _ in 0..2 {
        engine.check_server(false).await?;
    }
    Ok(())
}

/// What must be the same before and after.
async fn seen(sale: &Sale<'_>) -> Result<(i64, u64, usize), Failure> {
    let view = sale.stock().await?;
    Ok((
        view.remaining,
        view.open_units,
        sale.list(0, 1_000).await?.len(),
    ))
}

pub(super) async fn tending_sells_nothing(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(100).await?;
    for user in 1..=10 {
        let bought = sale.buy(user, 2).await?;
        if user % 2 == 0 {
            sale.settle(&bought).await?;
        }
    }
    let before = seen(&sale).await?;
    equal(
        before,
        (80, 10, 5),
        "units remaining, units open and open holds",
    )?;
    for publisher in [Some(PUBLISHER), None, Some(PUBLISHER)] {
        let term = sale.term;
        sale.engine.tend(&Tending { term, publisher }).await?;
        equal(seen(&sale).await?, before, "the same after tending")?;
    }
    sale.buy(11, 80).await?;
    Ok(())
}

pub(super) async fn every_task_may_be_repeated_and_run_at_once(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(100).await?;
    let bought = sale.buy(1, 40).await?;
    let clients = sale.clients(3).await?;
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS {
        let (engine, term) = (clients[caller % clients.len()].clone(), sale.term);
        // One process that nobody knows, as after a crash.
        let publisher = [None, Some(sale.incarnation), Some(EARLIER_PUBLISHER)][caller % 3];
        tasks.spawn(async move { engine.tend(&Tending { term, publisher }).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| Failure(error.to_string()))??;
    }
    sale.expect_stock(60, 40).await?;
    // A process that has nothing here stops, twice.
    for _ in 0..2 {
        sale.engine.hand_back(OTHER_PUBLISHER).await?;
    }
    sale.expect_stock(60, 40).await?;
    equal(
        sale.hold(bought.order).await?.quantity,
        40,
        "the hold after all that",
    )?;
    sale.buy(2, 60).await?;
    Ok(())
}
