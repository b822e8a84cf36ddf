//! A request between its arrival and its answer.

use crate::roles::seckill::counts::{Tally, Told};
use crate::roles::seckill::replies::{Refusal, Reply};
use crate::telemetry::TraceContext;
use engines::{SaleId, UserId};
use std::time::Instant;
use tokio::sync::oneshot;

/// What a buyer asks for.
#[derive(Debug)]
pub struct Asked {
    pub sale: SaleId,
    pub user: UserId,
    pub quantity: u32,
    /// Why the sale does not sell now, if it does not: whoever has an order is told so, as always, and
    /// everyone else gets that refusal.
    pub closed: Option<Refusal>,
    /// When they want it no longer, unix ms.
    pub not_after_ms: i64,
    /// The span of the request, if it is recorded.
    pub trace: Option<TraceContext>,
}

/// One request that waits for its batch.
#[derive(Debug)]
pub struct Pending {
    pub asked: Asked,
    /// When the request arrived.
    pub came: Instant,
    /// deadline-before-reserve (R7): it starts when the request arrives. Monotonic ms, for this
    /// process.
    pub deadline_ms: u64,
    /// The same deadline as unix ms, for the engine, or an earlier one that the buyer has named.
    pub expires_at_ms: i64,
    pub reply: oneshot::Sender<Reply>,
}

impl Pending {
    /// Answers whoever asked; they may have gone.
    pub fn answer(self, reply: Reply, tally: &mut Tally<'_>) {
        self.tell(reply, Told::of(reply), tally);
    }

    /// The same, where `told` says more than the reply.
    pub fn tell(self, reply: Reply, told: Told, tally: &mut Tally<'_>) {
        tally.count(told, self.came);
        let _ = self.reply.send(reply);
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}
