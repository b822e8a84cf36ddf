//! Checks of `reserve`: exact counts, refusals without a trace, batches that answer like single
//! requests.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::sale::{PUBLISHER, Sale, asked_until_answered};
use crate::{BATCH_MAX, EngineError, FinishKind, Nonce, Reserve, Term, Verdict};
use rand::{Rng, rngs::SmallRng};
use tokio::task::JoinSet;

/// Tasks that buy at the same time.
const TASKS: i64 = 64;
/// Clients they share.
const CLIENTS: usize = 4;

pub(super) async fn every_item_is_answered_in_order(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(u64::from(u32::MAX)).await?;
    // The largest is more than fits into one call of the server of most engines.
    for size in [0, 1, 2, 300, BATCH_MAX as i64] {
        let batch: Vec<_> = (0..size)
            .map(|user| sale.request(size * 10_000 + user, 1))
            .collect();
        equal(
            sale.reserve_all(&batch).await?.len(),
            batch.len(),
            "answers to a batch",
        )?;
        let finishes: Vec<_> = batch
            .iter()
            .map(|item| super::sale::finish_of(item, FinishKind::Settle))
            .collect();
        equal(
            sale.engine.finish(&sale.term, &finishes).await.len(),
            batch.len(),
            "answers to a batch of settlements",
        )?;
    }
    Ok(())
}

/// A batch of few users and mixed quantities, so that users repeat and stock runs out inside it.
fn mixed_batch(sale: &Sale<'_>, rng: &mut SmallRng, size: usize, users: i64) -> Vec<Reserve> {
    let request = |rng: &mut SmallRng| {
        let mut request = sale.request(rng.random_range(1..=users), rng.random_range(1..=5));
        if rng.random_ratio(1, 10) {
            request.expires_at_ms = 1;
        }
        request.may_sell = !rng.random_ratio(1, 8);
        request
    };
    (0..size).map(|_| request(rng)).collect()
}

pub(super) async fn a_batch_answers_as_the_same_requests_one_by_one(harness: &Harness) -> Outcome {
    let mut rng = harness.rng(1);
    for (size, users, granted) in [
        (40, 10, 20),
        (200, 150, 300),
        (200, 400, 90),
        (1_500, 900, 2_000),
    ] {
        let (batched, single) = (
            harness.open_sale(granted).await?,
            harness.open_sale(granted).await?,
        );
        let batch = mixed_batch(&batched, &mut rng, size, users);
        let together = batched.reserve_all(&batch).await?;
        for (index, (item, verdict)) in batch.iter().zip(together).enumerate() {
            equal(
                verdict,
                single.reserve(*item).await?,
                &format!("item {index} of a batch, against it alone"),
            )?;
        }
        let (a, b) = (batched.stock().await?, single.stock().await?);
        equal(
            (a.remaining, a.open_units),
            (b.remaining, b.open_units),
            "stock after a batch, against one by one",
        )?;
        let without_clock = async |sale: &Sale<'_>| -> Result<Vec<_>, Failure> {
            let holds = sale.list(0, 1_000).await?;
            Ok(holds
                .into_iter()
                .map(|hold| (hold.order, hold.user, hold.quantity, hold.touched_by))
                .collect())
        };
        equal(
            without_clock(&batched).await?,
            without_clock(&single).await?,
            "holds after a batch, against one by one",
        )?;
    }
    Ok(())
}

pub(super) async fn a_grant_takes_units_and_records_touch_and_incarnation(
    harness: &Harness,
) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let before_ms = sale.stock().await?.clock_ms;
    let bought = sale.buy(1, 3).await?;
    let after_ms = sale.stock().await?.clock_ms;
    sale.expect_stock(7, 3).await?;
    let hold = sale.hold(bought.order).await?;
    equal(
        (hold.user, hold.quantity, hold.marked),
        (bought.user, 3, false),
        "user, quantity and mark of a new hold",
    )?;
    equal(
        hold.touched_by,
        vec![PUBLISHER],
        "incarnations of a new hold",
    )?;
    let touched = hold.touched_at_ms;
    ensure((before_ms..=after_ms).contains(&touched), || {
        format!("touched at {touched}, bought {before_ms}..={after_ms}")
    })
}

pub(super) async fn the_count_is_exact_under_concurrent_tasks(harness: &Harness) -> Outcome {
    const GRANTED: u64 = 1_000;
    let sale = harness.open_sale(GRANTED).await?;
    let clients = sale.clients(CLIENTS).await?;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let batch: Vec<_> = (0..20)
            .map(|i| sale.request(task * 100 + i, 1 + ((task + i) % 3) as u32))
            .collect();
        let (engine, term) = (clients[task as usize % clients.len()].clone(), sale.term);
        tasks.spawn(async move {
            let mut granted_units = 0;
            for items in batch.chunks(4) {
                let verdicts = asked_until_answered(&*engine, &term, items).await;
                for (item, verdict) in items.iter().zip(verdicts) {
                    match verdict? {
                        Verdict::Granted { .. } => granted_units += u64::from(item.quantity),
                        Verdict::SoldOut { .. } => {}
                        other => {
                            return Err(Failure(format!("a first request was answered {other:?}")));
                        }
                    }
                }
            }
            Ok(granted_units)
        });
    }
    let mut granted_units = 0;
    while let Some(task) = tasks.join_next().await {
        granted_units += task.map_err(|error| Failure(error.to_string()))??;
    }
    // About 2,500 units are asked for, with single ones among the last requests, so everything
    // goes.
    equal(
        granted_units,
        GRANTED,
        "units granted to all tasks together",
    )?;
    sale.expect_stock(0, GRANTED).await
}

pub(super) async fn the_last_units_are_not_oversold(harness: &Harness) -> Outcome {
    for order in [
        [5, 2, 1],
        [5, 1, 2],
        [2, 5, 1],
        [1, 5, 2],
        [2, 1, 5],
        [1, 2, 5],
    ] {
        for is_batch in [false, true] {
            let sale = harness.open_sale(3).await?;
            let batch: Vec<_> = order
                .iter()
                .zip(1..)
                .map(|(quantity, user)| sale.request(user, *quantity))
                .collect();
            let mut verdicts = Vec::new();
            if is_batch {
                verdicts = sale.reserve_all(&batch).await?;
            } else {
                for request in &batch {
                    verdicts.push(sale.reserve(*request).await?);
                }
            }
            for (request, verdict) in batch.iter().zip(verdicts) {
                let is_granted = verdict.is_granted();
                equal(
                    is_granted,
                    request.quantity != 5,
                    &format!("{} units of 3, asked as {order:?}", request.quantity),
                )?;
            }
            sale.expect_stock(0, 3).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_refusal_leaves_no_trace(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(3).await?;
    let expired = Reserve {
        expires_at_ms: 1,
        ..sale.request(1, 1)
    };
    equal(
        sale.reserve(expired).await?,
        Verdict::Expired,
        "an expired request",
    )?;
    for _ in 0..3 {
        let refused = sale.reserve(sale.request(1, 4)).await?;
        equal(refused, Verdict::SoldOut { remaining: 3 }, "4 units of 3")?;
    }
    sale.expect_stock(3, 0).await?;
    equal(
        sale.list(0, 100).await?,
        Vec::new(),
        "open holds after refusals",
    )?;
    sale.buy(1, 3).await?;
    sale.expect_stock(0, 3).await
}

pub(super) async fn an_expired_request_sells_nothing(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(3).await?;
    let clock_ms = sale.stock().await?.clock_ms;
    let late = Reserve {
        expires_at_ms: clock_ms - 1,
        ..sale.request(1, 1)
    };
    equal(
        sale.reserve(late).await?,
        Verdict::Expired,
        "a request that expired 1 ms ago",
    )?;
    let in_time = Reserve {
        expires_at_ms: clock_ms + 60_000,
        ..sale.request(1, 1)
    };
    let batch = [
        Reserve {
            expires_at_ms: 0,
            ..sale.request(2, 1)
        },
        in_time,
        late,
    ];
    let expected = vec![Verdict::Expired, Verdict::GRANTED, Verdict::Expired];
    equal(
        sale.reserve_all(&batch).await?,
        expected,
        "expired requests around one in time",
    )?;
    sale.expect_stock(2, 1).await
}

pub(super) async fn a_request_of_nothing_is_refused(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(3).await?;
    let batch = [sale.request(1, 0), sale.request(2, 1), sale.request(1, 0)];
    let mut answers = sale.engine.reserve(&sale.term, &batch).await;
    equal(answers.len(), batch.len(), "answers to a batch")?;
    let granted = answers.remove(1)?;
    equal(
        granted.is_granted(),
        true,
        "a request among those of nothing",
    )?;
    for answer in answers {
        ensure(matches!(answer, Err(EngineError::Config(_))), || {
            format!("a request of 0 units was answered {answer:?}")
        })?;
    }
    sale.expect_stock(2, 1).await
}

pub(super) async fn many_sales_do_not_interfere(harness: &Harness) -> Outcome {
    let mut sales = Vec::new();
    for granted in 1..=20 {
        sales.push(harness.open_sale(granted).await?);
    }
    for sale in &sales {
        sale.buy(1, 1).await?;
    }
    for (sale, granted) in sales.iter().zip(1..) {
        sale.expect_stock(granted - 1, 1).await?;
        equal(
            sale.list(0, 100).await?.len(),
            1,
            "open holds of one of many sales",
        )?;
    }
    Ok(())
}

pub(super) async fn another_term_is_not_open(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(5).await?;
    let bought = sale.buy(1, 1).await?;
    let other_nonce = Term {
        nonce: Nonce(sale.term.nonce.0 ^ 1),
        ..sale.term
    };
    for term in [other_nonce, sale.next_epoch().term] {
        let other = sale.under(term);
        let batch = [sale.request(1, 1), sale.request(2, 1)];
        equal(
            other.reserve_all(&batch).await?,
            vec![Verdict::NotOpen; 2],
            "reserves under another term",
        )?;
        equal(
            other.stock().await?.is_open,
            false,
            "is_open of another term",
        )?;
    }
    equal(
        sale.hold(bought.order).await?.touched_by,
        vec![PUBLISHER],
        "the hold after calls under another term",
    )?;
    sale.expect_stock(4, 1).await
}
