//! Wakes a lane when it has to look at its time-outs. One timer per thread rings the alarms that
//! are due, instead of one timer per request.

use crate::grpc::TIMEOUT_RESOLUTION;
use crate::grpc::shared::Shared;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use tokio::time::{MissedTickBehavior, interval};

/// The lane and the timer live on the same thread, so the atomics and the lock are never contended.
#[derive(Debug)]
pub struct Alarm {
    due_us: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            due_us: AtomicU64::new(u64::MAX),
            waker: Mutex::default(),
        }
    }
}

impl Alarm {
    pub fn register(&self, waker: &Waker) {
        let mut slot = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    pub fn arm(&self, due_us: u64) {
        self.due_us.store(due_us, Ordering::Relaxed);
    }

    pub fn disarm(&self) {
        self.arm(u64::MAX);
        self.waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    fn ring(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// Rings every alarm that is due, and all of them whenever the run is told to stop. Never ends
    /// by itself.
    pub async fn ring_all(alarms: Vec<Arc<Self>>, shared: Arc<Shared>) {
        let mut ticks = interval(TIMEOUT_RESOLUTION);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop_level = 0;
        loop {
            ticks.tick().await;
            let told =
                shared.stop.level() != std::mem::replace(&mut stop_level, shared.stop.level());
            let now_us = shared.clock.now_us();
            for alarm in alarms
                .iter()
                .filter(|alarm| told || alarm.due_us.load(Ordering::Relaxed) <= now_us)
            {
                alarm.ring();
            }
        }
    }
}
