//! Checks of `open_holds`, `mark` and `stock`: every open hold is found, marked only when old, and units are
//! conserved.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::shop::{eventually, finish_of, key_of};
use crate::{EngineError, FinishKind, Finished, HoldKey, HoldPageQuery, OrderId, Result};
use std::collections::HashSet;
use std::time::Duration;

/// Holds that stay open during a listing.
const STAYING: i64 = 2_000;
/// Age that a hold reaches while a check waits, ms.
const OLD_MS: u64 = 30;
/// Age that no hold reaches while a check runs, ms.
const NEVER_MS: u64 = 3_600_000;

pub(super) async fn listing_pages_through_every_open_hold(harness: &Harness) -> Outcome {
    let shop = harness.shop(100_000).await?;
    let staying: Vec<_> = (1..=STAYING).map(|user| shop.request(user, 1)).collect();
    shop.reserve_all(&staying).await?;
    let expected: HashSet<OrderId> = staying.iter().map(|request| request.order).collect();
    // Others come and go meanwhile, so that the engine's tables grow and shrink under the listing.
    let passing = async {
        for round in 1..=20 {
            let batch: Vec<_> = (0..500)
                .map(|i| shop.request(round * 1_000_000 + i, 1))
                .collect();
            shop.reserve_all(&batch).await?;
            let finishes: Vec<_> = batch
                .iter()
                .map(|request| finish_of(request, FinishKind::Settle))
                .collect();
            shop.engine
                .finish(&shop.term, &finishes)
                .await
                .into_iter()
                .collect::<Result<Vec<_>>>()?;
        }
        Ok::<(), Failure>(())
    };
    let listing = async {
        let found: HashSet<OrderId> = shop
            .list(0, 50)
            .await?
            .iter()
            .map(|hold| hold.order)
            .collect();
        equal(
            expected.difference(&found).count(),
            0,
            "open holds that a listing missed",
        )
    };
    let (passed, listed) = tokio::join!(passing, listing);
    passed?;
    listed?;
    equal(
        shop.list(0, 10_000).await?.len(),
        expected.len(),
        "open holds when quiet",
    )?;
    equal(
        shop.list(NEVER_MS, 100).await?,
        Vec::new(),
        "holds untouched for an hour",
    )?;
    let oldest = eventually("a hold grows old", async || {
        Ok(shop.list(OLD_MS, 500).await?.pop())
    })
    .await?;
    ensure(oldest.age_ms >= OLD_MS, || {
        format!(
            "a hold of age {} ms was listed as older than {OLD_MS}",
            oldest.age_ms
        )
    })
}

pub(super) async fn only_holds_that_are_old_enough_are_marked(harness: &Harness) -> Outcome {
    let shop = harness.shop(10).await?;
    let (bought, settled) = (shop.buy(1, 1).await?, shop.buy(2, 1).await?);
    equal(shop.settle(&settled).await?, Finished::Done, "a settle")?;
    let of_another = HoldKey {
        user: settled.user,
        order: bought.order,
    };
    let never_bought = shop.request(3, 1);
    let holds = [
        key_of(&bought),
        key_of(&settled),
        key_of(&never_bought),
        of_another,
    ];
    equal(
        shop.mark(NEVER_MS, &holds).await?,
        Vec::new(),
        "marks of holds touched within the hour",
    )?;
    equal(
        shop.hold(bought.order).await?.marked,
        false,
        "the mark of a hold touched within the hour",
    )?;
    let marked = eventually("the hold is old enough to be marked", async || {
        let marked = shop.mark(OLD_MS, &holds).await?;
        Ok((!marked.is_empty()).then_some(marked))
    })
    .await?;
    equal(
        marked.len(),
        1,
        "marked holds: neither settled nor unknown ones, nor under another's name",
    )?;
    equal(
        (marked[0].order, marked[0].marked),
        (bought.order, true),
        "the marked hold",
    )?;
    ensure(marked[0].age_ms >= OLD_MS, || {
        format!("marked at the age of {} ms", marked[0].age_ms)
    })?;
    let again: Vec<OrderId> = shop
        .mark(NEVER_MS, &holds)
        .await?
        .iter()
        .map(|hold| hold.order)
        .collect();
    equal(
        again,
        vec![bought.order],
        "holds that are marked now, whatever their age",
    )
}

pub(super) async fn a_marked_hold_stays_marked_until_it_is_finished(harness: &Harness) -> Outcome {
    let shop = harness.shop(10).await?;
    let (to_settle, to_release) = (shop.buy(1, 1).await?, shop.buy(2, 2).await?);
    let holds = [key_of(&to_settle), key_of(&to_release)];
    equal(shop.mark(0, &holds).await?.len(), 2, "marked holds")?;
    for hold in holds {
        equal(
            shop.hold(hold.order).await?.marked,
            true,
            "the mark in a listing",
        )?;
    }
    shop.expect_stock(7, 3).await?;
    equal(
        shop.settle(&to_settle).await?,
        Finished::Done,
        "the settle of a marked hold",
    )?;
    equal(
        shop.release(&to_release).await?,
        Finished::Done,
        "the release of a marked hold",
    )?;
    equal(
        shop.list(0, 100).await?,
        Vec::new(),
        "open holds at the end",
    )?;
    equal(
        shop.mark(0, &holds).await?,
        Vec::new(),
        "marks of finished holds",
    )?;
    shop.expect_stock(9, 0).await
}

pub(super) async fn nothing_is_listed_or_marked_under_another_term(harness: &Harness) -> Outcome {
    let shop = harness.shop(10).await?;
    let bought = shop.buy(1, 4).await?;
    let other = shop.next_epoch();
    let page = HoldPageQuery {
        age: Duration::ZERO,
        cursor: 0,
        limit: 100,
    };
    let listed = other
        .engine
        .open_holds(&other.term, &page)
        .await
        .map(|_| ());
    let keys = [key_of(&bought)];
    let marked = other
        .engine
        .mark(&other.term, &keys, page.age)
        .await
        .map(|_| ());
    for (what, answer) in [("listing", listed), ("marking", marked)] {
        let is_refused = matches!(answer, Err(EngineError::Unavailable { .. }));
        ensure(is_refused, || {
            format!("{what} under another term was answered {answer:?}")
        })?;
    }
    equal(
        shop.hold(bought.order).await?.marked,
        false,
        "the mark of a hold after calls under another term",
    )
}

pub(super) async fn stock_is_conserved_when_quiet(harness: &Harness) -> Outcome {
    const GRANTED: i64 = 500;
    let shop = harness.shop(GRANTED as u64).await?;
    let (mut settled_units, mut open_units) = (0, 0);
    for user in 1..=60 {
        let bought = shop.buy(user, 1 + (user % 4) as u32).await?;
        let units = i64::from(bought.quantity);
        match user % 3 {
            0 => open_units += units,
            1 => {
                shop.settle(&bought).await?;
                settled_units += units;
            }
            _ => {
                shop.release(&bought).await?;
            }
        }
    }
    let view = shop.stock().await?;
    equal(view.open_units, open_units as u64, "units in open holds")?;
    equal(
        view.remaining + open_units + settled_units,
        GRANTED,
        "remaining + open + settled",
    )
}
