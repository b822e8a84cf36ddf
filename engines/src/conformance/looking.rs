//! The check of requests that may not sell: who has an order is told so, nobody gets one.

use super::harness::{Harness, Outcome, ensure, equal};
use super::sale::{eventually, key_of};
use crate::{Finished, Hold, Reserve, Verdict};

pub(super) async fn a_request_that_may_not_sell_only_looks(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(5).await?;
    let look = |user, quantity| Reserve {
        may_sell: false,
        ..sale.request(user, quantity)
    };
    // Neither with stock left nor for more than there is.
    let looks = [look(1, 1), look(1, 9), look(2, 1)];
    equal(
        sale.reserve_all(&looks).await?,
        vec![Verdict::NoOrder; 3],
        "looks of users without an order",
    )?;
    sale.expect_stock(5, 0).await?;
    equal(
        sale.list(0, 100).await?,
        Vec::new(),
        "open holds after looks",
    )?;
    let (held, settled, marked) = (
        sale.buy(1, 2).await?,
        sale.buy(2, 1).await?,
        sale.buy(3, 1).await?,
    );
    equal(sale.settle(&settled).await?, Finished::Done, "a settle")?;
    equal(
        sale.mark(0, &[key_of(&marked)]).await?.len(),
        1,
        "marked holds",
    )?;
    let before = sale.hold(held.order).await?;
    eventually("the engine's clock moves on", async || {
        Ok((sale.stock().await?.clock_ms > before.touched_at_ms).then_some(()))
    })
    .await?;
    let known = |bought: &Reserve, settled| {
        Verdict::Duplicate(Hold {
            order: bought.order,
            quantity: bought.quantity,
            settled,
            allocation: None,
        })
    };
    let late = Reserve {
        expires_at_ms: 1,
        ..look(1, 1)
    };
    let looks = [look(1, 1), look(2, 1), look(3, 1), late, look(4, 1)];
    let expected = vec![
        known(&held, false),
        known(&settled, true),
        Verdict::Busy,
        Verdict::Expired,
        Verdict::NoOrder,
    ];
    equal(sale.reserve_all(&looks).await?, expected, "looks")?;
    let after = sale.hold(held.order).await?;
    ensure(after.touched_at_ms > before.touched_at_ms, || {
        "a look did not touch its user's open hold".to_owned()
    })?;
    // Around a request that sells, in one batch, also where it is the last units that are sold.
    let sold = sale.request(5, 1);
    let batch = [look(5, 1), sold, look(5, 1), sale.request(6, 1), look(6, 1)];
    let expected = vec![
        Verdict::NoOrder,
        Verdict::GRANTED,
        known(&sold, false),
        Verdict::SoldOut { remaining: 0 },
        Verdict::NoOrder,
    ];
    equal(
        sale.reserve_all(&batch).await?,
        expected,
        "looks around requests that may sell",
    )?;
    let other = sale.under(sale.next_epoch().term);
    equal(
        other.reserve(look(1, 1)).await?,
        Verdict::NotOpen,
        "a look under another term",
    )?;
    sale.expect_stock(0, 4).await
}
