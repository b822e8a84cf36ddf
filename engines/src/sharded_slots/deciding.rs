//! How a batch is decided over several slots. Where there is plenty, phase 1 decides all of it;
//! where there is not, rounds of all three phases do.
//!
//! 1. `home_slots`: every request is offered to the slot where its buyer lives, and a slot sells
//!    only if it could serve everything that the whole batch wants. So either there is enough for
//!    everybody and the order of the requests does not matter, or nothing was sold to those that
//!    are still undecided.
//! 2. `all_slots` learns what every slot holds, and `plan` plays the undecided requests in order
//!    against that.
//! 3. `granting` moves the units, grants what was planned, and leaves those refusals that rest on
//!    these grants to be confirmed by the next round.

mod all_slots;
mod batch;
mod granting;
mod home_slots;
mod plan;

use super::link::Link;
use super::slots::Slots;
use crate::{Reserve, Result, Verdict};
use batch::Batch;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Rounds until a request that wants units which are there, but always on their way, is told to try
/// again.
const ROUNDS_MAX: u32 = 64;
/// Longest pause, chosen at random, after a round that decided nothing.
const PAUSE_MAX: Duration = Duration::from_millis(3);

/// One answer per request, in order. `requests` are at most as many as one call of the script
/// takes.
pub(super) async fn decide(
    slots: &Slots,
    link: &Link,
    requests: &[Reserve],
) -> Vec<Result<Verdict>> {
    let mut batch = Batch::new(slots, link, requests);
    // Whoever must not be sold to needs nothing but the home slot. Where units were short lately,
    // phase 1 alone would most likely be in vain.
    let is_short = batch.units_wanted() > 0 && slots.is_low.load(Ordering::Relaxed);
    let mut unconfirmed = None;
    for round in 0..ROUNDS_MAX {
        let (before, undecided_before) = (slots.last_states(), batch.undecided().len());
        let home_states = match round {
            0 => home_slots::sell_plenty(&mut batch).await,
            _ => home_slots::ask_without_selling(&mut batch).await,
        };
        if batch.undecided().is_empty() {
            break;
        }
        if round == 0 && !is_short {
            continue;
        }

        let Some(now) = all_slots::states(&mut batch, home_states).await else {
            break;
        };
        granting::confirm_refusals(&mut batch, unconfirmed.take(), &now);
        let before = before.as_deref().map_or(&[][..], Vec::as_slice);
        let plan = plan::plan(batch.undecided(), before, &now);

        unconfirmed = granting::carry_out(&mut batch, plan, now).await;
        let has_decided = batch.undecided().len() < undecided_before;
        if !has_decided && unconfirmed.is_none() {
            tokio::time::sleep(PAUSE_MAX.mul_f64(rand::random())).await;
        }
    }
    batch.into_verdicts()
}
