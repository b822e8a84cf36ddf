//! Checks of `open`: nothing before it, exactly the grant after it, and epochs that only grow.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::shop::{Shop, finish_of};
use crate::{
    FinishKind, Finished, Hold, Nonce, Opened, OpeningBuyer, OrderId, Term, UserId, Verdict,
};
use std::time::Duration;

/// Buyers in an opening that takes several calls.
const MANY_BUYERS: i64 = 5_000;

fn buyers(shop: &Shop<'_>, users: std::ops::Range<i64>) -> Vec<OpeningBuyer> {
    users
        .map(|user| OpeningBuyer {
            user: UserId(user),
            order: shop.order(),
            quantity: 1 + (user % 3) as u32,
        })
        .collect()
}

pub(super) async fn nothing_is_sold_before_the_opening(harness: &Harness) -> Outcome {
    let shop = harness.closed_shop().await?;
    let request = shop.request(1, 1);
    equal(
        shop.reserve(request).await?,
        Verdict::NotOpen,
        "a reserve before the opening",
    )?;
    equal(
        shop.settle(&request).await?,
        Finished::NotOpen,
        "a settle before the opening",
    )?;
    equal(
        shop.stock().await?.is_open,
        false,
        "is_open before the opening",
    )?;
    shop.open(1, Vec::new()).await?;
    equal(
        shop.stock().await?.is_open,
        true,
        "is_open after the opening",
    )?;
    shop.buy(1, 1).await?;
    Ok(())
}

pub(super) async fn exactly_the_grant_is_sold_and_loaded_buyers_are_settled_duplicates(
    harness: &Harness,
) -> Outcome {
    let shop = harness.closed_shop().await?;
    let loaded = buyers(&shop, 1..2_501);
    shop.open(7, loaded.clone()).await?;
    shop.expect_stock(7, 0).await?;
    let retries: Vec<_> = loaded
        .iter()
        .map(|buyer| shop.request(buyer.user.0, 1))
        .collect();
    for (buyer, verdict) in loaded.iter().zip(shop.reserve_all(&retries).await?) {
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
        shop.buy(user, 1).await?;
    }
    let refused = shop.reserve(shop.request(20_000, 1)).await?;
    equal(
        refused,
        Verdict::SoldOut { remaining: 0 },
        "a request after the whole grant",
    )
}

pub(super) async fn opening_the_same_term_again_changes_nothing(harness: &Harness) -> Outcome {
    let shop = harness.shop(10).await?;
    let bought = shop.buy(1, 4).await?;
    let again = shop.opening(10, buyers(&shop, 1..3));
    equal(
        shop.engine.open(&again).await?,
        Opened::AlreadyOpen,
        "opening the same term again",
    )?;
    shop.expect_stock(6, 4).await?;
    equal(
        shop.hold(bought.order).await?.quantity,
        4,
        "the hold after opening again",
    )?;
    shop.buy(2, 1).await?;
    Ok(())
}

pub(super) async fn an_epoch_that_is_not_newer_is_stale(harness: &Harness) -> Outcome {
    let older = harness.shop(10).await?;
    let shop = older.next_epoch();
    shop.open(5, Vec::new()).await?;
    shop.buy(1, 2).await?;
    let same_epoch = Term {
        nonce: Nonce(shop.term.nonce.0 ^ 1),
        ..shop.term
    };
    for term in [older.term, same_epoch] {
        let opened = shop
            .engine
            .open(&shop.under(term).opening(100, Vec::new()))
            .await?;
        equal(
            opened,
            Opened::Stale {
                newest: shop.term.epoch,
            },
            "opening an epoch that is not newer",
        )?;
        let under_it = shop.under(term);
        equal(
            under_it.reserve(shop.request(2, 1)).await?,
            Verdict::NotOpen,
            "a reserve under the stale term",
        )?;
        equal(
            under_it.stock().await?.is_open,
            false,
            "is_open of the stale term",
        )?;
    }
    shop.expect_stock(3, 2).await?;
    shop.buy(2, 3).await?;
    Ok(())
}

pub(super) async fn a_newer_epoch_replaces_the_older(harness: &Harness) -> Outcome {
    let older = harness.shop(10).await?;
    let bought = older.buy(1, 4).await?;
    let shop = older.next_epoch();
    let loaded = OpeningBuyer {
        user: bought.user,
        order: bought.order,
        quantity: bought.quantity,
    };
    shop.open(6, vec![loaded]).await?;
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
        shop.stock().await?.epoch,
        Some(shop.term.epoch),
        "the epoch the engine holds",
    )?;
    equal(
        shop.list(0, 100).await?,
        Vec::new(),
        "open holds of the new epoch",
    )?;
    shop.expect_stock(6, 0).await?;
    shop.buy(2, 6).await?;
    Ok(())
}

/// The opener is dropped in the middle, at ever later moments.
pub(super) async fn a_half_finished_opening_sells_nothing(harness: &Harness) -> Outcome {
    let mut finished_openings = 0;
    for patience_us in [0, 200, 1_000, 3_000, 10_000] {
        let shop = harness.closed_shop().await?;
        let opening = shop.opening(10, buyers(&shop, 1..MANY_BUYERS));
        let opened = tokio::time::timeout(
            Duration::from_micros(patience_us),
            shop.engine.open(&opening),
        )
        .await;
        finished_openings += usize::from(opened.is_ok());
        // The last call may still be under way, so "open" is possible; anything in between is not.
        let verdict = shop.reserve(shop.request(1, 1)).await?;
        let is_half_loaded = !matches!(
            verdict,
            Verdict::NotOpen | Verdict::Duplicate(Hold { settled: true, .. })
        );
        ensure(!is_half_loaded, || {
            format!("a loaded buyer met a half-finished opening and got {verdict:?}")
        })?;
        newer_epoch_replaces_it(&shop.next_epoch()).await?;
    }
    ensure(finished_openings < 5, || {
        "every opening ended at once, so none was half finished".to_owned()
    })
}

async fn newer_epoch_replaces_it(shop: &Shop<'_>) -> Result<(), Failure> {
    shop.open(2, Vec::new()).await?;
    let bought = shop.buy(1, 2).await?;
    equal(
        shop.reserve(shop.request(2, 1)).await?,
        Verdict::SoldOut { remaining: 0 },
        "more than the newer grant",
    )?;
    let batch = [
        finish_of(&bought, FinishKind::Settle),
        finish_of(&bought, FinishKind::Release),
    ];
    let answers = shop
        .engine
        .finish(&shop.term, &batch)
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
