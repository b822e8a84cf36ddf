//! What a process may do under one generation of its incarnation, and until when.

use crate::clock::monotonic_ms;
use crate::ids::Generation;
use crate::order_id::Minter;
use engines::IncarnationId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// One term of one incarnation. Read once per batch; everything that follows from the batch uses
/// this value.
#[derive(Debug)]
pub struct Identity {
    /// The incarnation.
    pub id: IncarnationId,
    /// Its generation; part of the routing key.
    pub generation: Generation,
    /// Mints this incarnation's order ids.
    pub minter: Arc<Minter>,
    revoked: AtomicBool,
    /// Whether nothing reaches its queue any more, and what tells the keeper so.
    unroutable: AtomicBool,
    lost: Notify,
    /// Monotonic ms until which the lease runs.
    valid_until_ms: AtomicU64,
}

impl Identity {
    /// An identity whose lease runs until `valid_until_ms`, monotonic.
    pub(super) fn new(
        id: IncarnationId,
        generation: Generation,
        minter: Arc<Minter>,
        valid_until_ms: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            generation,
            minter,
            revoked: AtomicBool::new(false),
            unroutable: AtomicBool::new(false),
            lost: Notify::new(),
            valid_until_ms: AtomicU64::new(valid_until_ms),
        })
    }

    /// fence-wait (R1): whether a request may be started, or a confirm that has just arrived may be
    /// answered with yes.
    pub fn may_act(&self) -> bool {
        !self.revoked.load(Ordering::SeqCst)
            && monotonic_ms() < self.valid_until_ms.load(Ordering::SeqCst)
    }

    /// How long it may still act.
    pub(super) fn left(&self) -> Duration {
        let until_ms = match self.is_revoked() {
            true => 0,
            false => self.valid_until_ms.load(Ordering::SeqCst),
        };
        Duration::from_millis(until_ms.saturating_sub(monotonic_ms()))
    }

    /// Whether it was ended before its lease ran out.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// exclusive-route (R6): a message under it came back. Nothing is started or answered with yes
    /// under it any more; its keeper finds out what comes next.
    pub fn route_is_lost(&self) {
        self.revoke();
        self.unroutable.store(true, Ordering::SeqCst);
        self.lost.notify_one();
    }

    /// Waits for the first message that came back, if none has yet.
    pub(super) async fn until_route_is_lost(&self) {
        while !self.unroutable.load(Ordering::SeqCst) {
            self.lost.notified().await;
        }
    }

    /// The lease runs until `valid_until_ms`, monotonic, from now on.
    pub(super) fn extend(&self, valid_until_ms: u64) {
        self.valid_until_ms.store(valid_until_ms, Ordering::SeqCst);
    }

    /// one-term-per-batch (R3): nothing is started or answered with yes under it any more.
    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
    }
}
