//! Random calls to one sale, answered by the engine and by a plain in-memory model; the first
//! difference fails.
//!
//! Ages are tested with 0 (always old enough) and an hour (never), so that no clock is needed in
//! the model.

use super::harness::{Failure, Harness, Outcome, equal};
use super::sale::{Sale, finish_of, key_of};
use crate::{
    FinishKind, Finished, Hold, HoldKey, IncarnationId, Opened, OpeningBuyer, OrderId, Reserve,
    Result, UserId, Verdict,
};
use rand::{Rng, rngs::SmallRng};
use std::collections::BTreeMap;

/// Calls of one case.
const STEPS: u32 = 60;
/// Users of one case: few, so that they meet themselves again.
const USERS: i64 = 12;
/// Age that no hold reaches, ms.
const NEVER_MS: u64 = 3_600_000;
/// Steps that a failure shows.
const STEPS_SHOWN: usize = 12;

#[derive(Clone, Debug, Default)]
struct Model {
    remaining: u64,
    gate: BTreeMap<UserId, (OrderId, u32)>,
    holds: BTreeMap<OrderId, ModelHold>,
}

#[derive(Clone, Debug)]
struct ModelHold {
    user: UserId,
    quantity: u32,
    touched_by: Vec<IncarnationId>,
    marked: bool,
}

impl Model {
    fn reserve(&mut self, request: &Reserve) -> Verdict {
        if request.expires_at_ms <= 1 {
            return Verdict::Expired;
        }
        if let Some(&(order, quantity)) = self.gate.get(&request.user) {
            let Some(hold) = self.holds.get_mut(&order) else {
                return Verdict::Duplicate(Hold {
                    order,
                    quantity,
                    settled: true,
                    allocation: None,
                });
            };
            if hold.marked {
                return Verdict::Busy;
            }
            if !hold.touched_by.contains(&request.incarnation) {
                hold.touched_by.push(request.incarnation);
            }
            return Verdict::Duplicate(Hold {
                order,
                quantity,
                settled: false,
                allocation: None,
            });
        }
        if !request.may_sell {
            return Verdict::NoOrder;
        }
        if u64::from(request.quantity) > self.remaining {
            return Verdict::SoldOut {
                remaining: self.remaining,
            };
        }
        self.remaining -= u64::from(request.quantity);
        self.gate
            .insert(request.user, (request.order, request.quantity));
        let touched_by = vec![request.incarnation];
        let hold = ModelHold {
            user: request.user,
            quantity: request.quantity,
            touched_by,
            marked: false,
        };
        self.holds.insert(request.order, hold);
        Verdict::GRANTED
    }

    fn finish(&mut self, request: &Reserve, kind: FinishKind) -> Finished {
        if kind == FinishKind::Settle {
            return if self.holds.remove(&request.order).is_some() {
                Finished::Done
            } else {
                Finished::AlreadyDone
            };
        }
        match self.gate.get(&request.user) {
            Some(&(order, quantity)) if order == request.order => {
                self.gate.remove(&request.user);
                self.holds.remove(&order);
                self.remaining += u64::from(quantity);
                Finished::Done
            }
            _ => Finished::AlreadyDone,
        }
    }

    fn open_units(&self) -> u64 {
        self.holds
            .values()
            .map(|hold| u64::from(hold.quantity))
            .sum()
    }
}

/// One case: the engine, the model, every request so far, and what was done, for the message.
struct Case<'a> {
    sale: Sale<'a>,
    model: Model,
    requests: Vec<Reserve>,
    log: Vec<String>,
}

pub(super) async fn random_calls_answer_like_the_model(harness: &Harness) -> Outcome {
    for case in 0..harness.cases() {
        let mut rng = harness.rng(1_000 + u64::from(case));
        let granted = rng.random_range(0..40);
        let sale = harness.open_sale(granted).await?;
        let model = Model {
            remaining: granted,
            ..Model::default()
        };
        let mut case_state = Case {
            sale,
            model,
            requests: Vec::new(),
            log: vec![format!("open {granted}")],
        };
        for step in 0..STEPS {
            if let Err(failure) = case_state.step(&mut rng).await {
                let shown = case_state
                    .log
                    .iter()
                    .rev()
                    .take(STEPS_SHOWN)
                    .rev()
                    .cloned()
                    .collect::<Vec<_>>();
                let (seed, last) = (harness.seed(), shown.join("\n  "));
                return Err(Failure(format!(
                    "{failure}; seed {seed}, case {case}, step {step}; last:\n  {last}"
                )));
            }
        }
    }
    Ok(())
}

impl Case<'_> {
    async fn step(&mut self, rng: &mut SmallRng) -> Outcome {
        match rng.random_range(0..100) {
            0..45 => self.reserve(rng).await,
            45..75 => self.finish(rng).await,
            75..82 => self.mark(rng).await,
            82..86 => self.open_again(rng).await,
            86..90 => self.next_epoch(rng).await,
            _ => self.compare().await,
        }
    }

    async fn reserve(&mut self, rng: &mut SmallRng) -> Outcome {
        let mut batch = Vec::new();
        for _ in 0..rng.random_range(1..6) {
            let mut request = self
                .sale
                .request(rng.random_range(1..=USERS), rng.random_range(1..=6));
            request.incarnation = self
                .sale
                .incarnation_or_own(IncarnationId(rng.random_range(1..=3)));
            if rng.random_ratio(1, 15) {
                request.expires_at_ms = 1;
            }
            request.may_sell = !rng.random_ratio(1, 5);
            batch.push(request);
        }
        let short = |r: &Reserve| {
            format!(
                "user {} order {} x{} by {}{}",
                r.user,
                r.order,
                r.quantity,
                r.incarnation,
                if r.may_sell {
                    ""
                } else {
                    ", not to be sold to"
                }
            )
        };
        self.log.push(format!(
            "reserve {:?}",
            batch.iter().map(short).collect::<Vec<_>>()
        ));
        let expected: Vec<_> = batch
            .iter()
            .map(|request| self.model.reserve(request))
            .collect();
        self.requests.extend_from_slice(&batch);
        equal(self.sale.reserve_all(&batch).await?, expected, "verdicts")
    }

    async fn finish(&mut self, rng: &mut SmallRng) -> Outcome {
        let (mut batch, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..rng.random_range(1..5) {
            // Mostly an order that is live now, sometimes any that was ever asked for.
            let live: Vec<_> = self
                .model
                .gate
                .iter()
                .map(|(user, (order, _))| (*user, *order))
                .collect();
            let mut request = self.sale.request(rng.random_range(1..=USERS), 1);
            if !live.is_empty() && rng.random_bool(0.7) {
                (request.user, request.order) = live[rng.random_range(0..live.len())];
            } else if !self.requests.is_empty() {
                request = self.requests[rng.random_range(0..self.requests.len())];
            }
            let kind = if rng.random_bool(0.5) {
                FinishKind::Settle
            } else {
                FinishKind::Release
            };
            expected.push(self.model.finish(&request, kind));
            batch.push(finish_of(&request, kind));
        }
        self.log.push(format!("finish {batch:?}"));
        let answers = self
            .sale
            .engine
            .finish(&self.sale.term, &batch)
            .await
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        equal(answers, expected, "finished")
    }

    async fn mark(&mut self, rng: &mut SmallRng) -> Outcome {
        let age_ms = if rng.random_bool(0.7) { 0 } else { NEVER_MS };
        let mut keys = Vec::new();
        for (order, hold) in &self.model.holds {
            if rng.random_bool(0.3) {
                let user = hold.user;
                keys.push(HoldKey {
                    user,
                    order: *order,
                });
            }
        }
        keys.push(key_of(&self.sale.request(1, 1)));
        self.log.push(format!("mark {keys:?} of {age_ms} ms"));
        let mut expected = Vec::new();
        for HoldKey { order, .. } in &keys {
            if let Some(hold) = self.model.holds.get_mut(order) {
                hold.marked |= age_ms == 0;
                expected.extend(hold.marked.then_some(*order));
            }
        }
        let marked = self.sale.mark(age_ms, &keys).await?;
        let mut marked: Vec<_> = marked.iter().map(|hold| hold.order).collect();
        marked.sort();
        equal(marked, expected, "marked holds")
    }

    async fn open_again(&mut self, rng: &mut SmallRng) -> Outcome {
        self.log
            .push("open the same term again, and the same epoch under another nonce".to_owned());
        let term = self.sale.term;
        let again = self.sale.opening(rng.random_range(0..100), Vec::new());
        equal(
            self.sale.engine.open(&again).await?,
            Opened::AlreadyOpen,
            "opening the same term again",
        )?;
        let mut other = again;
        other.term.nonce.0 ^= 1;
        let stale = Opened::Stale { newest: term.epoch };
        equal(
            self.sale.engine.open(&other).await?,
            stale,
            "the same epoch under another nonce",
        )
    }

    async fn next_epoch(&mut self, rng: &mut SmallRng) -> Outcome {
        let granted = rng.random_range(0..40);
        let gate = &self.model.gate;
        let buyer = |(user, (order, quantity)): (&UserId, &(OrderId, u32))| OpeningBuyer {
            user: *user,
            order: *order,
            quantity: *quantity,
        };
        let buyers: Vec<_> = gate.iter().map(buyer).collect();
        self.log.push(format!(
            "next epoch, {granted} units, {} buyers",
            buyers.len()
        ));
        let old = self.sale.clone();
        self.sale = old.next_epoch();
        self.sale.open(granted, buyers).await?;
        self.model.remaining = granted;
        self.model.holds.clear();
        equal(
            old.reserve(old.request(1, 1)).await?,
            Verdict::NotOpen,
            "the epoch before",
        )
    }

    async fn compare(&mut self) -> Outcome {
        self.log.push("compare stock and holds".to_owned());
        let view = self.sale.stock().await?;
        let expected = (
            self.model.remaining as i64,
            self.model.open_units(),
            Some(self.sale.term.epoch),
            true,
        );
        equal(
            (view.remaining, view.open_units, view.epoch, view.is_open),
            expected,
            "stock",
        )?;
        let holds = self.sale.list(0, 5).await?;
        let actual: Vec<_> = holds
            .into_iter()
            .map(|hold| {
                (
                    hold.order,
                    hold.user,
                    hold.quantity,
                    hold.touched_by,
                    hold.marked,
                )
            })
            .collect();
        let expected = self.model.holds.iter();
        let expected: Vec<_> = expected
            .map(|(order, hold)| {
                (
                    *order,
                    hold.user,
                    hold.quantity,
                    hold.touched_by.clone(),
                    hold.marked,
                )
            })
            .collect();
        equal(actual, expected, "open holds")
    }
}
