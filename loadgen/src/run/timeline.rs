//! The course of a phase in intervals of one length. It begins with 250 ms; a phase that is too
//! long for that many intervals gets intervals twice as long, as often as needed.

use super::recorder::Interval;
use reports::result;

const INTERVAL_NS: u64 = 250_000_000;
/// Most intervals of a timeline (about 25 KiB each while it is recorded).
const INTERVALS_MAX: usize = 400;

/// What happened within a stretch of time.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub due: u64,
    pub sent: u64,
    pub dropped: u64,
    pub ended: Interval,
}

impl Stretch {
    pub fn new() -> Self {
        Self {
            due: 0,
            sent: 0,
            dropped: 0,
            ended: Interval::new(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.due += other.due;
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.ended.add(&other.ended);
    }
}

#[derive(Debug)]
pub struct Timeline {
    intervals: Vec<Stretch>,
    interval_ns: u64,
}

impl Timeline {
    pub fn new() -> Self {
        Self {
            intervals: Vec::new(),
            interval_ns: INTERVAL_NS,
        }
    }

    /// Adds what happened in a short stretch that ended `at_ns` after the start.
    pub fn add(&mut self, at_ns: u64, stretch: &Stretch) {
        // A stretch belongs to the interval in which it ended, the boundary included.
        while at_ns.saturating_sub(1) / self.interval_ns >= INTERVALS_MAX as u64 {
            self.coarsen();
        }
        let index = (at_ns.saturating_sub(1) / self.interval_ns) as usize;
        while self.intervals.len() <= index {
            self.intervals.push(Stretch::new());
        }
        self.intervals[index].add(stretch);
    }

    fn coarsen(&mut self) {
        self.interval_ns *= 2;
        let mut pairs = std::mem::take(&mut self.intervals).into_iter();
        while let Some(mut first) = pairs.next() {
            if let Some(second) = pairs.next() {
                first.add(&second);
            }
            self.intervals.push(first);
        }
    }

    /// As it stands in the result of a phase of this length. What was noticed only after its end
    /// counts in its last interval.
    pub fn intervals(&self, length_ns: u64) -> Vec<result::Interval> {
        let count = length_ns.div_ceil(self.interval_ns).max(1) as usize;
        let (within, after) = self.intervals.split_at(count.min(self.intervals.len()));
        let mut intervals = within.to_vec();
        let last = intervals.len().saturating_sub(1);
        if let Some(last) = intervals.last_mut() {
            after.iter().for_each(|stretch| last.add(stretch));
        }
        let interval = |(index, stretch): (usize, &Stretch)| {
            let t_ns = index as u64 * self.interval_ns;
            let rest_ns = length_ns.saturating_sub(t_ns).max(1);
            result::Interval {
                t_ns,
                length_ns: match index == last {
                    true => rest_ns.min(self.interval_ns),
                    false => self.interval_ns,
                },
                due: stretch.due,
                sent: stretch.sent,
                dropped: stretch.dropped,
                counts: stretch.ended.counts,
                latency: stretch.ended.latency.to_hist(),
                committed_units: None,
                steal_ns: None,
            }
        };
        intervals.iter().enumerate().map(interval).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(latency_ns: u64) -> Stretch {
        let mut stretch = Stretch::new();
        stretch.due = 1;
        stretch.ended.counts.accepted = 1;
        stretch.ended.latency.record_ns(latency_ns);
        stretch
    }

    #[test]
    fn a_stretch_counts_where_it_ended() {
        let mut timeline = Timeline::new();
        for at_ms in [50, 250, 300, 800] {
            timeline.add(at_ms * 1_000_000, &one(1_000_000));
        }
        let intervals = timeline.intervals(810_000_000);
        let due: Vec<u64> = intervals.iter().map(|interval| interval.due).collect();
        assert_eq!(due, [2, 1, 0, 1]);
        assert_eq!(intervals[3].t_ns, 750_000_000);
        assert_eq!(intervals[3].length_ns, 60_000_000, "the last is shorter");
        assert_eq!(intervals[0].latency.count, 2);
    }

    #[test]
    fn what_was_noticed_after_the_end_counts_in_the_last_interval() {
        let mut timeline = Timeline::new();
        for at_ms in [50, 300, 800] {
            timeline.add(at_ms * 1_000_000, &one(1_000_000));
        }
        let intervals = timeline.intervals(260_000_000);
        let due: Vec<u64> = intervals.iter().map(|interval| interval.due).collect();
        assert_eq!(due, [1, 2]);
        assert_eq!(intervals[1].latency.count, 2);
        assert_eq!(intervals[1].length_ns, 10_000_000);
    }

    #[test]
    fn a_long_phase_has_longer_intervals_and_loses_nothing() {
        let mut timeline = Timeline::new();
        let stretches = 1_000;
        for number in 1..=stretches {
            timeline.add(number * INTERVAL_NS, &one(number * 1_000_000));
        }
        let intervals = timeline.intervals(stretches * INTERVAL_NS);
        assert!(intervals.len() <= INTERVALS_MAX, "{}", intervals.len());
        assert_eq!(intervals[0].length_ns, 4 * INTERVAL_NS);
        let counted: u64 = intervals
            .iter()
            .map(|interval| interval.latency.count)
            .sum();
        assert_eq!(counted, stretches);
        assert!(intervals.iter().all(|interval| interval.due == 4));
    }
}
