//! Checks of `retire`: a sale that is over is forgotten, it alone, and may begin anew.

use super::harness::{Harness, Outcome, ensure, equal};
use super::sale::{Sale, eventually};
use super::sharing::{ask, pair, users_of, while_both_tend};
use crate::{
    EngineError, Epoch, Finished, Hold, HoldPageQuery, Opened, OpeningBuyer, Reserve, StockView,
    Verdict,
};
use std::time::Duration;

/// Buyers of a sale that takes an engine several steps to forget.
const MANY_BUYERS: i64 = 6_000;

/// Through this client nothing of the sale is left.
async fn is_forgotten(sale: &Sale<'_>, bought: &Reserve) -> Outcome {
    let again = sale.request(bought.user.0, 1);
    equal(
        sale.reserve_all(&[again, sale.request(900, 1)]).await?,
        vec![Verdict::NotOpen; 2],
        "requests after the sale was retired",
    )?;
    for finished in [sale.settle(bought).await?, sale.release(bought).await?] {
        equal(
            finished,
            Finished::NotOpen,
            "a finish after the sale was retired",
        )?;
    }
    let page = HoldPageQuery {
        age: Duration::ZERO,
        cursor: 0,
        limit: 100,
    };
    let listed = sale.engine.open_holds(&sale.term, &page).await;
    ensure(
        matches!(listed, Err(EngineError::Unavailable { .. })),
        || format!("a listing after the sale was retired was answered {listed:?}"),
    )?;
    let StockView {
        remaining,
        open_units,
        is_open,
        ..
    } = sale.stock().await?;
    equal(
        (remaining, open_units, is_open),
        (0, 0, false),
        "units remaining and open and is_open of a retired sale",
    )
}

pub(super) async fn a_retired_sale_is_forgotten_and_no_other(harness: &Harness) -> Outcome {
    let (sale, other) = (harness.closed_sale().await?, harness.open_sale(10).await?);
    let loaded = (1_000..1_000 + MANY_BUYERS).map(|user| OpeningBuyer {
        user: crate::UserId(user),
        order: sale.order(),
        quantity: 1,
    });
    sale.open(10, loaded.collect()).await?;
    let (bought, settled) = (sale.buy(1, 2).await?, sale.buy(2, 1).await?);
    equal(sale.settle(&settled).await?, Finished::Done, "a settle")?;
    let elsewhere = other.buy(1, 4).await?;
    let clients = sale.clients(2).await?;
    // Again and again, through any client, and one that never was.
    for engine in clients.iter().chain(&clients) {
        engine.retire(sale.term.sale, sale.term.epoch).await?;
        let never = harness.closed_sale().await?.term;
        engine.retire(never.sale, never.epoch).await?;
        for client in &clients {
            is_forgotten(&sale.through(client.clone()), &bought).await?;
        }
    }
    other.expect_stock(6, 4).await?;
    equal(
        other.hold(elsewhere.order).await?.quantity,
        4,
        "the hold of another sale",
    )?;
    other.buy(2, 6).await?;
    Ok(())
}

pub(super) async fn a_later_epoch_of_a_retired_sale_opens_like_a_first(
    harness: &Harness,
) -> Outcome {
    let older = harness.open_sale(10).await?;
    let (bought, settled) = (older.buy(1, 2).await?, older.buy(2, 1).await?);
    equal(older.settle(&settled).await?, Finished::Done, "a settle")?;
    older
        .engine
        .retire(older.term.sale, older.term.epoch)
        .await?;
    let sale = older.next_epoch();
    let buyer = OpeningBuyer {
        user: settled.user,
        order: settled.order,
        quantity: settled.quantity,
    };
    sale.open(3, vec![buyer]).await?;
    equal(
        sale.stock().await?.epoch,
        Some(Epoch(2)),
        "the epoch that was opened",
    )?;
    sale.expect_stock(3, 0).await?;
    let hold = Hold {
        order: settled.order,
        quantity: settled.quantity,
        settled: true,
        allocation: None,
    };
    let asked = [sale.request(1, 3), sale.request(2, 1), sale.request(3, 1)];
    equal(
        sale.reserve_all(&asked).await?,
        vec![
            Verdict::GRANTED,
            Verdict::Duplicate(hold),
            Verdict::SoldOut { remaining: 0 },
        ],
        "a forgotten buyer, a loaded one, and one too many",
    )?;
    equal(
        sale.release(&bought).await?,
        Finished::AlreadyDone,
        "the release of a forgotten order",
    )?;
    equal(
        older.reserve(older.request(4, 1)).await?,
        Verdict::NotOpen,
        "a request under the epoch before",
    )
}

pub(super) async fn a_retired_sale_ends_in_every_process(harness: &Harness) -> Outcome {
    let (one, other) = pair(harness, 1_000).await?;
    let mut granted = Vec::new();
    while_both_tend(&one, &other, async {
        for sale in [&one, &other] {
            let request = sale.request(users_of(sale).await?[0], 1);
            let verdict = ask(sale, request).await?;
            equal(verdict, Verdict::GRANTED, "a request with stock left")?;
            granted.push((sale, request));
        }
        Ok(())
    })
    .await?;
    // As the reconciler does, in a process that sells nothing.
    let elsewhere = one.elsewhere().await?.engine;
    elsewhere.retire(one.term.sale, one.term.epoch).await?;
    for (sale, bought) in granted {
        eventually("a process that tends its sale ends it", async || {
            sale.tend().await?;
            let verdict = sale.reserve(sale.request(bought.user.0, 1)).await?;
            Ok((verdict == Verdict::NotOpen).then_some(()))
        })
        .await?;
        is_forgotten(sale, &bought).await?;
    }
    Ok(())
}

pub(super) async fn an_opening_of_a_retired_epoch_or_an_older_one_is_stale(
    harness: &Harness,
) -> Outcome {
    let first = harness.open_sale(10).await?;
    let second = first.next_epoch();
    second.open(10, Vec::new()).await?;
    second
        .engine
        .retire(second.term.sale, second.term.epoch)
        .await?;
    for late in [&first, &second] {
        for client in late.clients(2).await? {
            let opened = client.open(&late.opening(10, Vec::new())).await?;
            equal(
                opened,
                Opened::Stale {
                    newest: second.term.epoch,
                },
                "an opening that comes after its sale was retired",
            )?;
        }
    }
    Ok(())
}

pub(super) async fn a_late_retirement_leaves_a_newer_epoch_alone(harness: &Harness) -> Outcome {
    let older = harness.open_sale(10).await?;
    let sale = older.next_epoch();
    sale.open(5, Vec::new()).await?;
    let bought = sale.buy(1, 2).await?;
    older
        .engine
        .retire(older.term.sale, older.term.epoch)
        .await?;
    sale.expect_stock(3, 2).await?;
    equal(
        sale.hold(bought.order).await?.quantity,
        2,
        "a hold of the epoch after the retired one",
    )
}
