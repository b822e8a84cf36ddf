//! Checks of the gate: one live order per user, and the same answer to every retry.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::sale::{PUBLISHER, asked_until_answered, eventually, key_of};
use crate::{Finished, Hold, IncarnationId, OrderId, Reserve, UserId, Verdict};
use std::collections::HashMap;
use tokio::task::JoinSet;

/// Tasks that ask for the same users at the same time.
const TASKS: usize = 64;
/// Clients they share, if the engine allows that.
const CLIENTS: usize = 4;
/// Those users.
const USERS: i64 = 8;

pub(super) async fn a_retry_gets_the_same_order_id_and_touches_the_hold(
    harness: &Harness,
) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let bought = sale.buy(1, 2).await?;
    let first = sale.hold(bought.order).await?;
    eventually("the engine's clock moves on", async || {
        Ok((sale.stock().await?.clock_ms > first.touched_at_ms).then_some(()))
    })
    .await?;
    let expected = Verdict::Duplicate(Hold {
        order: bought.order,
        quantity: 2,
        settled: false,
        allocation: None,
    });
    let stranger = sale.incarnation_or_own(IncarnationId(7));
    for incarnation in [stranger, stranger, PUBLISHER] {
        let retry = Reserve {
            incarnation,
            ..sale.request(1, 5)
        };
        equal(
            sale.reserve(retry).await?,
            expected,
            "a retry with another order id and quantity",
        )?;
    }
    let touched = sale.hold(bought.order).await?;
    ensure(touched.touched_at_ms > first.touched_at_ms, || {
        "a retry did not touch the hold".to_owned()
    })?;
    equal(
        touched.touched_by,
        both(PUBLISHER, stranger),
        "incarnations that touched the hold",
    )?;
    sale.expect_stock(8, 2).await?;
    let other = sale.request(2, 1);
    let again = Reserve {
        order: sale.order(),
        incarnation: stranger,
        ..other
    };
    let in_one_batch = Verdict::Duplicate(Hold {
        order: other.order,
        quantity: 1,
        settled: false,
        allocation: None,
    });
    equal(
        sale.reserve_all(&[other, again]).await?,
        vec![Verdict::GRANTED, in_one_batch],
        "a user twice in a batch",
    )?;
    let twice = sale.hold(other.order).await?.touched_by;
    equal(
        twice,
        both(PUBLISHER, stranger),
        "incarnations of a user twice in a batch",
    )
}

fn both(first: IncarnationId, second: IncarnationId) -> Vec<IncarnationId> {
    if first == second {
        vec![first]
    } else {
        vec![first, second]
    }
}

pub(super) async fn a_user_has_one_live_hold_under_concurrent_retries(
    harness: &Harness,
) -> Outcome {
    let sale = harness.open_sale(1_000).await?;
    let clients = sale.clients(CLIENTS).await?;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let batch: Vec<_> = (1..=USERS)
            .map(|user| sale.request(user, 1 + (task % 2) as u32))
            .collect();
        let (engine, term) = (clients[task % clients.len()].clone(), sale.term);
        tasks.spawn(async move {
            let verdicts = asked_until_answered(&*engine, &term, &batch).await;
            batch.into_iter().zip(verdicts).collect::<Vec<_>>()
        });
    }
    let (mut granted, mut told): (HashMap<UserId, OrderId>, Vec<(UserId, OrderId)>) =
        Default::default();
    while let Some(answers) = tasks.join_next().await {
        for (request, verdict) in answers.map_err(|error| Failure(error.to_string()))? {
            match verdict? {
                Verdict::Granted { .. } => {
                    let before = granted.insert(request.user, request.order);
                    ensure(before.is_none(), || {
                        format!("user {} was granted two orders", request.user)
                    })?;
                }
                Verdict::Duplicate(hold) => told.push((request.user, hold.order)),
                other => {
                    return Err(Failure(format!(
                        "a request with stock left was answered {other:?}"
                    )));
                }
            }
        }
    }
    for (user, order) in told {
        equal(
            granted.get(&user),
            Some(&order),
            "the order id of a retry against the granted one",
        )?;
    }
    equal(
        sale.list(0, 100).await?.len(),
        USERS as usize,
        "open holds, one per user",
    )
}

pub(super) async fn a_settled_order_still_answers_its_buyer(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(5).await?;
    let bought = sale.buy(1, 2).await?;
    equal(sale.settle(&bought).await?, Finished::Done, "a settle")?;
    let expected = Verdict::Duplicate(Hold {
        order: bought.order,
        quantity: 2,
        settled: true,
        allocation: None,
    });
    equal(
        sale.reserve(sale.request(1, 1)).await?,
        expected,
        "a retry after the settle",
    )?;
    equal(
        sale.list(0, 100).await?,
        Vec::new(),
        "open holds after a retry of a settled order",
    )
}

pub(super) async fn a_marked_hold_answers_busy_and_is_not_touched(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(5).await?;
    let bought = sale.buy(1, 2).await?;
    equal(
        sale.mark(0, &[key_of(&bought)]).await?.len(),
        1,
        "marked holds",
    )?;
    let before = sale.hold(bought.order).await?;
    let retry = Reserve {
        incarnation: sale.incarnation_or_own(IncarnationId(7)),
        ..sale.request(1, 1)
    };
    equal(
        sale.reserve_all(&[retry, retry]).await?,
        vec![Verdict::Busy; 2],
        "retries while the hold is being voided",
    )?;
    equal(
        sale.hold(bought.order).await?.touched_by,
        before.touched_by,
        "incarnations of a marked hold",
    )?;
    let after = sale.hold(bought.order).await?;
    equal(
        after.touched_at_ms,
        before.touched_at_ms,
        "last touch of a marked hold",
    )?;
    equal(
        sale.release(&bought).await?,
        Finished::Done,
        "the release of a marked hold",
    )?;
    sale.buy(1, 5).await?;
    Ok(())
}

pub(super) async fn state_survives_a_dropped_client(harness: &Harness) -> Outcome {
    let first = harness.open_sale(10).await?;
    let (bought, settled) = (first.buy(1, 2).await?, first.buy(2, 3).await?);
    equal(first.settle(&settled).await?, Finished::Done, "a settle")?;
    let second = first.elsewhere().await?;
    drop(first);
    second.expect_stock(5, 2).await?;
    equal(
        second.hold(bought.order).await?.user,
        bought.user,
        "the hold through another client",
    )?;
    for (request, is_settled) in [(&bought, false), (&settled, true)] {
        let hold = Hold {
            order: request.order,
            quantity: request.quantity,
            settled: is_settled,
            allocation: None,
        };
        let retry = second.request(request.user.0, 1);
        equal(
            second.reserve(retry).await?,
            Verdict::Duplicate(hold),
            "a retry through another client",
        )?;
    }
    equal(
        second.release(&bought).await?,
        Finished::Done,
        "a release through another client",
    )?;
    equal(
        second.release(&bought).await?,
        Finished::AlreadyDone,
        "a second release through another client",
    )?;
    second.buy(3, 7).await?;
    Ok(())
}

pub(super) async fn a_grant_and_its_open_hold_name_the_same_allocation(
    harness: &Harness,
) -> Outcome {
    let sale = harness.open_sale(5).await?;
    let ask = async || {
        sale.engine
            .reserve(&sale.term, &[sale.request(1, 2)])
            .await
            .remove(0)
    };
    let Verdict::Granted { allocation } = ask().await? else {
        return Err(Failure("a request with stock left was refused".to_owned()));
    };
    let again = ask().await?;
    let same = matches!(again, Verdict::Duplicate(hold) if hold.allocation == allocation);
    ensure(same, || {
        format!("granted against {allocation:?}, but a retry was answered {again:?}")
    })
}
