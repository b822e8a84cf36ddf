//! Checks of calls whose caller gives up: what was sent may still be done, but never half of it.

use super::harness::{Failure, Harness, Outcome, equal};
use super::sale::{Sale, eventually, finish_of};
use crate::{FinishKind, Finished, Reserve, Verdict};
use std::time::Duration;

/// Calls that are dropped, at ever later moments.
const CALLS: i64 = 60;
/// By how much later each.
const PATIENCE_STEP: Duration = Duration::from_micros(25);

fn patience(call: i64) -> Duration {
    PATIENCE_STEP * u32::try_from(call).unwrap_or(0)
}

/// What `request` was granted when it was first made, or is granted now.
async fn bought(sale: &Sale<'_>, request: Reserve) -> Result<Reserve, Failure> {
    let verdict = eventually("an answer other than busy", async || {
        let verdict = sale.reserve(request).await?;
        Ok((verdict != Verdict::Busy).then_some(verdict))
    });
    match verdict.await? {
        Verdict::Granted { .. } => Ok(request),
        Verdict::Duplicate(hold) if !hold.settled && hold.quantity == request.quantity => {
            Ok(Reserve {
                order: hold.order,
                ..request
            })
        }
        other => Err(Failure(format!(
            "after a dropped call its buyer was answered {other:?}"
        ))),
    }
}

async fn stock_becomes(sale: &Sale<'_>, remaining: i64, open_units: u64) -> Outcome {
    let (mut view, mut left) = (sale.stock().await?, 1_000);
    while (view.remaining, view.open_units) != (remaining, open_units) && left > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        (view, left) = (sale.stock().await?, left - 1);
    }
    equal(
        (view.remaining, view.open_units),
        (remaining, open_units),
        "units remaining and open once the dropped calls have ended",
    )
}

pub(super) async fn a_dropped_call_is_done_whole_or_not_at_all(harness: &Harness) -> Outcome {
    const GRANTED: i64 = 1_000;
    let sale = harness.open_sale(GRANTED as u64).await?;
    let batch_of = |call| [sale.request(call, 2), sale.request(1_000 + call, 1)];
    for call in 1..=CALLS {
        let batch = batch_of(call);
        let reserving = sale.engine.reserve(&sale.term, &batch);
        let _ = tokio::time::timeout(patience(call), reserving).await;
    }
    let mut orders = Vec::new();
    for call in 1..=CALLS {
        for request in batch_of(call) {
            orders.push(bought(&sale, request).await?);
        }
    }
    stock_becomes(&sale, GRANTED - 3 * CALLS, 3 * CALLS as u64).await?;
    let mut listed: Vec<_> = orders.iter().map(|item| item.order).collect();
    listed.sort_unstable();
    let holds = sale.list(0, 1_000).await?;
    equal(
        holds.iter().map(|hold| hold.order).collect(),
        listed,
        "open holds after the dropped calls",
    )?;
    for (item, call) in orders.iter().zip(1..) {
        let batch = [finish_of(item, FinishKind::Release)];
        let finishing = sale.engine.finish(&sale.term, &batch);
        let _ = tokio::time::timeout(patience(call % CALLS), finishing).await;
    }
    for item in &orders {
        let again = sale.release(item).await?;
        let is_done = matches!(again, Finished::Done | Finished::AlreadyDone);
        equal(is_done, true, "a release after a dropped one")?;
    }
    stock_becomes(&sale, GRANTED, 0).await
}
