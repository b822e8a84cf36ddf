//! Checks of `finish`: settling moves nothing, releasing gives back exactly once, in any order,
//! from anywhere.

use super::harness::{Failure, Harness, Outcome, equal};
use super::sale::finish_of;
use crate::{
    Finish, FinishKind, Finished, OpeningBuyer, Reserve, Result, StockEngine, Term, Verdict,
};
use rand::Rng;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Calls that race for one hold.
const RACERS: usize = 32;
/// Holds they race for, one after the other.
const RACES: i64 = 10;

pub(super) async fn settling_keeps_the_gate_and_moves_no_units(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(5).await?;
    let bought = sale.buy(1, 2).await?;
    equal(
        sale.settle(&bought).await?,
        Finished::Done,
        "the first settle",
    )?;
    sale.expect_stock(3, 0).await?;
    equal(
        sale.settle(&bought).await?,
        Finished::AlreadyDone,
        "the second settle",
    )?;
    sale.expect_stock(3, 0).await?;
    let verdict = sale.reserve(sale.request(1, 1)).await?;
    equal(
        matches!(verdict, Verdict::Duplicate(hold) if hold.settled),
        true,
        "the gate is kept after a settle",
    )
}

pub(super) async fn a_release_gives_the_units_back_exactly_once(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(5).await?;
    for is_settled in [false, true] {
        let bought = sale.buy(1, 2).await?;
        if is_settled {
            equal(sale.settle(&bought).await?, Finished::Done, "a settle")?;
        }
        equal(
            sale.release(&bought).await?,
            Finished::Done,
            "the first release",
        )?;
        sale.expect_stock(5, 0).await?;
        equal(
            sale.release(&bought).await?,
            Finished::AlreadyDone,
            "the second release",
        )?;
        sale.expect_stock(5, 0).await?;
    }
    let never_bought = sale.request(9, 2);
    equal(
        sale.release(&never_bought).await?,
        Finished::AlreadyDone,
        "the release of an order that never was",
    )?;
    equal(
        sale.settle(&never_bought).await?,
        Finished::AlreadyDone,
        "the settle of an order that never was",
    )?;
    sale.expect_stock(5, 0).await?;
    sale.buy(1, 5).await?;
    Ok(())
}

/// Runs the same calls at the same time through several clients and counts how many were the ones
/// that did it.
async fn race(
    engines: &[Arc<dyn StockEngine>],
    term: Term,
    calls: Vec<Finish>,
) -> std::result::Result<usize, Failure> {
    let mut tasks = JoinSet::new();
    for (index, call) in calls.into_iter().enumerate() {
        let engine = engines[index % engines.len()].clone();
        tasks.spawn(async move { engine.finish(&term, &[call]).await });
    }
    let mut done = 0;
    while let Some(answers) = tasks.join_next().await {
        for answer in answers.map_err(|error| Failure(error.to_string()))? {
            done += usize::from(answer? == Finished::Done);
        }
    }
    Ok(done)
}

pub(super) async fn concurrent_releases_give_back_once(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(20).await?;
    let engines = sale.clients(3).await?;
    for user in 1..=RACES {
        let bought = sale.buy(user, 2).await?;
        let calls = vec![finish_of(&bought, FinishKind::Release); RACERS];
        equal(
            race(&engines, sale.term, calls).await?,
            1,
            "releases that gave units back, of many at the same time",
        )?;
        sale.expect_stock(20, 0).await?;
    }
    Ok(())
}

pub(super) async fn a_release_clears_only_the_gate_of_its_own_order(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let first = sale.buy(1, 2).await?;
    equal(sale.release(&first).await?, Finished::Done, "a release")?;
    let second = sale.buy(1, 3).await?;
    equal(
        sale.release(&first).await?,
        Finished::AlreadyDone,
        "a late release of the earlier order",
    )?;
    equal(
        sale.settle(&first).await?,
        Finished::AlreadyDone,
        "a late settle of the earlier order",
    )?;
    sale.expect_stock(7, 3).await?;
    let verdict = sale.reserve(sale.request(1, 1)).await?;
    equal(
        matches!(verdict, Verdict::Duplicate(hold) if hold.order == second.order),
        true,
        "the later order's gate",
    )
}

pub(super) async fn settle_and_release_commute(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let bought = sale.buy(1, 2).await?;
    equal(
        sale.release(&bought).await?,
        Finished::Done,
        "a release before the settle",
    )?;
    equal(
        sale.settle(&bought).await?,
        Finished::AlreadyDone,
        "a settle after the release",
    )?;
    sale.expect_stock(10, 0).await?;
    for user in 1..=RACES {
        let bought = sale.buy(user, 2).await?;
        let calls = (0..RACERS).map(|i| {
            if i % 2 == 0 {
                FinishKind::Settle
            } else {
                FinishKind::Release
            }
        });
        let calls = calls.map(|kind| finish_of(&bought, kind)).collect();
        let done = race(std::slice::from_ref(&sale.engine), sale.term, calls).await?;
        equal(
            (1..=2).contains(&done),
            true,
            "one release, and at most one settle before it",
        )?;
        sale.expect_stock(10, 0).await?;
        equal(
            sale.list(0, 100).await?,
            Vec::new(),
            "open holds after settle and release at the same time",
        )?;
        // The gate is clear: the buyer can buy again.
        let again = sale.buy(user, 1).await?;
        equal(
            sale.release(&again).await?,
            Finished::Done,
            "the release of the next order",
        )?;
    }
    Ok(())
}

pub(super) async fn a_batch_finishes_as_one_by_one(harness: &Harness) -> Outcome {
    let mut rng = harness.rng(2);
    let (batched, single) = (
        harness.open_sale(10_000).await?,
        harness.open_sale(10_000).await?,
    );
    for round in 0..5 {
        let requests: Vec<Reserve> = (0..300)
            .map(|i| batched.request(round * 1_000 + i, rng.random_range(1..=3)))
            .collect();
        equal(
            batched.reserve_all(&requests).await?,
            single.reserve_all(&requests).await?,
            "the same requests",
        )?;
        let batch: Vec<Finish> = (0..1_200)
            .map(|_| {
                let kind = if rng.random_bool(0.5) {
                    FinishKind::Settle
                } else {
                    FinishKind::Release
                };
                finish_of(&requests[rng.random_range(0..requests.len())], kind)
            })
            .collect();
        let together = batched
            .engine
            .finish(&batched.term, &batch)
            .await
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        for (index, (item, answer)) in batch.iter().zip(together).enumerate() {
            let alone = single
                .engine
                .finish(&single.term, &[*item])
                .await
                .remove(0)?;
            equal(
                answer,
                alone,
                &format!("finish {index} of a batch, against it alone"),
            )?;
        }
        let (a, b) = (batched.stock().await?, single.stock().await?);
        equal(
            (a.remaining, a.open_units),
            (b.remaining, b.open_units),
            "stock after a batch, against one by one",
        )?;
    }
    Ok(())
}

pub(super) async fn a_release_of_an_earlier_epoch_is_done_under_the_later(
    harness: &Harness,
) -> Outcome {
    let older = harness.open_sale(10).await?;
    let bought = older.buy(1, 4).await?;
    let sale = older.next_epoch();
    let loaded = OpeningBuyer {
        user: bought.user,
        order: bought.order,
        quantity: bought.quantity,
    };
    sale.open(6, vec![loaded]).await?;
    equal(
        older.release(&bought).await?,
        Finished::NotOpen,
        "a release under the older epoch",
    )?;
    equal(
        sale.settle(&bought).await?,
        Finished::AlreadyDone,
        "the settle of a loaded buyer",
    )?;
    equal(
        sale.release(&bought).await?,
        Finished::Done,
        "the release of a loaded buyer",
    )?;
    equal(
        sale.release(&bought).await?,
        Finished::AlreadyDone,
        "the buyer's second release",
    )?;
    sale.expect_stock(10, 0).await?;
    sale.buy(1, 10).await?;
    Ok(())
}

pub(super) async fn nothing_is_finished_under_another_term(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let bought = sale.buy(1, 4).await?;
    let other = sale.next_epoch();
    equal(
        other.settle(&bought).await?,
        Finished::NotOpen,
        "a settle under another term",
    )?;
    equal(
        other.release(&bought).await?,
        Finished::NotOpen,
        "a release under another term",
    )?;
    sale.expect_stock(6, 4).await?;
    equal(
        sale.release(&bought).await?,
        Finished::Done,
        "the release under the open term",
    )
}
