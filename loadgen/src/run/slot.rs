//! What a lane shares with the timers of its thread: when it has to look at its time-outs, and, in
//! an open loop, how many requests it has room for and which ones it was given. One timer per
//! thread serves all lanes, instead of one timer per request.

use super::request::Request;
use super::shared::Shared;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The lane and the timers live on the same thread, so the atomics and the locks are never
/// contended.
#[derive(Debug)]
pub struct Slot {
    look_at_ns: AtomicU64,
    room: AtomicUsize,
    given: Mutex<VecDeque<Request>>,
    waker: Mutex<Option<Waker>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            look_at_ns: AtomicU64::new(u64::MAX),
            room: AtomicUsize::new(0),
            given: Mutex::default(),
            waker: Mutex::default(),
        }
    }
}

impl Slot {
    pub fn register(&self, waker: &Waker) {
        let mut slot = lock(&self.waker);
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Wakes the lane at that moment, or up to the period of the alarm later.
    pub fn look_at(&self, at_ns: u64) {
        self.look_at_ns.store(at_ns, Ordering::Relaxed);
    }

    /// Wakes the lane at that moment at the latest.
    pub fn look_at_latest(&self, at_ns: u64) {
        self.look_at_ns.fetch_min(at_ns, Ordering::Relaxed);
    }

    /// The lane has ended and is not woken any more.
    pub fn leave(&self) {
        self.look_at(u64::MAX);
        self.set_room(0);
        lock(&self.waker).take();
    }

    pub fn wake(&self) {
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake_by_ref();
        }
    }

    /// How many more requests the lane can send at once.
    pub fn set_room(&self, room: usize) {
        self.room.store(room, Ordering::Relaxed);
    }

    pub fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed) > 0
    }

    /// Gives the lane a request; the caller has seen that there is room, and wakes it later.
    pub fn give(&self, request: Request) {
        self.room.fetch_sub(1, Ordering::Relaxed);
        lock(&self.given).push_back(request);
    }

    /// Takes what was given, in order.
    pub fn take_given(&self, into: &mut VecDeque<Request>) {
        into.append(&mut lock(&self.given));
    }

    fn is_due(&self, now_ns: u64) -> bool {
        self.look_at_ns.load(Ordering::Relaxed) <= now_ns
    }
}

/// Wakes every lane that has to look at its time-outs, and all of them whenever the run is told to
/// stop. Never ends by itself.
pub async fn alarm(slots: Vec<Arc<Slot>>, shared: Arc<Shared>, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop_level = 0;
    loop {
        ticks.tick().await;
        let level = shared.stop.level();
        let told = level != std::mem::replace(&mut stop_level, level);
        let now_ns = shared.clock.now_ns();
        for slot in slots.iter().filter(|slot| told || slot.is_due(now_ns)) {
            slot.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
