//! Checks of `open`: nothing before it, exactly the grant after it, and epochs that only grow.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::sale::{Sale, finish_of};
use crate::{
    FinishKind, Finished, Hold, Nonce, Opened, OpeningBuyer, OrderId, Term, UserId, Verdict,
};
use std::time::Duration;

/// Buyers in an opening that takes several calls.
const MANY_BUYERS: i64 = 5_000;

fn buyers(sale: &Sale<'_>, users: std::ops::Range<i64>) -> Vec<OpeningBuyer> {
    users
        .map(|user| OpeningBuyer {
            user: UserId(user),
            order: sale.order(),
            quantity: 1 + (user % 3) as u32,
        })
        .collect()
}

pub(super) async fn nothing_is_sold_before_the_opening(harness: &Harness) -> Outcome {
    let sale = harness.closed_sale().await?;
    let request = sale.request(1, 1);
    equal(
        sale.reserve(request).await?,
        Verdict::NotOpen,
        "a reserve before the opening",
    )?;
    equal(
        sale.settle(&request).await?,
        Finished::NotOpen,
        "a settle before the opening",
    )?;
    equal(
        sale.stock().await?.is_open,
        false,
        "is_open before the opening",
    )?;
    sale.open(1, Vec::new()).await?;
    equal(
        sale.stock().await?.is_open,
        true,
        "is_open after the opening",
    )?;
    sale.buy(1, 1).await?;
    Ok(())
}

pub(super) async fn exactly_the_grant_is_sold_and_loaded_buyers_are_settled_duplicates(
    harness: &Harness,
) -> Outcome {
    let sale = harness.closed_sale().await?;
    let loaded = buyers(&sale, 1..2_501);
    sale.open(7, loaded.clone()).await?;
    sale.expect_stock(7, 0).await?;
    let retries: Vec<_> = loaded
        .iter()
        .map(|buyer| sale.request(buyer.user.0, 1))
        .collect();
    for (buyer, verdict) in loaded.iter().zip(sale.reserve_all(&retries).await?) {
        let expected = Hold {
            order: buyer.order,
            quantity: buyer.quantity,
            settled: true,
            allocation: None,
        };
        equal(
            verdict,
            Verdict::Duplicate(expected),
            "a loaded buyer asks again",
        )?;
    }
    for user in 10_001..10_008 {
        sale.buy(user, 1).await?;
    }
    let refused = sale.reserve(sale.request(20_000, 1)).await?;
    equal(
        refused,
        Verdict::SoldOut { remaining: 0 },
        "a request after the whole grant",
    )
}

pub(super) async fn opening_the_same_term_again_changes_nothing(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let bought = sale.buy(1, 4).await?;
    let again = sale.opening(10, buyers(&sale, 1..3));
    equal(
        sale.engine.open(&again).await?,
        Opened::AlreadyOpen,
        "opening the same term again",
    )?;
    sale.expect_stock(6, 4).await?;
    equal(
        sale.hold(bought.order).await?.quantity,
        4,
        "the hold after opening again",
    )?;
    sale.buy(2, 1).await?;
    Ok(())
}

pub(super) async fn an_epoch_that_is_not_newer_is_stale(harness: &Harness) -> Outcome {
    let older = harness.open_sale(10).await?;
    let sale = older.next_epoch();
    sale.open(5, Vec::new()).await?;
    sale.buy(1, 2).await?;
    let same_epoch = Term {
        nonce: Nonce(sale.term.nonce.0 ^ 1),
        ..sale.term
    };
    for term in [older.term, same_epoch] {
        let opened = sale
            .engine
            .open(&sale.under(term).opening(100, Vec::new()))
            .await?;
        equal(
            opened,
            Opened::Stale {
                newest: sale.term.epoch,
            },
            "opening an epoch that is not newer",
        )?;
        let under_it = sale.under(term);
        equal(
            under_it.reserve(sale.request(2, 1)).await?,
            Verdict::NotOpen,
            "a reserve under the stale term",
        )?;
        equal(
            under_it.stock().await?.is_open,
            false,
            "is_open of the stale term",
        )?;
    }
    sale.expect_stock(3, 2).await?;
    sale.buy(2, 3).await?;
    Ok(())
}

pub(super) async fn a_newer_epoch_replaces_the_older(harness: &Harness) -> Outcome {
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
        older.reserve(older.request(2, 1)).await?,
        Verdict::NotOpen,
        "a reserve under the replaced epoch",
    )?;
    equal(
        older.release(&bought).await?,
        Finished::NotOpen,
        "a release under the replaced epoch",
    )?;
    equal(
        older.stock().await?.is_open,
        false,
        "is_open of the replaced epoch",
    )?;
    equal(
        sale.stock().await?.epoch,
        Some(sale.term.epoch),
        "the epoch the engine holds",
    )?;
    equal(
        sale.list(0, 100).await?,
        Vec::new(),
        "open holds of the new epoch",
    )?;
    sale.expect_stock(6, 0).await?;
    sale.buy(2, 6).await?;
    Ok(())
}

/// The reconciler opens, in a process that sells nothing.
pub(super) async fn what_another_process_opened_is_sold(harness: &Harness) -> Outcome {
    let sale = harness.closed_sale().await?;
    let opener = sale.elsewhere().await?;
    let loaded = buyers(&sale, 1..10);
    let opening = sale.opening(7, loaded.clone());
    equal(
        opener.engine.open(&opening).await?,
        Opened::Opened,
        "opening a fresh epoch",
    )?;
    sale.tend().await?;
    equal(
        opener.stock().await?.is_open,
        true,
        "is_open where it was opened",
    )?;
    for buyer in loaded {
        let verdict = sale.reserve(sale.request(buyer.user.0, 1)).await?;
        ensure(
            matches!(verdict, Verdict::Duplicate(hold) if hold.order == buyer.order && hold.settled),
            || format!("a loaded buyer was answered {verdict:?}"),
        )?;
    }
    sale.buy(20, 7).await?;
    let refused = sale.reserve(sale.request(21, 1)).await?;
    equal(
        refused,
        Verdict::SoldOut { remaining: 0 },
        "a request after the whole grant",
    )
}

/// The opener is dropped in the middle, at ever later moments.
pub(super) async fn a_half_finished_opening_sells_nothing(harness: &Harness) -> Outcome {
    for patience_us in [0, 200, 1_000, 3_000, 10_000] {
        let sale = harness.closed_sale().await?;
        let opening = sale.opening(10, buyers(&sale, 1..MANY_BUYERS));
        // Polled once at least. An engine that has opened by then waits for nobody, so that nothing
        // can interrupt it, and answers as one that was never dropped.
        let _ = tokio::time::timeout(
            Duration::from_micros(patience_us),
            sale.engine.open(&opening),
        )
        .await;
        // The last call may still be under way, so "open" is possible; anything in between is not.
        let verdict = sale.reserve(sale.request(1, 1)).await?;
        let is_half_loaded = !matches!(
            verdict,
            Verdict::NotOpen | Verdict::Duplicate(Hold { settled: true, .. })
        );
        ensure(!is_half_loaded, || {
            format!("a loaded buyer met a half-finished opening and got {verdict:?}")
        })?;
        newer_epoch_replaces_it(&sale.next_epoch()).await?;
    }
    Ok(())
}

async fn newer_epoch_replaces_it(sale: &Sale<'_>) -> Result<(), Failure> {
    sale.open(2, Vec::new()).await?;
    let bought = sale.buy(1, 2).await?;
    equal(
        sale.reserve(sale.request(2, 1)).await?,
        Verdict::SoldOut { remaining: 0 },
        "more than the newer grant",
    )?;
    let batch = [
        finish_of(&bought, FinishKind::Settle),
        finish_of(&bought, FinishKind::Release),
    ];
    let answers = sale
        .engine
        .finish(&sale.term, &batch)
        .await
        .into_iter()
        .collect::<crate::Result<Vec<_>>>()?;
    equal(
        answers,
        vec![Finished::Done, Finished::Done],
        "settle and release under the newer epoch",
    )?;
    ensure(bought.order != OrderId(0), || {
        "an order id of its own".to_owned()
    })
}
