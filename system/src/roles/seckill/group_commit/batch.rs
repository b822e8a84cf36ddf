//! One batch: reserve, publish what was granted, wait for the confirm, answer everyone.
//!
//! one-term-per-batch (R3): identity and term are read once, at the start, and used for everything
//! that follows.

use super::lanes::{Lane, Turn};
use super::pending::Pending;
use super::sold::Sold;
use crate::broker::{self, PublishOutcome, Publisher};
use crate::clock::{monotonic_ms, unix_ms};
use crate::envelope::{self, OrderEvent};
use crate::failpoint;
use crate::incarnation::Identity;
use crate::metrics::nanos;
use crate::order_id::minted_at_ms;
use crate::roles::seckill::counts::{Counts, Tally, Told};
use crate::roles::seckill::published::PublishedBatch;
use crate::roles::seckill::replies::{Reason, Refusal, Reply};
use crate::roles::seckill::shared::Shared;
use crate::store::SaleRow;
use crate::telemetry::Sending;
use engines::{AllocationId, EngineError, OrderId, Reserve, SaleId, StockEngine, Term, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Runs batches of one serving thread.
#[derive(Debug)]
pub struct Batch {
    pub shared: Arc<Shared>,
    pub engine: Arc<dyn StockEngine>,
    /// Whether grants are published; an engine that keeps no stock has nothing to publish.
    pub keeps_stock: bool,
    pub publisher: Arc<dyn Publisher>,
    pub counts: Arc<Counts>,
}

impl Batch {
    /// Answers every request of `pending`. Its `turn` is over when all are answered, or, where that
    /// is later, when the fate of what it published is known.
    pub async fn run(self, pending: Vec<Pending>, turn: Turn) {
        let tally = &mut self.counts.tally();
        let Some(identity) = self.shared.incarnation.current() else {
            return answer_all(pending, Reply::Unavailable(Reason::NoLease), tally);
        };
        let mut sold = Sold::with_capacity(pending.len());
        // deadline-before-reserve (R7): what is reserved and cannot be published is lost to other
        // buyers until the reconciler has voided it: a broker that is away for a second would cost
        // the whole stock. So the lane, too, comes first; without one, or without a broker, nothing
        // is sold, and whoever has an order is still told so.
        let can_publish =
            !self.keeps_stock || matches!(turn, Turn::Sell(_)) && self.publisher.is_connected();
        for (sale, requests) in by_sale(pending) {
            self.reserve(&identity, sale, requests, can_publish, (&mut sold, tally))
                .await;
        }
        if sold.waiting.is_empty() {
            return;
        }
        failpoint::hit("seckill.after_reserve");
        match turn {
            Turn::Sell(lane) if identity.may_act() => {
                self.publish(&identity, lane, sold, tally).await;
            }
            // fence-wait (R1): the lease ran out meanwhile and yes could not be said any more, so
            // nothing is sent either.
            _ => {
                let waiting = sold.waiting.into_iter().map(|(pending, ..)| pending);
                answer_all(waiting, Reply::Unavailable(Reason::NoLease), tally);
            }
        }
    }

    /// Asks the engine, and answers what needs no publishing.
    async fn reserve(
        &self,
        identity: &Identity,
        sale: SaleId,
        requests: Vec<Pending>,
        can_publish: bool,
        (sold, tally): (&mut Sold, &mut Tally<'_>),
    ) {
        let Some((row, open)) = self
            .shared
            .terms
            .sale(sale)
            .and_then(|row| Some((row, row.open?)))
        else {
            return answer_all(requests, Reply::Unavailable(Reason::SaleOpening), tally);
        };
        let (requests, items) = start(identity, requests, can_publish, tally);
        let Some(latest_ms) = requests.iter().map(|request| request.deadline_ms).max() else {
            return;
        };
        let began = Instant::now();
        let reserving = self.engine.reserve(&open.term, &items);
        let reserved = tokio::time::timeout(until(latest_ms), reserving).await;
        self.engine_answered(began.elapsed(), tally);
        let Ok(verdicts) = reserved else {
            for (request, item) in requests.into_iter().zip(items) {
                request.answer(without_answer(&item), tally);
            }
            return;
        };
        tell_failures(sale, &verdicts);
        // fence-wait (R1), sold-out-means-gone (R18): that an order is settled, and that there is
        // none, are said only while the lease runs, too.
        let may_act = identity.may_act();
        let may_return = self.may_return(&open.term, &verdicts, latest_ms).await;
        for ((pending, item), verdict) in requests.into_iter().zip(items).zip(verdicts) {
            match judge(&item, pending.asked.closed, verdict) {
                // sold-out-means-gone (R18): they may be held for somebody who gets no order.
                Judged::Answer(Reply::Refused(Refusal::SoldOut))
                    if may_return >= i64::from(item.quantity) =>
                {
                    pending.answer(Reply::Unavailable(Reason::BrokerAway), tally);
                }
                // An open hold, found while nothing can be sent.
                Judged::Publish { .. } if !can_publish => {
                    pending.answer(Reply::Unavailable(Reason::BrokerAway), tally);
                }
                Judged::Publish {
                    order,
                    quantity,
                    allocation,
                } if self.keeps_stock => {
                    let allocation = allocation.unwrap_or(open.allocation_id);
                    let event = event(&row, allocation, &pending, order, quantity);
                    sold.events.push(event);
                    let told = Told::yes(order == item.order);
                    sold.waiting.push((pending, order, told));
                }
                Judged::Publish { order, .. } => pending.answer(Reply::Accepted(order), tally),
                Judged::Answer(Reply::Accepted(_) | Reply::Refused(_)) if !may_act => {
                    pending.answer(Reply::Unavailable(Reason::NoLease), tally)
                }
                Judged::Answer(reply @ Reply::Accepted(_)) => {
                    pending.tell(reply, Told::REPEATED, tally);
                }
                Judged::Answer(reply) => pending.answer(reply, tally),
            }
        }
    }

    fn engine_answered(&self, took: Duration, tally: &mut Tally<'_>) {
        self.shared.pressure.engine_call(took);
        self.counts.reserving.observe(nanos(took));
        tally.look();
    }

    /// Units that are left or may still come back although somebody was refused as sold out: nil
    /// while no lane of the process is in doubt; otherwise what is held counts, too.
    async fn may_return(
        &self,
        term: &Term,
        verdicts: &[Result<Verdict, EngineError>],
        latest_ms: u64,
    ) -> i64 {
        let is_sold_out = |verdict| matches!(verdict, &Ok(Verdict::SoldOut { .. }));
        if self.shared.lanes_in_doubt.load(Ordering::Relaxed) == 0
            || !verdicts.iter().any(is_sold_out)
        {
            return 0;
        }
        match tokio::time::timeout(until(latest_ms), self.engine.stock(term)).await {
            Ok(Ok(stock)) => {
                let open_units = i64::try_from(stock.open_units).unwrap_or(i64::MAX);
                stock.remaining.saturating_add(open_units)
            }
            Ok(Err(_)) | Err(_) => i64::MAX,
        }
    }

    /// Publishes one message for the whole batch and answers when its fate is known, or at the
    /// deadline.
    async fn publish(
        &self,
        identity: &Arc<Identity>,
        lane: Lane,
        sold: Sold,
        tally: &mut Tally<'_>,
    ) {
        let (incarnation, generation) = (identity.id, identity.generation);
        let body = envelope::encode_orders(identity.id, generation, &sold.events);
        let system = broker::system(&self.shared.config.database);
        let trace = sold.trace(system, body.len());
        let Sold { waiting, events } = sold;
        let traceparent = trace.as_ref().map(Sending::traceparent);
        let publisher = self.publisher.clone();
        let published = self.shared.published.as_ref();
        let published = published.map(|published| (published, monotonic_ms()));
        self.shared.pressure.orders(events.len());
        let began = Instant::now();
        // A task of its own: a confirm that comes after the deadline must still be taken in by
        // somebody, and until then the lane is taken.
        let publishing = tokio::spawn(async move {
            lane.carry(publisher.publish(incarnation, generation, body, traceparent))
                .await
        });
        let latest_ms = waiting
            .iter()
            .map(|(pending, ..)| pending.deadline_ms)
            .max();
        let latest_ms = latest_ms.unwrap_or_default();
        // The next batch may begin when this one is answered.
        let (outcome, _lane) = match tokio::time::timeout(until(latest_ms), publishing).await {
            Ok(Ok((outcome, lane))) => (outcome, Some(lane)),
            Ok(Err(_)) | Err(_) => (PublishOutcome::Unknown, None),
        };
        self.counts.publishing.observe(nanos(began.elapsed()));
        if let Some(trace) = trace {
            trace.ended(outcome, outcome == PublishOutcome::Accepted);
        }
        failpoint::hit("seckill.after_publish");
        if let (PublishOutcome::Accepted, Some((published, before_ms))) = (outcome, published) {
            published.confirmed(PublishedBatch {
                incarnation,
                before_ms,
                orders: events,
            });
        }
        // exclusive-route (R6): nothing else under this identity would arrive either.
        if outcome == PublishOutcome::Unroutable {
            self.counts.returned.fetch_add(1, Ordering::Relaxed);
            identity.route_is_lost();
        }
        // fence-wait (R1): the confirm has arrived; yes is said only if the lease still runs and
        // nobody has fenced this term.
        let may_say_yes = identity.may_act();
        let now_ms = monotonic_ms();
        tally.look();
        for (pending, order, told) in waiting {
            let reply = match outcome {
                PublishOutcome::Accepted if may_say_yes && now_ms < pending.deadline_ms => {
                    pending.tell(Reply::Accepted(order), told, tally);
                    continue;
                }
                PublishOutcome::Accepted | PublishOutcome::Unknown => Reply::Unknown,
                PublishOutcome::Unroutable => Reply::Unavailable(Reason::QueueGone),
                PublishOutcome::Rejected => Reply::Unavailable(Reason::QueueFull),
                PublishOutcome::NotSent => Reply::Unavailable(Reason::BrokerAway),
            };
            pending.answer(reply, tally);
        }
    }
}

enum Judged {
    Publish {
        order: OrderId,
        quantity: u32,
        allocation: Option<AllocationId>,
    },
    Answer(Reply),
}

/// `closed`: what a buyer without an order is told where nothing could be sold; `None`: nothing can
/// be published.
fn judge(item: &Reserve, closed: Option<Refusal>, verdict: Result<Verdict, EngineError>) -> Judged {
    let reply = match verdict {
        Ok(Verdict::Granted { allocation }) => {
            return Judged::Publish {
                order: item.order,
                quantity: item.quantity,
                allocation,
            };
        }
        Ok(Verdict::Duplicate(hold)) if hold.settled => Reply::Accepted(hold.order),
        // Its first publish may never have happened: publish again, the consumer writes it once.
        Ok(Verdict::Duplicate(hold)) => {
            return Judged::Publish {
                order: hold.order,
                quantity: hold.quantity,
                allocation: hold.allocation,
            };
        }
        Ok(Verdict::SoldOut { .. }) => Reply::Refused(Refusal::SoldOut),
        Ok(Verdict::NoOrder) => {
            closed.map_or(Reply::Unavailable(Reason::BrokerAway), Reply::Refused)
        }
        Ok(Verdict::NotOpen) => Reply::Unavailable(Reason::SaleOpening),
        Ok(Verdict::WrongInstance) => Reply::Unavailable(Reason::OtherInstance),
        Ok(Verdict::Busy) => Reply::Unavailable(Reason::Busy),
        Ok(Verdict::Expired) => Reply::Unavailable(Reason::TooLate),
        Err(error) => match error.is_unknown() {
            true => without_answer(item),
            false => Reply::Unavailable(Reason::EngineAway),
        },
    };
    Judged::Answer(reply)
}

/// In one line, however many of a batch failed.
fn tell_failures(sale: SaleId, verdicts: &[Result<Verdict, EngineError>]) {
    let mut failures = verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
    if let Some(error) = failures.next() {
        let count = 1 + failures.count();
        tracing::warn!(sale = sale.0, count, %error, "reserve failed");
    }
}

/// The engine did not say what became of a request: it may have sold, unless it might not.
fn without_answer(item: &Reserve) -> Reply {
    match item.may_sell {
        true => Reply::Unknown,
        false => Reply::Unavailable(Reason::EngineAway),
    }
}

/// Drops requests that nobody waits for or that come too late, and mints ids for the others.
fn start(
    identity: &Identity,
    requests: Vec<Pending>,
    can_publish: bool,
    tally: &mut Tally<'_>,
) -> (Vec<Pending>, Vec<Reserve>) {
    let (now_ms, wall_ms) = (monotonic_ms(), unix_ms());
    let mut started = Vec::with_capacity(requests.len());
    let mut items = Vec::with_capacity(requests.len());
    for request in requests {
        if request.is_abandoned() {
            continue;
        }
        if now_ms >= request.deadline_ms {
            request.answer(Reply::Unavailable(Reason::TooLate), tally);
            continue;
        }
        let Some(order) = identity.minter.mint(wall_ms) else {
            request.answer(Reply::Unavailable(Reason::ClockBack), tally);
            continue;
        };
        items.push(Reserve {
            user: request.asked.user,
            order,
            quantity: request.asked.quantity,
            expires_at_ms: request.expires_at_ms,
            incarnation: identity.id,
            may_sell: can_publish && request.asked.closed.is_none(),
        });
        started.push(request);
    }
    (started, items)
}

fn event(
    row: &SaleRow,
    allocation: AllocationId,
    pending: &Pending,
    order: OrderId,
    quantity: u32,
) -> OrderEvent {
    OrderEvent {
        order,
        user: pending.asked.user,
        sale: row.sale,
        quantity,
        total_price_cents: row.price_cents.saturating_mul(i64::from(quantity)),
        allocation,
        created_at_ms: minted_at_ms(order),
    }
}

/// Groups by sale and keeps the order within each. Nearly always there is one.
fn by_sale(pending: Vec<Pending>) -> Vec<(SaleId, Vec<Pending>)> {
    let Some(first) = pending.first().map(|request| request.asked.sale) else {
        return Vec::new();
    };
    if pending.iter().all(|request| request.asked.sale == first) {
        return vec![(first, pending)];
    }
    let mut groups: HashMap<SaleId, Vec<Pending>> = HashMap::new();
    for request in pending {
        groups.entry(request.asked.sale).or_default().push(request);
    }
    groups.into_iter().collect()
}

fn answer_all(pending: impl IntoIterator<Item = Pending>, reply: Reply, tally: &mut Tally<'_>) {
    for request in pending {
        request.answer(reply, tally);
    }
}

fn until(deadline_ms: u64) -> Duration {
    Duration::from_millis(deadline_ms.saturating_sub(monotonic_ms()))
}
