//! Checks of `Upkeep` that hold for every engine: it sells nothing, and does no harm whoever
//! calls it how often.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::sale::{OTHER_PUBLISHER, PUBLISHER, Sale, eventually};
use crate::{EngineError, IncarnationId, Tending, Verdict};
use std::time::Duration;
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

pub(super) async fn a_server_that_may_forget_is_refused_with_the_reason(
    harness: &Harness,
) -> Outcome {
    if !harness.let_forget(true).await? {
        return Ok(());
    }
    // Clients of their own: settings of a server may hold for new connections only.
    let refused = harness.engine().await?.check_server(false).await;
    let accepted = harness.engine().await?.check_server(true).await;
    harness.let_forget(false).await?;
    let reason = match refused {
        Err(EngineError::Config(reason)) => reason,
        other => {
            return Err(Failure(format!(
                "a server that may forget was answered {other:?}"
            )));
        }
    };
    ensure(reason.split_whitespace().count() > 3, || {
        format!("the reason is only {reason:?}")
    })?;
    accepted?;
    harness.engine().await?.check_server(false).await?;
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

/// Buyers whose process dies in the middle of their requests.
const BUYERS: i64 = 40;
/// By how much later each dies.
const DEATH_STEP: Duration = Duration::from_micros(100);

/// Requests that are dropped while units may be on their way between the parts of an engine.
/// Whatever they left undone, tending finishes it: nothing is lost, and every unit can be bought.
pub(super) async fn what_a_crash_interrupted_is_finished(harness: &Harness) -> Outcome {
    const GRANTED: i64 = 120;
    let sale = harness.open_sale(GRANTED as u64).await?;
    let clients = sale.clients(2).await?;
    for user in 1..=BUYERS {
        // More than a slot's share of what is left, again and again.
        let request = sale.request(user, 5);
        let client = &clients[user as usize % clients.len()];
        let batch = [request];
        let reserving = client.reserve(&sale.term, &batch);
        let patience = DEATH_STEP * u32::try_from(user % 20).unwrap_or(0);
        let _ = tokio::time::timeout(patience, reserving).await;
    }
    let fresh = match sale.is_in_process() {
        true => sale.clone(),
        false => sale.elsewhere().await?,
    };
    let left = eventually("units neither held nor for sale come back", async || {
        for publisher in [None, Some(sale.incarnation)] {
            let term = sale.term;
            fresh.engine.tend(&Tending { term, publisher }).await?;
        }
        let view = fresh.stock().await?;
        let held = i64::try_from(view.open_units).unwrap_or(i64::MAX);
        Ok((view.remaining + held == GRANTED).then_some(view.remaining))
    })
    .await?;
    // An abandoned request may run on to its end in the background and take units that were counted
    // as left. So it is sold out no later than after `left` buyers, and then nothing remains.
    for user in 1_000..=1_000 + left {
        let verdict = eventually("a buyer of one unit gets an answer", async || {
            let verdict = fresh.reserve(fresh.request(user, 1)).await?;
            Ok((verdict != Verdict::Busy).then_some(verdict))
        })
        .await?;
        match verdict {
            Verdict::Granted { .. } | Verdict::Duplicate(_) => {}
            Verdict::SoldOut { .. } => break,
            other => {
                return Err(Failure(format!(
                    "with units left a request was answered {other:?}"
                )));
            }
        }
    }
    fresh.expect_stock(0, GRANTED as u64).await
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
