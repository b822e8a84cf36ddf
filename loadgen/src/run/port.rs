//! A lane's connection to its run: where it takes requests from, and where it says what became of
//! them. The clocks are here and in the recorder; a lane only reads the time and passes it on.

use super::follow::{Buying, Follow, Queue};
use super::recorder::Recorder;
use super::request::{Operation, Request, RequestEnd, Serves};
use super::shared::Shared;
use super::slot::Slot;
use crate::data::Element;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Counters of one thread, which its lanes add to.
#[derive(Debug, Default)]
pub struct Counters {
    pub purchases: Requests,
    /// Cancels and pays.
    pub changes: Requests,
    /// Closed loop: workers that have taken a request, and the sum of the moments at which each of
    /// them took its first.
    pub workers: AtomicU64,
    pub workers_began_ns: AtomicU64,
    /// Closed loop: how long workers thought, in all, until the first of them found no request.
    pub thought_ns: AtomicU64,
}

/// Requests of one thread.
#[derive(Debug, Default)]
pub struct Requests {
    /// Those that a server may have seen.
    pub sent: AtomicU64,
    /// Of what comes after a yes, how many have become due.
    pub followed: AtomicU64,
}

#[derive(Debug)]
pub struct Port {
    shared: Arc<Shared>,
    recorder: Arc<Mutex<Recorder>>,
    counters: Arc<Counters>,
    slot: Arc<Slot>,
    /// Closed loop: the lane's workers, those without a request, and when those who think have
    /// thought, in order.
    workers: u32,
    idle: u32,
    thinking: VecDeque<u64>,
    began: bool,
    exhausted: bool,
    /// Open loop: requests that ended since the lane last took some. It takes at most as many of
    /// those that wait; the others are dealt out by the pacer, so that no lane takes all.
    freed: usize,
    /// Of a lane that sends what comes after a yes: whence it takes that.
    queue: Option<Arc<Queue>>,
    /// Of a purchase's lane, where something may follow.
    _buying: Option<Buying>,
}

impl Port {
    /// `workers` is 0 in an open loop.
    pub fn new(
        shared: Arc<Shared>,
        recorder: Arc<Mutex<Recorder>>,
        counters: Arc<Counters>,
        workers: u32,
    ) -> Self {
        Self {
            _buying: shared.follow.as_ref().map(Follow::buying),
            shared,
            recorder,
            counters,
            slot: Arc::default(),
            workers,
            idle: workers,
            thinking: VecDeque::new(),
            began: false,
            exhausted: false,
            freed: 0,
            queue: None,
        }
    }

    /// Of a lane that sends what is in this queue.
    pub(super) fn following(
        shared: Arc<Shared>,
        recorder: Arc<Mutex<Recorder>>,
        counters: Arc<Counters>,
        queue: &Arc<Queue>,
    ) -> Self {
        Self {
            slot: Arc::clone(&queue.slot),
            queue: Some(Arc::clone(queue)),
            _buying: None,
            ..Self::new(shared, recorder, counters, 0)
        }
    }

    pub(super) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }

    /// Since the start of the run. A lane reads the time once per batch of replies.
    pub fn now_ns(&self) -> u64 {
        self.shared.clock.now_ns()
    }

    /// The moment as an instant of the standard library.
    pub fn instant(&self, at_ns: u64) -> std::time::Instant {
        self.shared.clock.instant(at_ns)
    }

    pub fn element(&self, index: u32) -> &Element {
        self.shared.element(index)
    }

    /// The order that a request names, 0 for a purchase, and the index in the data of what was bought
    /// with it, or is to be bought.
    pub fn asked(&self, operation: Operation) -> (i64, u32) {
        self.shared.asked(operation)
    }

    /// None for a lane of ordinary purchases.
    pub fn serves(&self) -> Option<Serves> {
        self.queue.as_ref().map(|queue| queue.serves)
    }

    /// Whether the lane sends purchases, be they the first or those after a cancel.
    fn buys(&self) -> bool {
        matches!(self.serves(), None | Some(Serves::BuyAgain))
    }

    fn requests(&self) -> &Requests {
        match self.buys() {
            true => &self.counters.purchases,
            false => &self.counters.changes,
        }
    }

    /// Whether what cannot be sent goes back to the other lanes. It does not where each lane has its
    /// own: in a closed loop, and after a yes.
    pub fn is_open_loop(&self) -> bool {
        self.queue.is_none() && self.shared.source.is_open()
    }

    /// When a request is given up.
    pub fn deadline_ns(&self, request: &Request) -> u64 {
        request.due_ns + self.shared.timeout_ns
    }

    /// Nothing more may be sent; what is under way is waited for.
    pub fn is_stopping(&self) -> bool {
        self.shared.stop.is_stopping()
    }

    /// What is under way is given up.
    pub fn is_abandoning(&self) -> bool {
        self.shared.stop.is_abandoning()
    }

    /// Wakes `waker` when there are requests for the lane, at the moment of [`Port::look_at`], and
    /// when the run is told to stop. To be called whenever the lane is polled.
    pub fn register(&self, waker: &Waker) {
        self.slot.register(waker);
    }

    /// Sets the one moment at which the lane wants to be woken; a think time may wake it earlier.
    pub fn look_at(&self, at_ns: u64) {
        if let Some(queue) = &self.queue {
            return queue.look_at(at_ns);
        }
        let thought_ns = self.thinking.front().copied().unwrap_or(u64::MAX);
        self.slot.look_at(at_ns.min(thought_ns));
    }

    /// The lane has ended.
    pub fn leave(&mut self) {
        self.slot.leave();
        let now_ns = self.now_ns();
        for thought_ns in std::mem::take(&mut self.thinking) {
            self.thought(thought_ns, now_ns);
        }
    }

    /// Appends requests that begin now, for a lane that can send `room` at once. In a closed loop,
    /// every free worker takes one, whatever the room: they wait in the lane, and their clocks run.
    pub fn take(&mut self, now_ns: u64, room: usize, waiting: &mut VecDeque<Request>) {
        if let Some(queue) = &self.queue {
            let due = queue.take_due(now_ns, waiting);
            self.requests().followed.fetch_add(due, Ordering::Relaxed);
            return;
        }
        if self.is_open_loop() {
            self.slot.take_given(waiting);
            let room = room
                .saturating_sub(waiting.len())
                .min(std::mem::take(&mut self.freed));
            if room > 0 {
                let give = |request| waiting.push_back(request);
                self.shared.source.take_waiting(room, give);
            }
            return;
        }
        while let Some(thought_ns) = self
            .thinking
            .pop_front_if(|thought_ns| *thought_ns <= now_ns)
        {
            self.idle += 1;
            self.thought(thought_ns, now_ns);
        }
        while self.idle > 0 && !self.exhausted {
            match self.shared.source.draw(now_ns) {
                Some(request) => {
                    self.idle -= 1;
                    waiting.push_back(request);
                    self.begin(now_ns);
                }
                None => self.exhausted = true,
            }
        }
    }

    /// A worker who was to think until `thought_ns` has done so until now.
    fn thought(&self, thought_ns: u64, now_ns: u64) {
        let since_ns = thought_ns - self.shared.think_ns;
        let until_ns = now_ns.min(self.shared.source.exhausted_ns());
        let ns = until_ns.saturating_sub(since_ns);
        self.counters.thought_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn begin(&mut self, now_ns: u64) {
        if !std::mem::replace(&mut self.began, true) {
            let workers = u64::from(self.workers);
            let counters = &self.counters;
            counters.workers.fetch_add(workers, Ordering::Relaxed);
            let began_ns = workers * now_ns;
            counters
                .workers_began_ns
                .fetch_add(began_ns, Ordering::Relaxed);
        }
    }

    /// After sending: `sent` more requests have been handed to the connection, what still waits
    /// could not be, and there is room for `room` more.
    pub fn sent(&mut self, sent: u64, waiting: &mut VecDeque<Request>, room: usize) {
        if sent > 0 {
            self.requests().sent.fetch_add(sent, Ordering::Relaxed);
        }
        if self.is_open_loop() {
            if !waiting.is_empty() {
                self.shared.source.give_back(waiting.drain(..));
            }
            self.slot.set_room(room);
        }
    }

    /// A server that is going away certainly did not process `count` requests that were sent to it;
    /// they wait in the lane again.
    pub fn not_processed(&self, count: u64) {
        self.requests().sent.fetch_sub(count, Ordering::Relaxed);
    }

    /// The lane has no connection for now; what waits goes to others, where there are any.
    pub fn disconnected(&mut self, waiting: &mut VecDeque<Request>, reason: &str) {
        if self.is_open_loop() {
            self.slot.take_given(waiting);
        }
        self.sent(0, waiting, 0);
        self.recorder().connection_lost(reason);
    }

    /// Records the requests that ended by now, and frees their workers.
    pub fn end(&mut self, now_ns: u64, ended: &mut Vec<(Request, RequestEnd)>) {
        if ended.is_empty() {
            return;
        }
        let count = ended.len();
        if self.queue.is_none() {
            self.freed += count;
            self.free(now_ns, count);
        }
        {
            let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
            for (request, end) in ended.drain(..) {
                recorder.record(&self.shared, &request, end, now_ns);
            }
        }
        if self.queue.is_none() {
            self.shared.source.ended(count as u64);
        }
    }

    /// Requests that workers have taken, or that are due after a yes, are not sent any more, because
    /// the run is stopping.
    pub fn drop_stopped(&mut self, now_ns: u64, waiting: &mut VecDeque<Request>) {
        if self.queue.is_some() {
            return self.drop_following(now_ns, waiting);
        }
        self.exhausted = true;
        self.shared.source.exhaust(now_ns);
        if !waiting.is_empty() {
            let mut recorder = self.recorder();
            for request in waiting.drain(..) {
                recorder.drop_stopped(&self.shared, &request, now_ns);
            }
        }
    }

    fn drop_following(&mut self, now_ns: u64, waiting: &mut VecDeque<Request>) {
        self.take(now_ns, 0, waiting);
        let not_due = self.queue.as_ref().map_or(0, |queue| queue.clear());
        let due = waiting.drain(..).len() as u64;
        {
            let mut recorder = self.recorder();
            recorder.stopped += due;
            recorder.purchases_stopped += if self.buys() { due } else { 0 };
        }
        if let Some(follow) = self.shared.follow.as_ref().filter(|_| due + not_due > 0) {
            follow.forget(due + not_due);
        }
    }

    /// Whether the lane, with nothing under way and nothing waiting, will never get a request
    /// again.
    pub fn is_over(&self) -> bool {
        match &self.shared.follow {
            Some(follow) if self.queue.is_some() => follow.is_over(),
            _ if self.shared.source.is_open() => self.shared.source.is_over(),
            _ => self.exhausted,
        }
    }

    fn free(&mut self, now_ns: u64, count: usize) {
        match self.shared.think_ns {
            0 => self.idle += count as u32,
            think_ns => {
                let thought_ns = now_ns + think_ns;
                self.thinking.extend(std::iter::repeat_n(thought_ns, count));
            }
        }
    }

    fn recorder(&self) -> std::sync::MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
