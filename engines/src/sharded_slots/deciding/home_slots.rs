//! Phase 1: every undecided request is offered to its home slot, which alone knows whether its
//! buyer has an order already.

use super::super::answers::SlotState;
use super::batch::Batch;
use std::sync::atomic::Ordering;

/// More units than a slot can hold: nothing is sold, everything else is decided.
const MORE_THAN_ANY_SLOT_HOLDS: u64 = 1 << 54;

/// A slot sells only if it could serve everything that the whole batch wants; who wants units and
/// got none is still undecided. Returns the states of the slots that answered.
pub(super) async fn sell_plenty(batch: &mut Batch<'_>) -> Vec<(usize, SlotState)> {
    let everything = batch.units_wanted();
    let states = offer_all(batch, everything).await;
    if everything > 0 {
        let is_low = !batch.undecided().is_empty();
        batch.slots.is_low.store(is_low, Ordering::Relaxed);
    }
    states
}

/// Sells nothing: finds the buyers who have an order by now, and what their slots hold.
pub(super) async fn ask_without_selling(batch: &mut Batch<'_>) -> Vec<(usize, SlotState)> {
    offer_all(batch, MORE_THAN_ANY_SLOT_HOLDS).await
}

async fn offer_all(batch: &mut Batch<'_>, threshold: u64) -> Vec<(usize, SlotState)> {
    let requests = batch.undecided().to_vec();
    batch.offer(&requests, |_| threshold).await
}
