//! Since when all lanes of a thread wait for a confirm: then no further batch can begin, whatever
//! waits for one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts the lanes of one thread that wait for a confirm.
#[derive(Debug)]
pub struct Confirms {
    lanes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    /// Since when all of them do.
    all_since: Option<Instant>,
    /// The last time that all of them did: from when to when.
    all_before: Option<(Instant, Instant)>,
}

/// One lane that waits for its confirm, until this is dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Confirms);

impl Confirms {
    /// Of a thread with so many lanes.
    pub fn new(lanes: usize) -> Self {
        let state = Mutex::default();
        Self { lanes, state }
    }

    /// A lane begins to wait.
    pub fn wait(&self) -> Waiting<'_> {
        self.begin(Instant::now());
        Waiting(self)
    }

    /// How much of the time from `from` to `to` all lanes waited, if that was at its end.
    pub fn all_within(&self, from: Instant, to: Instant) -> Duration {
        let state = self.state();
        let all = match state.all_since {
            Some(since) => Some((since, to)),
            None => state.all_before,
        };
        all.map_or(Duration::ZERO, |(since, until)| {
            until.min(to).saturating_duration_since(since.max(from))
        })
    }

    /// How many lanes wait.
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, now: Instant) {
        let mut state = self.state();
        state.waiting += 1;
        if state.waiting == self.lanes {
            state.all_since = Some(now);
        }
    }

    fn end(&self, now: Instant) {
        let mut state = self.state();
        state.waiting -= 1;
        if let Some(since) = state.all_since.take() {
            state.all_before = Some((since, now));
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.end(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_counts_in_which_every_lane_waits() {
        let confirms = Confirms::new(2);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let ms = |from, to| confirms.all_within(at(from), at(to)).as_millis();
        confirms.begin(at(10));
        assert_eq!(ms(0, 20), 0, "one of two");
        confirms.begin(at(20));
        assert_eq!(ms(0, 50), 30, "both, and still");
        confirms.end(at(60));
        assert_eq!(ms(0, 70), 40, "both, from 20 to 60");
        assert_eq!(ms(30, 70), 30, "as long as somebody asked for a lane");
        assert_eq!(ms(65, 70), 0, "over");
        confirms.begin(at(80));
        assert_eq!(ms(0, 85), 5);
    }
}
