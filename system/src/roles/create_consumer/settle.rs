//! Settles holds behind the consumer's back: a slow engine must not hold up the rows.
//!
//! What cannot be settled here is settled by the reconciler, because the row exists
//! (void-before-release, R9).

use super::counts::Counts;
use crate::envelope::OrderEvent;
use crate::failpoint;
use crate::metrics::nanos;
use crate::terms::Terms;
use engines::{AllocationId, Finish, FinishKind, StockEngine, Term};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Batches that may wait to be settled; beyond it they are left to the reconciler.
const MAX_WAITING_BATCHES: usize = 256;
/// Holds settled in one engine call.
const CHUNK: usize = 500;

/// Takes committed orders; cheap to clone. Settling ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Settler {
    sender: mpsc::Sender<Vec<OrderEvent>>,
    counts: Arc<Counts>,
}

impl Settler {
    /// Starts settling on the current runtime; without an engine, what is handed over is left to
    /// whoever can settle it.
    pub fn start(
        engine: Option<Arc<dyn StockEngine>>,
        terms: Terms,
        counts: Arc<Counts>,
    ) -> (Self, JoinHandle<()>) {
        let counting = counts.clone();
        let (sender, mut receiver) = mpsc::channel::<Vec<OrderEvent>>(MAX_WAITING_BATCHES);
        let task = tokio::spawn(async move {
            while let Some(orders) = receiver.recv().await {
                if let Some(engine) = &engine {
                    settle(engine.as_ref(), &terms, &orders, &counting).await;
                }
                let settled = orders.len() as u64;
                counting.unsettled.fetch_sub(settled, Ordering::Relaxed);
            }
        });
        (Self { sender, counts }, task)
    }

    /// Hands over orders whose rows are committed and live.
    pub fn hand_over(&self, orders: Vec<OrderEvent>) {
        if orders.is_empty() {
            return;
        }
        let count = orders.len() as u64;
        self.counts.unsettled.fetch_add(count, Ordering::Relaxed);
        if self.sender.try_send(orders).is_err() {
            self.counts.unsettled.fetch_sub(count, Ordering::Relaxed);
            tracing::warn!("settling lags behind; a batch is left to the reconciler");
        }
    }
}

async fn settle(engine: &dyn StockEngine, terms: &Terms, orders: &[OrderEvent], counts: &Counts) {
    let sales = terms.sales();
    let mut by_term: HashMap<AllocationId, (Term, Vec<Finish>)> = HashMap::new();
    for order in orders {
        let open = sales.get(&order.sale).and_then(|row| row.open);
        // An order of an earlier epoch is in the gate of the present one as settled already.
        let Some(open) = open.filter(|open| open.allocation_id == order.allocation) else {
            continue;
        };
        by_term
            .entry(open.allocation_id)
            .or_insert_with(|| (open.term, Vec::with_capacity(orders.len())))
            .1
            .push(Finish {
                user: order.user,
                order: order.order,
                kind: FinishKind::Settle,
            });
    }
    for (term, finishes) in by_term.into_values() {
        for chunk in finishes.chunks(CHUNK) {
            let began = Instant::now();
            let finished = engine.finish(&term, chunk).await;
            counts.settling.observe(nanos(began.elapsed()));
            for result in finished {
                if let Err(error) = result {
                    tracing::warn!(%error, "cannot settle; left to the reconciler");
                    break;
                }
            }
            failpoint::hit("consumer.mid_settle");
        }
    }
}
