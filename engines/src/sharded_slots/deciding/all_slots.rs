//! Phase 2, its first half: what every slot holds, which is what a plan is made from.

use super::super::answers::SlotState;
use super::batch::Batch;
use futures_util::future::join_all;
use std::sync::Arc;

/// The states of all slots: `known` from those that have just answered, and from all others now.
/// `None` if nothing is undecided any more, because the term is not open or a slot cannot be asked.
///
/// They are remembered for the next round, which may say "sold out" only because it knows two
/// states of every slot: sold-out-means-gone (R18).
pub(super) async fn states(
    batch: &mut Batch<'_>,
    known: Vec<(usize, SlotState)>,
) -> Option<Arc<Vec<SlotState>>> {
    let mut states: Vec<Option<SlotState>> = vec![None; batch.slots.slots.len()];
    for (slot, state) in known {
        states[slot] = Some(state);
    }
    let unknown = states.iter().enumerate().filter(|(_, s)| s.is_none());
    let asked = unknown.map(async |(slot, _)| (slot, batch.slots.state(batch.link, slot).await));
    for (slot, answered) in join_all(asked).await {
        match answered {
            Ok(Some(state)) => states[slot] = Some(state),
            Ok(None) => batch.give_up_not_open(),
            Err(error) => batch.give_up_unavailable(&error),
        }
    }
    let states = Arc::new(states.into_iter().collect::<Option<Vec<_>>>()?);
    batch.slots.remember_states(Arc::clone(&states));
    Some(states)
}
