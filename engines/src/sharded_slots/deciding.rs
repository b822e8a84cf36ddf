//! How a batch is decided over several slots: at once where there is plenty, in rounds of looking
//! at all slots, planning, moving and granting where there is not.
//!
//! The first round asks only the home slots, and a slot sells only if it could serve the *whole*
//! batch. So either there is enough for everybody and the order does not matter, or nothing has
//! been sold and plan.rs plays the requests in order.

use super::answers::{SlotAnswer, SlotState};
use super::link::Link;
use super::plan::{RoundPlan, UndecidedRequest, plan};
use super::slots::Slots;
use super::transfers::{carry_out, complete_all};
use crate::{EngineError, Reserve, Result, Verdict};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Rounds until a request that wants units which are there, but always on their way, is told to try
/// again.
const ROUNDS_MAX: u32 = 64;
/// Longest pause, chosen at random, after a round that decided nothing.
const PAUSE_MAX: Duration = Duration::from_millis(3);
/// More units than a slot can hold: nothing is sold, everything else is decided.
const NEVER: u64 = 1 << 54;

/// One batch on its way; at most as long as one call of the script.
pub(super) struct Deciding<'a> {
    slots: &'a Slots,
    link: &'a Link,
    batch: &'a [Reserve],
    answers: Vec<Option<Result<Verdict>>>,
    wishes: Vec<UndecidedRequest>,
    pending: Option<UnconfirmedRefusals>,
}

/// Refusals that hold if nothing has come back since these states: the grants before them have come
/// true.
struct UnconfirmedRefusals {
    since: Arc<Vec<SlotState>>,
    /// By index in the batch: units left.
    refused: HashMap<usize, u64>,
}

impl<'a> Deciding<'a> {
    pub(super) fn new(slots: &'a Slots, link: &'a Link, batch: &'a [Reserve]) -> Self {
        let wish = |(index, item): (usize, &Reserve)| UndecidedRequest {
            index,
            slot: slots.home(item.user),
            user: item.user,
            quantity: u64::from(item.quantity),
            may_sell: item.may_sell,
        };
        let wishes = batch.iter().enumerate().map(wish).collect();
        Self {
            slots,
            link,
            batch,
            answers: batch.iter().map(|_| None).collect(),
            wishes,
            pending: None,
        }
    }

    /// One answer per request, in order.
    pub(super) async fn run(mut self) -> Vec<Result<Verdict>> {
        let selling = self.wishes.iter().filter(|wish| wish.may_sell);
        let mut threshold: u64 = selling.map(|wish| wish.quantity).sum();
        // Who is not to be sold to needs nothing but the home slot.
        let may_sell = threshold > 0;
        let mut is_everywhere = may_sell && self.slots.is_low.load(Ordering::Relaxed);
        for _ in 0..ROUNDS_MAX {
            let before = self.last();
            let open = self.wishes.len();
            let Some(now) = self.ask(threshold, is_everywhere).await else {
                break;
            };
            if may_sell && threshold != NEVER {
                self.slots
                    .is_low
                    .store(!self.wishes.is_empty(), Ordering::Relaxed);
            }
            if is_everywhere && !self.wishes.is_empty() {
                let now = Arc::new(now);
                *self
                    .slots
                    .last_states
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&now));
                self.confirm_refusals(&now);
                self.round(before.as_deref().map_or(&[], Vec::as_slice), now)
                    .await;
            }
            if self.wishes.is_empty() {
                break;
            }
            if is_everywhere && self.wishes.len() == open && self.pending.is_none() {
                tokio::time::sleep(PAUSE_MAX.mul_f64(rand::random())).await;
            }
            (threshold, is_everywhere) = (NEVER, true);
        }
        self.answers
            .into_iter()
            .map(|answer| answer.unwrap_or(Ok(Verdict::Busy)))
            .collect()
    }

    fn last(&self) -> Option<Arc<Vec<SlotState>>> {
        self.slots
            .last_states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Offers every wish to its home slot and, if asked to, states at all other slots; `None` if
    /// that did not work.
    async fn ask(&mut self, threshold: u64, is_everywhere: bool) -> Option<Vec<SlotState>> {
        let positions: Vec<usize> = (0..self.wishes.len()).collect();
        let asked = self.offer(&positions, |_| threshold).await;
        let mut states = vec![SlotState::default(); self.slots.slots.len()];
        let mut missing = vec![true; states.len()];
        for (slot, look) in asked {
            states[slot] = look;
            missing[slot] = false;
        }
        if !is_everywhere || self.wishes.is_empty() {
            return Some(states);
        }
        let others = missing
            .iter()
            .enumerate()
            .filter(|(_, is_missing)| **is_missing);
        let others = others.map(async |(slot, _)| (slot, self.slots.state(self.link, slot).await));
        for (slot, look) in join_all(others).await {
            match look {
                Ok(Some(look)) => states[slot] = look,
                Ok(None) => self.give_up(|| Ok(Verdict::NotOpen)),
                Err(error) => self.give_up(|| Err(not_decided(&error))),
            }
        }
        (!self.wishes.is_empty()).then_some(states)
    }

    /// Offers these wishes to their home slots, all at once, and takes down what is decided; the
    /// states of those slots.
    async fn offer(
        &mut self,
        positions: &[usize],
        threshold: impl Fn(usize) -> u64,
    ) -> Vec<(usize, SlotState)> {
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); self.slots.slots.len()];
        for position in positions {
            groups[self.wishes[*position].slot].push(self.wishes[*position].index);
        }
        let groups = groups
            .into_iter()
            .enumerate()
            .filter(|(_, group)| !group.is_empty());
        let calls = groups.map(async |(slot, group)| {
            let items: Vec<&Reserve> = group.iter().map(|index| &self.batch[*index]).collect();
            let said = self
                .slots
                .reserve(self.link, slot, &items, threshold(slot))
                .await;
            (slot, group, said)
        });
        let mut states = Vec::new();
        for (slot, group, said) in join_all(calls).await {
            match said {
                Ok(Some((look, words))) => {
                    states.push((slot, look));
                    for (index, word) in group.into_iter().zip(words) {
                        self.answers[index] = match word {
                            SlotAnswer::Decided(verdict) => Some(Ok(verdict)),
                            SlotAnswer::NoUnits => Some(Err(EngineError::Config(
                                "a reserve of 0 units; at least 1 is needed".to_owned(),
                            ))),
                            SlotAnswer::Undecided => None,
                        };
                    }
                }
                Ok(None) => group
                    .into_iter()
                    .for_each(|index| self.answers[index] = Some(Ok(Verdict::NotOpen))),
                Err(error) => group
                    .into_iter()
                    .for_each(|index| self.answers[index] = Some(Err(error.repeat()))),
            }
        }
        let answers = &self.answers;
        self.wishes.retain(|wish| answers[wish.index].is_none());
        states
    }

    /// Makes the refusals of the round before final, if its grants came true and nothing has come
    /// back meanwhile. The buyers were asked for their gates again by now, because one with an
    /// order is never told "sold out".
    fn confirm_refusals(&mut self, now: &[SlotState]) {
        let Some(UnconfirmedRefusals { since, refused }) = self.pending.take() else {
            return;
        };
        if since
            .iter()
            .zip(now)
            .all(|(since, now)| since.returned == now.returned)
        {
            for wish in &self.wishes {
                if let Some(remaining) = refused.get(&wish.index) {
                    self.answers[wish.index] = Some(Ok(Verdict::SoldOut {
                        remaining: *remaining,
                    }));
                }
            }
        }
        let answers = &self.answers;
        self.wishes.retain(|wish| answers[wish.index].is_none());
    }

    /// Plans, moves and grants once.
    async fn round(&mut self, before: &[SlotState], now: Arc<Vec<SlotState>>) {
        let RoundPlan {
            refused,
            granted,
            refused_after,
            needs,
            moves,
        } = plan(&self.wishes, before, &now);
        for (position, remaining) in refused {
            self.answers[self.wishes[position].index] = Some(Ok(Verdict::SoldOut { remaining }));
        }
        let moved = match complete_all(self.slots, self.link, &now).await {
            Ok(Some(_)) => carry_out(self.slots, self.link, &moves).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match moved {
            Ok(Some(())) => {}
            Ok(None) => return self.give_up(|| Ok(Verdict::NotOpen)),
            Err(error) => return self.give_up(|| Err(not_decided(&error))),
        }
        let index_of = |position: &usize| self.wishes[*position].index;
        let expected: Vec<usize> = granted
            .iter()
            .filter(|(_, is_grant)| *is_grant)
            .map(|(at, _)| index_of(at))
            .collect();
        let later: HashMap<usize, u64> = refused_after
            .iter()
            .map(|(at, left)| (index_of(at), *left))
            .collect();
        let positions: Vec<usize> = granted.into_iter().map(|(position, _)| position).collect();
        self.offer(&positions, |slot| needs[slot]).await;
        let came_true = |index: &usize| matches!(&self.answers[*index], Some(Ok(verdict)) if verdict.is_granted());
        if !later.is_empty() && expected.iter().all(came_true) {
            self.pending = Some(UnconfirmedRefusals {
                since: now,
                refused: later,
            });
        }
    }

    /// Answers everything that is still open alike.
    fn give_up(&mut self, answer: impl Fn() -> Result<Verdict>) {
        for wish in self.wishes.drain(..) {
            if self.answers[wish.index].is_none() {
                self.answers[wish.index] = Some(answer());
            }
        }
    }
}

/// Nothing was sold to those that are still undecided, whatever became of a look or a transfer.
fn not_decided(error: &EngineError) -> EngineError {
    EngineError::Unavailable {
        context: format!("units in other slots: {error}"),
        source: None,
    }
}
