//! Phase 3: a plan is carried out, and what it refused is confirmed by a second look.

use super::super::answers::SlotState;
use super::super::transfers::{carry_out as carry_out_moves, complete_all};
use super::batch::{Batch, UndecidedRequest};
use super::plan::RoundPlan;
use crate::Result;
use std::collections::HashMap;
use std::sync::Arc;

/// Refusals whose plan came true: they hold if no unit has come back since `since`.
pub(super) struct UnconfirmedRefusals {
    /// The states of all slots that the plan was made from.
    since: Arc<Vec<SlotState>>,
    /// Units left, by index in the batch.
    remaining: HashMap<usize, u64>,
}

/// Makes the refusals of the round before final, unless units have come back meanwhile: nothing
/// may be idle anywhere when "sold out" is said, sold-out-means-gone (R18). All buyers that are
/// still undecided have been asked for again by now, because one with an order is never told that.
pub(super) fn confirm_refusals(
    batch: &mut Batch<'_>,
    unconfirmed: Option<UnconfirmedRefusals>,
    now: &[SlotState],
) {
    let Some(UnconfirmedRefusals { since, remaining }) = unconfirmed else {
        return;
    };
    let mut pairs = since.iter().zip(now);
    if pairs.all(|(since, now)| since.returned == now.returned) {
        let undecided = batch.undecided().iter();
        let refused: Vec<(usize, u64)> = undecided
            .filter_map(|request| Some((request.index, *remaining.get(&request.index)?)))
            .collect();
        batch.refuse(refused);
    }
}

/// Refuses, moves units and grants as planned from the states `now`. Returns the refusals that the
/// next round has to confirm; none if some grant that they rest on did not come true.
pub(super) async fn carry_out(
    batch: &mut Batch<'_>,
    plan: RoundPlan,
    now: Arc<Vec<SlotState>>,
) -> Option<UnconfirmedRefusals> {
    // Positions of the plan are those in the list as it is now, before anything is decided.
    let requests = batch.undecided().to_vec();
    let by_index = |refusals: &[(usize, u64)]| -> HashMap<usize, u64> {
        let refusals = refusals.iter();
        refusals
            .map(|(position, remaining)| (requests[*position].index, *remaining))
            .collect()
    };
    batch.refuse(by_index(&plan.refused));
    match move_units(batch, &plan, &now).await {
        Ok(Some(())) => {}
        Ok(None) => {
            batch.give_up_not_open();
            return None;
        }
        Err(error) => {
            batch.give_up_unavailable(&error);
            return None;
        }
    }
    let granted = plan.granted.iter();
    let offered: Vec<UndecidedRequest> = granted.map(|(at, _)| requests[*at]).collect();
    batch.offer(&offered, |slot| plan.needs[slot]).await;
    let mut expected = plan.granted.iter().filter(|(_, is_grant)| *is_grant);
    let came_true = expected.all(|(at, _)| batch.was_granted(requests[*at].index));
    (came_true && !plan.refused_after.is_empty()).then(|| UnconfirmedRefusals {
        since: now,
        remaining: by_index(&plan.refused_after),
    })
}

/// Completes the transfers that `now` shows, whoever began them, then makes those of the plan;
/// `None` if the term is not open.
async fn move_units(batch: &Batch<'_>, plan: &RoundPlan, now: &[SlotState]) -> Result<Option<()>> {
    let completed = complete_all(batch.slots, batch.link, now).await?;
    if completed.is_none() {
        return Ok(None);
    }
    carry_out_moves(batch.slots, batch.link, &plan.moves).await
}
