//! The clockwork of an open loop, one per thread: it sleeps until the next request is due and gives
//! the due ones, one after the other, to lanes that have room. It sleeps on a timer of the kernel
//! (timerfd) with the kernel's own precision, where a timer of the runtime would round up to 1 ms;
//! and it never spins, because a spinning driver takes a core from what it measures.

use super::shared::Shared;
use super::slot::Slot;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What keeps the schedule, as a result names it.
pub const PACING: &str = "timerfd";
/// How long it sleeps if the kernel's timer fails.
const WITHOUT_TIMER: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub struct Pacer {
    timer: AsyncFd<OwnedFd>,
    shared: Arc<Shared>,
    slots: Vec<Arc<Slot>>,
    /// The lane that is asked first for room.
    next: usize,
    given_to: Vec<usize>,
}

impl Pacer {
    /// Must be called within a runtime.
    pub fn new(shared: Arc<Shared>, slots: Vec<Arc<Slot>>) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "unsound only where the descriptor may change, which an OwnedFd's does not"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self {
            timer,
            shared,
            slots,
            next: 0,
            given_to: Vec::new(),
        })
    }

    /// Until everything that was due has ended; then every lane is woken to see that.
    pub async fn run(mut self) {
        while let Some(look_again_ns) = self.dispatch() {
            if self.shared.clock.now_ns() >= look_again_ns {
                // Already due; the lanes and the sockets have their turn first.
                tokio::task::yield_now().await;
            } else if self.sleep_until(look_again_ns).await.is_err() {
                // Late by up to 1 ms, and the lag says so.
                tokio::time::sleep(WITHOUT_TIMER).await;
            }
        }
        for slot in &self.slots {
            slot.wake();
        }
    }

    fn dispatch(&mut self) -> Option<u64> {
        let Self {
            slots,
            next,
            given_to,
            ..
        } = self;
        let give = |request| {
            let lanes = slots.len();
            let free = (0..lanes)
                .map(|step| (*next + step) % lanes)
                .find(|lane| slots[*lane].has_room());
            let Some(lane) = free else { return false };
            slots[lane].give(request);
            *next = (lane + 1) % lanes;
            given_to.push(lane);
            true
        };
        let now_ns = self.shared.clock.now_ns();
        let look_again_ns = self.shared.source.dispatch(now_ns, give);
        for lane in self.given_to.drain(..) {
            self.slots[lane].wake();
        }
        look_again_ns
    }

    async fn sleep_until(&self, at_ns: u64) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: self.shared.clock.monotonic(at_ns),
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        let mut ready = self.timer.readable().await?;
        let mut expirations = [0; 8];
        // An error says that it has not expired yet; then it is looked at a moment too early.
        let _ = rustix::io::read(self.timer.get_ref(), &mut expirations);
        ready.clear_ready();
        Ok(())
    }
}
