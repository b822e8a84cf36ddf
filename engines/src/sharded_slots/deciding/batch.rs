//! One batch on its way: which requests are decided, and how the others are offered to the slots
//! where their buyers live.

use super::super::answers::{SlotAnswer, SlotState};
use super::super::link::Link;
use super::super::slots::Slots;
use crate::{EngineError, Reserve, Result, UserId, Verdict};
use futures_util::future::join_all;

/// A request that its home slot could not decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct UndecidedRequest {
    /// Where in the batch it is.
    pub(super) index: usize,
    /// Its home slot.
    pub(super) slot: usize,
    pub(super) user: UserId,
    pub(super) quantity: u64,
    /// Whether units may be granted to it.
    pub(super) may_sell: bool,
}

/// At most as many requests as one call of the script takes.
pub(super) struct Batch<'a> {
    pub(super) slots: &'a Slots,
    pub(super) link: &'a Link,
    requests: &'a [Reserve],
    answers: Vec<Option<Result<Verdict>>>,
    undecided: Vec<UndecidedRequest>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(slots: &'a Slots, link: &'a Link, requests: &'a [Reserve]) -> Self {
        let undecided = |(index, request): (usize, &Reserve)| UndecidedRequest {
            index,
            slot: slots.home(request.user),
            user: request.user,
            quantity: u64::from(request.quantity),
            may_sell: request.may_sell,
        };
        Self {
            slots,
            link,
            requests,
            answers: requests.iter().map(|_| None).collect(),
            undecided: requests.iter().enumerate().map(undecided).collect(),
        }
    }

    /// In the order of the batch.
    pub(super) fn undecided(&self) -> &[UndecidedRequest] {
        &self.undecided
    }

    /// What the undecided requests that may be sold to want together.
    pub(super) fn units_wanted(&self) -> u64 {
        let selling = self.undecided.iter().filter(|request| request.may_sell);
        selling.map(|request| request.quantity).sum()
    }

    /// Offers these requests to their home slots in parallel and notes what is decided; a slot
    /// sells only if it has at least `threshold(slot)` units. Returns the states of the slots that
    /// answered.
    pub(super) async fn offer(
        &mut self,
        requests: &[UndecidedRequest],
        threshold: impl Fn(usize) -> u64,
    ) -> Vec<(usize, SlotState)> {
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); self.slots.slots.len()];
        for request in requests {
            groups[request.slot].push(request.index);
        }
        let groups = groups
            .into_iter()
            .enumerate()
            .filter(|(_, group)| !group.is_empty());
        let calls = groups.map(async |(slot, group)| {
            let items: Vec<&Reserve> = group.iter().map(|index| &self.requests[*index]).collect();
            let answered = self
                .slots
                .reserve(self.link, slot, &items, threshold(slot))
                .await;
            (slot, group, answered)
        });
        let mut states = Vec::new();
        for (slot, group, answered) in join_all(calls).await {
            match answered {
                Ok(Some((state, answers))) => {
                    states.push((slot, state));
                    for (index, answer) in group.into_iter().zip(answers) {
                        self.answers[index] = match answer {
                            SlotAnswer::Decided(verdict) => Some(verdict),
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
        self.drop_decided();
        states
    }

    /// Tells these requests, by index in the batch, that so many units are left and they are sold
    /// out.
    pub(super) fn refuse(&mut self, refusals: impl IntoIterator<Item = (usize, u64)>) {
        for (index, remaining) in refusals {
            self.answers[index] = Some(Ok(Verdict::SoldOut { remaining }));
        }
        self.drop_decided();
    }

    /// Whether the request at `index` of the batch was granted.
    pub(super) fn was_granted(&self, index: usize) -> bool {
        matches!(&self.answers[index], Some(Ok(verdict)) if verdict.is_granted())
    }

    /// The term is over: that is the answer to everything that is still undecided.
    pub(super) fn give_up_not_open(&mut self) {
        self.answer_undecided(|| Ok(Verdict::NotOpen));
    }

    /// Another slot could not be asked, or a transfer not made. Nothing was sold to those that are
    /// still undecided, whatever became of it, so they may try again.
    pub(super) fn give_up_unavailable(&mut self, error: &EngineError) {
        self.answer_undecided(|| {
            Err(EngineError::Unavailable {
                context: format!("units in other slots: {error}"),
                source: None,
            })
        });
    }

    /// One answer per request, in order; "busy" for what is still undecided.
    pub(super) fn into_verdicts(self) -> Vec<Result<Verdict>> {
        let answers = self.answers.into_iter();
        answers
            .map(|answer| answer.unwrap_or(Ok(Verdict::Busy)))
            .collect()
    }

    fn answer_undecided(&mut self, answer: impl Fn() -> Result<Verdict>) {
        for request in self.undecided.drain(..) {
            self.answers[request.index] = Some(answer());
        }
    }

    fn drop_decided(&mut self) {
        let answers = &self.answers;
        self.undecided
            .retain(|request| answers[request.index].is_none());
    }
}
