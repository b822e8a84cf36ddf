//! The schedule of an open loop and the requests that are due and wait to be sent. It has no clock:
//! whoever calls it says what time it is, in ns since the start.

use std::collections::VecDeque;

/// How soon a waiting request is looked at again when nothing else becomes due: a bound on how long
/// a lane that has room may stay without one that another thread's lanes could not take.
const WAITING_LOOK_NS: u64 = 1_000_000;

/// Requests that were due and never sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    pub backlog_full: u64,
    pub deadline_passed: u64,
    pub stopped: u64,
}

impl Drops {
    pub fn total(&self) -> u64 {
        self.backlog_full + self.deadline_passed + self.stopped
    }

    /// By reason, as a result names it; only what there was.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("backlog full", self.backlog_full),
            ("deadline passed before it was sent", self.deadline_passed),
            ("stopped", self.stopped),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }
}

#[derive(Debug)]
pub struct Backlog {
    due_times_ns: Vec<u64>,
    /// Index of the first request that is not due yet.
    next_due: usize,
    /// Number and due time of what waits, oldest first.
    waiting: VecDeque<(u64, u64)>,
    waiting_max: usize,
    in_flight: u64,
    in_flight_max: u64,
    timeout_ns: u64,
    drops: Drops,
    stopped: bool,
}

impl Backlog {
    pub fn new(
        due_times_ns: Vec<u64>,
        waiting_max: usize,
        in_flight_max: u64,
        timeout_ns: u64,
    ) -> Self {
        Self {
            waiting: VecDeque::with_capacity(waiting_max.min(due_times_ns.len())),
            due_times_ns,
            next_due: 0,
            waiting_max,
            in_flight: 0,
            in_flight_max,
            timeout_ns,
            drops: Drops::default(),
            stopped: false,
        }
    }

    /// Lets everything wait that is due by now, and drops what waited too long. Those who find the
    /// backlog full are dropped, not those who were there before. Once stopped, nothing becomes due
    /// any more, and nothing waits.
    pub fn advance(&mut self, now_ns: u64, stopping: bool) {
        let timeout_ns = self.timeout_ns;
        while self
            .waiting
            .pop_front_if(|(_, due_ns)| *due_ns + timeout_ns <= now_ns)
            .is_some()
        {
            self.drops.deadline_passed += 1;
        }
        if stopping {
            self.stopped = true;
            self.drops.stopped += self.waiting.len() as u64;
            self.waiting.clear();
        }
        if self.stopped {
            return;
        }
        while let Some(due_ns) = self.due_times_ns.get(self.next_due)
            && *due_ns <= now_ns
        {
            if *due_ns + timeout_ns <= now_ns {
                self.drops.deadline_passed += 1;
            } else if self.waiting.len() >= self.waiting_max {
                self.drops.backlog_full += 1;
            } else {
                self.waiting.push_back((self.next_due as u64, *due_ns));
            }
            self.next_due += 1;
        }
    }

    /// Number and due time of the request that is to be sent next; none while as many as allowed
    /// are under way.
    pub fn next(&self) -> Option<(u64, u64)> {
        let may_send = self.in_flight < self.in_flight_max;
        may_send.then(|| self.waiting.front().copied()).flatten()
    }

    /// The next one is under way from now on.
    pub fn take(&mut self) {
        if self.waiting.pop_front().is_some() {
            self.in_flight += 1;
        }
    }

    /// One that was taken waits again, before all others.
    pub fn give_back(&mut self, due_ns: u64, number: u64) {
        self.in_flight -= 1;
        if self.stopped {
            self.drops.stopped += 1;
        } else {
            self.waiting.push_front((number, due_ns));
        }
    }

    pub fn ended(&mut self, count: u64) {
        self.in_flight -= count;
    }

    pub fn is_over(&self) -> bool {
        self.in_flight == 0
            && self.waiting.is_empty()
            && (self.stopped || self.next_due == self.due_times_ns.len())
    }

    /// When the next request becomes due, or soon, if something waits or is under way.
    pub fn look_again_ns(&self, now_ns: u64) -> u64 {
        let soon_ns = now_ns + WAITING_LOOK_NS;
        match self.due_times_ns.get(self.next_due) {
            Some(due_ns) if !self.stopped && self.waiting.is_empty() => *due_ns,
            Some(due_ns) if !self.stopped => soon_ns.min(*due_ns),
            _ => soon_ns,
        }
    }

    pub fn due(&self) -> u64 {
        self.next_due as u64
    }

    pub fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    pub fn drops(&self) -> Drops {
        self.drops
    }

    /// From the first due time to the last, as far as they have become due.
    pub fn scheduled_ns(&self) -> u64 {
        match (self.due_times_ns.first(), self.next_due.checked_sub(1)) {
            (Some(first), Some(last)) => self.due_times_ns[last] - first,
            _ => 0,
        }
    }

    /// When the first request is due.
    pub fn first_due_ns(&self) -> u64 {
        self.due_times_ns.first().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT_NS: u64 = 100;

    /// Takes up to `room` requests and returns their numbers.
    fn take(backlog: &mut Backlog, room: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < room
            && let Some((number, _)) = backlog.next()
        {
            backlog.take();
            numbers.push(number);
        }
        numbers
    }

    fn adds_up(backlog: &Backlog, sent: u64) {
        assert_eq!(
            backlog.due(),
            sent + backlog.drops().total() + backlog.waiting(),
            "{backlog:?}"
        );
    }

    #[test]
    fn requests_wait_from_when_they_are_due_and_leave_in_order() {
        let mut backlog = Backlog::new(vec![0, 10, 20, 30], 10, u64::MAX, TIMEOUT_NS);
        backlog.advance(20, false);
        assert_eq!((backlog.due(), backlog.waiting()), (3, 3));
        assert_eq!(take(&mut backlog, 2), [0, 1]);
        adds_up(&backlog, 2);
        backlog.advance(30, false);
        assert_eq!(take(&mut backlog, 9), [2, 3]);
        assert!(!backlog.is_over(), "four are under way");
        backlog.ended(4);
        assert!(backlog.is_over());
        adds_up(&backlog, 4);
    }

    #[test]
    fn who_finds_the_backlog_full_is_dropped_and_who_waits_too_long() {
        let mut backlog = Backlog::new(vec![0, 1, 2, 3, 50], 2, u64::MAX, TIMEOUT_NS);
        backlog.advance(10, false);
        assert_eq!(backlog.drops().backlog_full, 2);
        adds_up(&backlog, 0);
        backlog.advance(100, false);
        assert_eq!(backlog.drops().deadline_passed, 1, "0 waited for 100");
        assert_eq!(take(&mut backlog, 9), [1, 4]);
        adds_up(&backlog, 2);
        let reasons: Vec<_> = backlog.drops().by_reason().collect();
        assert_eq!(
            reasons,
            [
                ("backlog full", 2),
                ("deadline passed before it was sent", 1)
            ]
        );
    }

    #[test]
    fn at_most_so_many_are_under_way() {
        let mut backlog = Backlog::new(vec![0; 5], 10, 2, TIMEOUT_NS);
        backlog.advance(0, false);
        assert_eq!(take(&mut backlog, 9), [0, 1]);
        assert_eq!(take(&mut backlog, 9), [0; 0]);
        backlog.ended(1);
        assert_eq!(take(&mut backlog, 9), [2]);
        adds_up(&backlog, 3);
    }

    #[test]
    fn what_comes_back_is_the_next_to_be_sent() {
        let mut backlog = Backlog::new(vec![0, 1, 2], 10, u64::MAX, TIMEOUT_NS);
        backlog.advance(5, false);
        assert_eq!(take(&mut backlog, 2), [0, 1]);
        backlog.give_back(1, 1);
        backlog.give_back(0, 0);
        assert_eq!(take(&mut backlog, 9), [0, 1, 2]);
    }

    #[test]
    fn a_stop_drops_what_waits_and_makes_nothing_due() {
        let mut backlog = Backlog::new(vec![0, 1, 50], 10, u64::MAX, TIMEOUT_NS);
        backlog.advance(5, false);
        assert_eq!(take(&mut backlog, 1), [0]);
        backlog.advance(60, true);
        assert_eq!((backlog.due(), backlog.drops().stopped), (2, 1));
        backlog.give_back(0, 0);
        assert!(backlog.is_over());
        adds_up(&backlog, 0);
    }

    #[test]
    fn it_is_looked_at_when_the_next_is_due_and_sooner_if_something_waits() {
        let mut backlog = Backlog::new(vec![0, 5_000_000], 10, u64::MAX, 1_000_000_000);
        backlog.advance(0, false);
        assert_eq!(backlog.look_again_ns(0), WAITING_LOOK_NS);
        take(&mut backlog, 1);
        assert_eq!(backlog.look_again_ns(0), 5_000_000);
    }
}
