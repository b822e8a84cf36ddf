//! The check of server loss: whatever happens to the server, nothing is sold from what it forgot.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::sale::{Sale, eventually};
use crate::{EngineError, Finished, Hold, OpeningBuyer, Tending, Verdict};

pub(super) async fn a_lost_server_is_noticed_and_a_new_epoch_goes_on(harness: &Harness) -> Outcome {
    let losses = harness.losses();
    ensure(!losses.is_empty(), || {
        "the engine claims to survive server loss, but the subject cannot lose it".to_owned()
    })?;
    for how in losses {
        lose_once(harness, &how)
            .await
            .map_err(|failure| Failure(format!("server {how}: {failure}")))?;
    }
    Ok(())
}

async fn lose_once(harness: &Harness, how: &str) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let (held, settled) = (sale.buy(1, 2).await?, sale.buy(2, 3).await?);
    equal(sale.settle(&settled).await?, Finished::Done, "a settle")?;
    harness.lose(how).await?;
    not_open_from_now_on(&sale).await?;
    equal(
        sale.release(&held).await?,
        Finished::NotOpen,
        "a release under the lost epoch",
    )?;
    equal(
        sale.settle(&held).await?,
        Finished::NotOpen,
        "a settle under the lost epoch",
    )?;
    // The care of a term that is lost repairs nothing, and opens nothing.
    for publisher in [None, Some(sale.incarnation)] {
        let term = sale.term;
        let tended = sale.engine.tend(&Tending { term, publisher }).await;
        ensure(!matches!(tended, Ok(1..)), || {
            format!("tending the lost epoch repaired {tended:?}")
        })?;
    }
    equal(
        sale.reserve(sale.request(4, 1)).await?,
        Verdict::NotOpen,
        "a request under the lost epoch once it was tended",
    )?;
    equal(
        sale.stock().await?.is_open,
        false,
        "is_open of the lost epoch",
    )?;

    let next = sale.next_epoch();
    let buyer = |bought: &crate::Reserve| OpeningBuyer {
        user: bought.user,
        order: bought.order,
        quantity: bought.quantity,
    };
    next.open(5, vec![buyer(&held), buyer(&settled)]).await?;
    equal(
        sale.reserve(sale.request(3, 1)).await?,
        Verdict::NotOpen,
        "the lost epoch after the next one opened",
    )?;
    for bought in [&held, &settled] {
        let hold = Hold {
            order: bought.order,
            quantity: bought.quantity,
            settled: true,
            allocation: None,
        };
        equal(
            next.reserve(next.request(bought.user.0, 1)).await?,
            Verdict::Duplicate(hold),
            "a buyer of the lost epoch",
        )?;
    }
    next.buy(3, 5).await?;
    equal(
        next.release(&held).await?,
        Finished::Done,
        "the release of a buyer of the lost epoch",
    )?;
    equal(
        next.release(&held).await?,
        Finished::AlreadyDone,
        "the buyer's second release",
    )?;
    next.expect_stock(2, 5).await
}

/// The first calls may fail, because their connection is gone; none may ever sell.
async fn not_open_from_now_on(sale: &Sale<'_>) -> Outcome {
    let mut user = 100;
    for _ in 0..3 {
        user += 1;
        let request = sale.request(user, 1);
        eventually(
            "the lost server is answered as not open",
            async || match sale.engine.reserve(&sale.term, &[request]).await.remove(0) {
                Ok(Verdict::NotOpen) => Ok(Some(())),
                Ok(other) => Err(Failure(format!("a lost server answered {other:?}"))),
                Err(EngineError::Unknown { .. } | EngineError::Unavailable { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
        )
        .await?;
    }
    // One call more on whatever connection there is now, and through a client that never saw the
    // old server.
    let fresh = sale.elsewhere().await?;
    equal(
        fresh.reserve(fresh.request(1, 1)).await?,
        Verdict::NotOpen,
        "a client that never saw the old server",
    )
}
