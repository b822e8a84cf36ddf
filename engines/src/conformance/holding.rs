//! Checks of `open_holds`, `mark` and `stock`: every open hold is found, marked only when old, and
//! units are conserved.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::sale::{eventually, finish_of, key_of};
use crate::{EngineError, FinishKind, Finished, HoldKey, HoldPageQuery, OrderId, Result, Verdict};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Holds that stay open during a listing.
const STAYING: i64 = 2_000;
/// Age that a hold reaches while a check waits, ms.
const OLD_MS: u64 = 30;
/// Age that no hold reaches while a check runs, ms.
const NEVER_MS: u64 = 3_600_000;

pub(super) async fn listing_pages_through_every_open_hold(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(100_000).await?;
    let staying: Vec<_> = (1..=STAYING).map(|user| sale.request(user, 1)).collect();
    sale.reserve_all(&staying).await?;
    let expected: HashSet<OrderId> = staying.iter().map(|request| request.order).collect();
    // Others come and go meanwhile, so that the engine's tables grow and shrink under the listing.
    let passing = async {
        for round in 1..=20 {
            let batch: Vec<_> = (0..500)
                .map(|i| sale.request(round * 1_000_000 + i, 1))
                .collect();
            sale.reserve_all(&batch).await?;
            let finishes: Vec<_> = batch
                .iter()
                .map(|request| finish_of(request, FinishKind::Settle))
                .collect();
            sale.engine
                .finish(&sale.term, &finishes)
                .await
                .into_iter()
                .collect::<Result<Vec<_>>>()?;
        }
        Ok::<(), Failure>(())
    };
    let listing = async {
        let found: HashSet<OrderId> = sale
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
        sale.list(0, 10_000).await?.len(),
        expected.len(),
        "open holds when quiet",
    )?;
    equal(
        sale.list(NEVER_MS, 100).await?,
        Vec::new(),
        "holds untouched for an hour",
    )?;
    let oldest = eventually("a hold grows old", async || {
        Ok(sale.list(OLD_MS, 500).await?.pop())
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
    let sale = harness.open_sale(10).await?;
    let (bought, settled) = (sale.buy(1, 1).await?, sale.buy(2, 1).await?);
    equal(sale.settle(&settled).await?, Finished::Done, "a settle")?;
    let of_another = HoldKey {
        user: settled.user,
        order: bought.order,
    };
    let never_bought = sale.request(3, 1);
    let holds = [
        key_of(&bought),
        key_of(&settled),
        key_of(&never_bought),
        of_another,
    ];
    equal(
        sale.mark(NEVER_MS, &holds).await?,
        Vec::new(),
        "marks of holds touched within the hour",
    )?;
    equal(
        sale.hold(bought.order).await?.marked,
        false,
        "the mark of a hold touched within the hour",
    )?;
    let marked = eventually("the hold is old enough to be marked", async || {
        let marked = sale.mark(OLD_MS, &holds).await?;
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
    let again: Vec<OrderId> = sale
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

/// Holds that are touched and marked at the same time.
const RACING: i64 = 200;
/// Their age by then, ms; far longer than the pause between a touch and a mark that follows it.
const RACING_AGE_MS: u64 = 250;

/// Void and retry meet: each hold is either touched, and then too young for the mark, or marked,
/// and then its buyer is told to come back. If a mark could rest on an age that was read before the
/// touch, a buyer would be told of an order that is being voided.
pub(super) async fn a_hold_is_touched_or_marked_and_never_both(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(1_000).await?;
    let clients = sale.clients(2).await?;
    let (buyers, marker) = (&clients[0], &clients[clients.len() - 1]);
    let bought: Vec<_> = (1..=RACING).map(|user| sale.request(user, 1)).collect();
    sale.reserve_all(&bought).await?;
    eventually("all holds are old", async || {
        let old = sale.list(RACING_AGE_MS, 1_000).await?;
        Ok((old.len() == bought.len()).then_some(()))
    })
    .await?;
    let before_ms = sale.stock().await?.clock_ms;
    let touching = async {
        let mut answers = Vec::new();
        for batch in bought.chunks(7) {
            answers.extend(buyers.reserve(&sale.term, batch).await);
        }
        Ok::<_, Failure>(answers.into_iter().collect::<Result<Vec<_>>>()?)
    };
    let marking = async {
        let mut marked = Vec::new();
        let keys: Vec<_> = bought.iter().rev().map(key_of).collect();
        for batch in keys.chunks(7) {
            let age = Duration::from_millis(RACING_AGE_MS);
            marked.extend(marker.mark(&sale.term, batch, age).await?);
        }
        Ok::<_, Failure>(marked)
    };
    let (answers, marked) = tokio::join!(touching, marking);
    let marked: HashMap<OrderId, i64> = marked?
        .iter()
        .map(|hold| (hold.order, hold.touched_at_ms))
        .collect();
    for (request, answer) in bought.iter().zip(answers?) {
        match (&answer, marked.get(&request.order)) {
            (Verdict::Busy, Some(_)) | (Verdict::Duplicate(_), None) => {}
            // On a machine that stood still in between it may have grown old again.
            (Verdict::Duplicate(_), Some(touched_ms)) if *touched_ms >= before_ms => {}
            (_, mark) => {
                return Err(Failure(format!(
                    "a retry was answered {answer:?} while the hold's mark was {mark:?}"
                )));
            }
        }
    }
    Ok(())
}

pub(super) async fn a_marked_hold_stays_marked_until_it_is_finished(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let (to_settle, to_release) = (sale.buy(1, 1).await?, sale.buy(2, 2).await?);
    let holds = [key_of(&to_settle), key_of(&to_release)];
    equal(sale.mark(0, &holds).await?.len(), 2, "marked holds")?;
    for hold in holds {
        equal(
            sale.hold(hold.order).await?.marked,
            true,
            "the mark in a listing",
        )?;
    }
    sale.expect_stock(7, 3).await?;
    equal(
        sale.settle(&to_settle).await?,
        Finished::Done,
        "the settle of a marked hold",
    )?;
    equal(
        sale.release(&to_release).await?,
        Finished::Done,
        "the release of a marked hold",
    )?;
    equal(
        sale.list(0, 100).await?,
        Vec::new(),
        "open holds at the end",
    )?;
    equal(
        sale.mark(0, &holds).await?,
        Vec::new(),
        "marks of finished holds",
    )?;
    sale.expect_stock(9, 0).await
}

pub(super) async fn nothing_is_listed_or_marked_under_another_term(harness: &Harness) -> Outcome {
    let sale = harness.open_sale(10).await?;
    let bought = sale.buy(1, 4).await?;
    let other = sale.next_epoch();
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
        sale.hold(bought.order).await?.marked,
        false,
        "the mark of a hold after calls under another term",
    )
}

pub(super) async fn stock_is_conserved_when_quiet(harness: &Harness) -> Outcome {
    const GRANTED: i64 = 500;
    let sale = harness.open_sale(GRANTED as u64).await?;
    let (mut settled_units, mut open_units) = (0, 0);
    for user in 1..=60 {
        let bought = sale.buy(user, 1 + (user % 4) as u32).await?;
        let units = i64::from(bought.quantity);
        match user % 3 {
            0 => open_units += units,
            1 => {
                sale.settle(&bought).await?;
                settled_units += units;
            }
            _ => {
                sale.release(&bought).await?;
            }
        }
    }
    let view = sale.stock().await?;
    equal(view.open_units, open_units as u64, "units in open holds")?;
    equal(
        view.remaining + open_units + settled_units,
        GRANTED,
        "remaining + open + settled",
    )
}
