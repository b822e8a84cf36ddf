//! Checks of engines that deal the buyers among the processes: two instances, each with a client of
//! its own.

use super::harness::{Failure, Harness, Outcome, ensure, equal};
use super::sale::{Sale, bare, eventually};
use crate::{FinishKind, Finished, Reserve, UserId, Verdict};
use std::collections::HashSet;
use std::time::Duration;

/// Users tried to find some of each instance.
const USERS: i64 = 40;
/// Units of the sale that both sell out.
const GRANTED: u64 = 1_000;
/// Users who want them, one to three each.
const CROWD: i64 = 900;
/// Requests of one batch.
const BATCH: usize = 25;
/// Pause between two calls of `Tend`, as a process makes them.
const TEND_EVERY: Duration = Duration::from_millis(3);

pub(super) async fn pair(harness: &Harness, granted: u64) -> Result<(Sale<'_>, Sale<'_>), Failure> {
    let (one, other) = harness.closed_sale().await?.with_other_instance().await?;
    one.open(granted, Vec::new()).await?;
    other.tend().await?;
    Ok((one, other))
}

/// What every process does all the time, for as long as the check runs.
async fn tend_for_ever(sale: &Sale<'_>) -> Failure {
    loop {
        if let Err(failure) = sale.tend().await {
            return failure;
        }
        tokio::time::sleep(TEND_EVERY).await;
    }
}

/// Runs `check` while both processes tend their leases.
pub(super) async fn while_both_tend(
    one: &Sale<'_>,
    other: &Sale<'_>,
    check: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::select! {
        outcome = check => outcome,
        failure = tend_for_ever(one) => Err(failure),
        failure = tend_for_ever(other) => Err(failure),
    }
}

/// Users that `sale` owns, found out by asking for more than there is.
pub(super) async fn users_of(sale: &Sale<'_>) -> Result<Vec<i64>, Failure> {
    let far_too_many: Vec<_> = (1..=USERS)
        .map(|user| sale.request(user, 1_000_000_000))
        .collect();
    let verdicts = sale.reserve_all(&far_too_many).await?;
    let owned = (1..=USERS)
        .zip(verdicts)
        .filter(|(_, verdict)| *verdict != Verdict::WrongInstance);
    let owned: Vec<_> = owned.map(|(user, _)| user).collect();
    ensure(owned.len() >= 5, || {
        format!("of {USERS} users an instance owns only {owned:?}")
    })?;
    Ok(owned)
}

pub(super) async fn a_user_of_another_instance_is_told_so(harness: &Harness) -> Outcome {
    let (one, other) = pair(harness, 1_000).await?;
    let view = one.stock().await?;
    equal(
        view.instances(),
        vec![one.incarnation, other.incarnation],
        "among whom the buyers are dealt",
    )?;
    while_both_tend(&one, &other, async {
        for user in 1..=USERS {
            let verdicts = [
                ask(&one, one.request(user, 1)).await?,
                ask(&other, other.request(user, 1)).await?,
            ];
            let refused = verdicts
                .iter()
                .filter(|verdict| **verdict == Verdict::WrongInstance)
                .count();
            equal(
                (refused, verdicts.contains(&Verdict::GRANTED)),
                (1, true),
                "one instance sells, the other refuses",
            )?;
            let seller = if verdicts[0] == Verdict::GRANTED {
                &one
            } else {
                &other
            };
            equal(
                view.owner_of(UserId(user)),
                Some(seller.incarnation),
                "the owner of the user's partition, against who sells",
            )?;
        }
        Ok(())
    })
    .await?;
    let open = (
        one.stock().await?.open_units,
        other.stock().await?.open_units,
    );
    equal(open.0 + open.1, USERS as u64, "units in the holds of both")?;
    ensure(open.0 > 0 && open.1 > 0, || {
        format!("all users belong to one instance: {open:?}")
    })
}

pub(super) async fn only_the_owner_of_a_user_finishes_their_orders(harness: &Harness) -> Outcome {
    let (one, other) = pair(harness, 1_000).await?;
    // It starts after the opening, so it owns nobody; like every process it tends the open sale.
    let late = one.later_instance().await?;
    late.tend().await?;
    // It never heard of the term.
    let stranger = one.elsewhere().await?;
    let of_one = users_of(&one).await?;
    let request = one.request(of_one[0], 2);
    let (kinds, calls) = ([FinishKind::Settle, FinishKind::Release], [&other, &late]);
    while_both_tend(&one, &other, async {
        equal(
            ask(&one, request).await?,
            Verdict::GRANTED,
            "a request with stock left",
        )?;
        for kind in kinds {
            for elsewhere in calls {
                equal(
                    elsewhere.finish(&request, kind).await?,
                    Finished::WrongInstance,
                    "the finish of an order whose user another instance owns",
                )?;
            }
            let answer = stranger.finish(&request, kind).await?;
            let is_honest = matches!(answer, Finished::NotOpen | Finished::WrongInstance);
            ensure(is_honest, || {
                format!("a process that does not know the term answered {answer:?}")
            })?;
        }
        equal(
            one.hold(request.order).await?.quantity,
            2,
            "the hold after calls to other instances",
        )?;
        for (kind, expected) in [
            (FinishKind::Release, Finished::Done),
            (FinishKind::Release, Finished::AlreadyDone),
            (FinishKind::Settle, Finished::AlreadyDone),
        ] {
            equal(
                one.finish(&request, kind).await?,
                expected,
                "the finish by the owner",
            )?;
        }
        Ok(())
    })
    .await?;
    equal(one.stock().await?.open_units, 0, "units in open holds")
}

/// Asks until the answer is not "busy": units are on their way.
pub(super) async fn ask(sale: &Sale<'_>, request: Reserve) -> Result<Verdict, Failure> {
    eventually("an answer other than busy", async || {
        let verdict = sale.reserve(request).await?;
        Ok((verdict != Verdict::Busy).then_some(verdict))
    })
    .await
}

pub(super) async fn a_starving_instance_gets_the_idle_units_of_the_other(
    harness: &Harness,
) -> Outcome {
    let (one, other) = pair(harness, 10).await?;
    let (of_one, of_other) = (users_of(&one).await?, users_of(&other).await?);
    equal(
        ask(&one, one.request(of_one[0], 1)).await?,
        Verdict::GRANTED,
        "a request with stock left",
    )?;
    // Nobody tends: whatever the first has idle it keeps, so "sold out" would be wrong.
    let verdict = other.reserve(other.request(of_other[0], 9)).await?;
    let is_honest = matches!(verdict, Verdict::Granted { .. } | Verdict::Busy);
    ensure(is_honest, || {
        format!("9 units are left in all, and a request for them was answered {verdict:?}")
    })?;
    while_both_tend(&one, &other, async {
        if verdict == Verdict::Busy {
            equal(
                ask(&other, other.request(of_other[0], 9)).await?,
                Verdict::GRANTED,
                "a request for all that is left",
            )?;
        }
        equal(
            ask(&one, one.request(of_one[1], 1)).await?,
            Verdict::SoldOut { remaining: 0 },
            "one more unit",
        )?;
        equal(
            ask(&other, other.request(of_other[1], 1)).await?,
            Verdict::SoldOut { remaining: 0 },
            "one more unit elsewhere",
        )
    })
    .await
}

pub(super) async fn what_is_handed_back_can_be_sold_by_others(harness: &Harness) -> Outcome {
    let (one, other) = pair(harness, 10).await?;
    let (of_one, of_other) = (users_of(&one).await?, users_of(&other).await?);
    let bought = one.request(of_one[0], 2);
    equal(
        one.reserve(bought).await?,
        Verdict::GRANTED,
        "a request with stock left",
    )?;
    for _ in 0..2 {
        one.engine.hand_back(one.incarnation).await?;
    }
    for user in [of_one[0], of_one[1]] {
        equal(
            one.reserve(one.request(user, 1)).await?,
            Verdict::NotOpen,
            "a request after the hand-back",
        )?;
    }
    // Not a word from the first any more: what it gave back lies where everybody finds it.
    equal(
        other.reserve(other.request(of_other[0], 8)).await?,
        Verdict::GRANTED,
        "all that was handed back",
    )?;
    equal(
        one.release(&bought).await?,
        Finished::Done,
        "a release after the hand-back",
    )?;
    equal(
        other.reserve(other.request(of_other[1], 2)).await?,
        Verdict::GRANTED,
        "what was released since",
    )?;
    let refused = other.reserve(other.request(of_other[2], 1)).await?;
    equal(
        refused,
        Verdict::SoldOut { remaining: 0 },
        "a request after everything was sold",
    )
}

pub(super) async fn who_stops_with_everything_sold_leaves_nobody_waiting(
    harness: &Harness,
) -> Outcome {
    let (one, other) = pair(harness, 10).await?;
    let (of_one, of_other) = (users_of(&one).await?, users_of(&other).await?);
    let everything = one.request(of_one[0], 10);
    if one.reserve(everything).await? == Verdict::Busy {
        // The other has fetched some already.
        while_both_tend(&one, &other, async {
            equal(
                ask(&one, one.request(of_one[0], 10)).await?,
                Verdict::GRANTED,
                "all units to one buyer",
            )
        })
        .await?;
    }
    equal(one.stock().await?.open_units, 10, "units sold by the first")?;
    one.engine.hand_back(one.incarnation).await?;
    // The first will never say anything again.
    let refused = other.reserve(other.request(of_other[0], 1)).await?;
    equal(
        refused,
        Verdict::SoldOut { remaining: 0 },
        "a request after everything was sold and handed back",
    )
}

/// Sends the whole crowd to one instance; who was granted how much, and the smallest request
/// refused as sold out.
async fn sell(sale: &Sale<'_>) -> Result<(Vec<Reserve>, u32), Failure> {
    let (mut granted, mut refused) = (Vec::new(), u32::MAX);
    let crowd: Vec<_> = (1..=CROWD)
        .map(|user| sale.request(user, 1 + (user % 3) as u32))
        .collect();
    for batch in crowd.chunks(BATCH) {
        let mut open = batch.to_vec();
        while !open.is_empty() {
            let verdicts = sale.engine.reserve(&sale.term, &open).await;
            let mut busy = Vec::new();
            for (item, verdict) in open.into_iter().zip(verdicts) {
                match bare(verdict?) {
                    Verdict::Granted { .. } => granted.push(item),
                    Verdict::SoldOut { .. } => refused = refused.min(item.quantity),
                    Verdict::Busy => busy.push(item),
                    Verdict::WrongInstance => {}
                    wrong => {
                        return Err(Failure(format!("a first request was answered {wrong:?}")));
                    }
                }
            }
            open = busy;
        }
    }
    Ok((granted, refused))
}

pub(super) async fn two_instances_sell_every_unit_once_and_accept_no_user_twice(
    harness: &Harness,
) -> Outcome {
    let (one, other) = pair(harness, GRANTED).await?;
    while_both_tend(&one, &other, async {
        let (first, second) = tokio::join!(sell(&one), sell(&other));
        let ((granted, refused), (granted_elsewhere, refused_elsewhere)) = (first?, second?);
        let all = || granted.iter().chain(&granted_elsewhere);
        let users: HashSet<_> = all().map(|item| item.user).collect();
        equal(
            users.len(),
            all().count(),
            "users, against orders granted to them",
        )?;
        let units: u64 = all().map(|item| u64::from(item.quantity)).sum();
        let left = GRANTED
            .checked_sub(units)
            .ok_or_else(|| Failure(format!("{units} of {GRANTED} were granted")))?;
        let smallest = refused.min(refused_elsewhere);
        ensure(left < u64::from(smallest), || {
            format!("{left} units are left, but {smallest} were refused")
        })?;
        ensure(!granted.is_empty() && !granted_elsewhere.is_empty(), || {
            "one instance sold everything".to_owned()
        })?;
        for (sale, granted) in [(&one, &granted), (&other, &granted_elsewhere)] {
            for item in granted {
                equal(
                    sale.settle(item).await?,
                    Finished::Done,
                    "the settle of a granted order",
                )?;
            }
        }
        // Every unit is a row under the guard now, or left.
        let remaining = one.stock().await?.remaining;
        ensure(remaining >= left as i64, || {
            format!("{remaining} units remain by the engine, {left} by the count")
        })
    })
    .await
}
