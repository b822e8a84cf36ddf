//! Where a run is and what is left of it, in words. Nothing is printed here and no clock is read.

use std::time::{Duration, Instant};

use reports::view::{grouped, significant};

/// What a phase is to do before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Planned {
    Count(u64),
    Time(Duration),
    /// It ends when it ends.
    Unknown,
}

/// How far a load is. Counts are totals of the phase, rate and P99 those of the last interval.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bench) struct Step {
    /// Requests that have ended.
    pub done: u64,
    /// Of those, errors and unknown outcomes.
    pub failed: u64,
    pub rate_per_s: f64,
    /// 0 when nothing ended in the interval.
    pub p99_ns: u64,
    /// Open loop: requests that the schedule has wanted to send so far.
    pub due: Option<u64>,
    pub in_flight: Option<u64>,
}

/// The course of a run.
#[derive(Debug)]
pub(super) struct Course {
    legs: usize,
    /// Legs that have begun.
    begun: usize,
    leg: Option<Leg>,
    phase: Option<Phase>,
    /// How long the legs took that have ended.
    ended: Vec<Duration>,
    leg_expected: Option<Duration>,
}

#[derive(Debug)]
struct Leg {
    title: String,
    since: Instant,
}

#[derive(Debug)]
struct Phase {
    name: String,
    planned: Planned,
    what: String,
    since: Instant,
    done: u64,
    load: Option<Step>,
}

impl Course {
    pub(super) fn new(legs: usize, leg_expected: Option<Duration>) -> Self {
        Self {
            legs,
            begun: 0,
            leg: None,
            phase: None,
            ended: Vec::new(),
            leg_expected,
        }
    }

    /// Ends the leg before, if there was one. What is returned is to be said.
    pub(super) fn begin_leg(&mut self, title: &str, now: Instant) -> String {
        if let Some(before) = self.leg.take() {
            self.ended.push(now - before.since);
        }
        self.begun += 1;
        self.leg = Some(Leg {
            title: title.to_owned(),
            since: now,
        });
        // A comparison goes on for as long as it must.
        let of_all = match self.begun <= self.legs {
            true => format!(" of {}", self.legs),
            false => String::new(),
        };
        let mut line = format!("leg {}{of_all}: {title}", self.begun);
        if let Some(left) = self.run_left(now) {
            line.push_str(&format!(", {} left of the run", shown(left)));
        }
        line
    }

    pub(super) fn begin_phase(&mut self, name: &str, planned: Planned, now: Instant) {
        self.phase = Some(Phase {
            name: name.to_owned(),
            planned,
            what: "requests".to_owned(),
            since: now,
            done: 0,
            load: None,
        });
    }

    pub(super) fn count(&mut self, what: &str) {
        if let Some(phase) = &mut self.phase {
            phase.what = what.to_owned();
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        if let Some(phase) = &mut self.phase {
            phase.done = step.done;
            phase.load = Some(step);
        }
    }

    pub(super) fn reached(&mut self, done: u64) {
        if let Some(phase) = &mut self.phase {
            phase.done = done;
        }
    }

    /// Forgets the phase; what is returned may be said.
    pub(super) fn end_phase(&mut self, now: Instant) -> String {
        let title = self.title();
        match self.phase.take() {
            Some(phase) => format!("{title}: ended after {}", shown(now - phase.since)),
            None => title,
        }
    }

    /// `lua-single-key, round 2: drain`.
    pub(super) fn title(&self) -> String {
        let leg = self.leg.as_ref().map(|leg| leg.title.as_str());
        let phase = self.phase.as_ref().map(|phase| phase.name.as_str());
        let parts: Vec<&str> = leg.into_iter().chain(phase).collect();
        parts.join(": ")
    }

    pub(super) fn line(&self, now: Instant) -> String {
        format!("{}: {}", self.title(), self.message(now))
    }

    /// How far the phase is, and what is left.
    fn message(&self, now: Instant) -> String {
        let so_far = self.phase.as_ref().map(|phase| phase.so_far(now));
        so_far
            .into_iter()
            .chain(self.rest(now))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The same beside a bar, which shows how far a load is.
    pub(super) fn live(&self, now: Instant) -> String {
        let is_load = self
            .phase
            .as_ref()
            .is_some_and(|phase| phase.load.is_some());
        if is_load {
            self.rest(now).join(", ")
        } else {
            self.message(now)
        }
    }

    /// The load, and what is left of phase, leg and run.
    fn rest(&self, now: Instant) -> Vec<String> {
        let Some(phase) = &self.phase else {
            return Vec::new();
        };
        let mut parts: Vec<String> = phase.load.iter().flat_map(load).collect();
        let phase_left = phase.left(now).map(shown);
        parts.extend(phase_left.iter().map(|left| format!("{left} left")));
        let leg_left = self.leg_left(now).map(shown);
        if leg_left != phase_left {
            parts.extend(leg_left.map(|left| format!("leg {left}")));
        }
        if let Some(left) = self.run_left(now).filter(|_| self.begun < self.legs) {
            parts.push(format!("run {}", shown(left)));
        }
        parts
    }

    /// How much of the phase is done, 0 to 1; none where nobody knows.
    pub(super) fn share(&self, now: Instant) -> Option<f64> {
        let phase = self.phase.as_ref()?;
        let share = match phase.planned {
            Planned::Count(count) => phase.done as f64 / count.max(1) as f64,
            Planned::Time(time) => {
                (now - phase.since).as_secs_f64() / time.as_secs_f64().max(0.001)
            }
            Planned::Unknown => return None,
        };
        Some(share.clamp(0.0, 1.0))
    }

    /// A leg takes as long as those before it, but at least what its phase still takes.
    fn leg_left(&self, now: Instant) -> Option<Duration> {
        let phase_left = self.phase.as_ref().and_then(|phase| phase.left(now));
        let leg = self.leg.as_ref()?;
        let by_others = self
            .leg_takes()
            .map(|takes| takes.saturating_sub(now - leg.since));
        phase_left.max(by_others)
    }

    fn run_left(&self, now: Instant) -> Option<Duration> {
        let more = self.legs.saturating_sub(self.begun) as u32;
        let leg_left = self.leg_left(now);
        if more == 0 {
            return leg_left;
        }
        Some(leg_left? + self.leg_takes()? * more)
    }

    fn leg_takes(&self) -> Option<Duration> {
        let count = self.ended.len() as u32;
        match count {
            0 => self.leg_expected,
            count => Some(self.ended.iter().sum::<Duration>() / count),
        }
    }
}

impl Phase {
    /// `12,300 of 50,000 rows committed`, `12 s of 30 s`, `4 s so far`.
    fn so_far(&self, now: Instant) -> String {
        let (done, elapsed) = (grouped(self.done), now - self.since);
        match self.planned {
            Planned::Count(count) => format!("{done} of {} {}", grouped(count), self.what),
            Planned::Time(time) => {
                format!(
                    "{} of {}, {done} {}",
                    shown(elapsed),
                    shown(time),
                    self.what
                )
            }
            Planned::Unknown if self.done > 0 => {
                format!("{done} {} after {}", self.what, shown(elapsed))
            }
            Planned::Unknown => format!("{} so far", shown(elapsed)),
        }
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        let elapsed = now - self.since;
        match self.planned {
            Planned::Count(count) if self.done > 0 => {
                let rest = count.saturating_sub(self.done) as f64 / self.done as f64;
                Some(elapsed.mul_f64(rest))
            }
            Planned::Time(time) => Some(time.saturating_sub(elapsed)),
            Planned::Count(_) | Planned::Unknown => None,
        }
    }
}

/// Rate, P99, failures, and what waits.
fn load(step: &Step) -> Vec<String> {
    let mut parts = vec![format!("{}/s", significant(step.rate_per_s))];
    if step.p99_ns > 0 {
        parts.push(format!("P99 {} ms", significant(step.p99_ns as f64 / 1e6)));
    }
    parts.push(format!("{} failed", grouped(step.failed)));
    let in_flight = step.in_flight.unwrap_or(0);
    if let Some(due) = step.due {
        let waiting = due.saturating_sub(step.done + in_flight);
        if waiting > 0 {
            parts.push(format!("{} waiting or dropped", grouped(waiting)));
        }
    }
    parts
}

/// In whole seconds: `7s`, `1m 30s`.
fn shown(time: Duration) -> String {
    let whole = Duration::from_secs(time.as_secs_f64().round() as u64);
    humantime::format_duration(whole).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at_measure(legs: usize, start: Instant) -> Course {
        let mut course = Course::new(legs, None);
        course.begin_leg("null, round 1", start);
        course.begin_phase("measure", Planned::Count(500_000), start);
        course
    }

    #[test]
    fn a_load_shows_rate_p99_failures_and_what_is_left() {
        let start = Instant::now();
        let mut course = at_measure(1, start);
        course.step(Step {
            done: 120_000,
            failed: 3,
            rate_per_s: 54_019.0,
            p99_ns: 16_700_000,
            due: None,
            in_flight: Some(500),
        });
        assert_eq!(
            course.line(start + 3 * SECOND),
            "null, round 1: measure: 120,000 of 500,000 requests, 54,000/s, P99 16.7 ms, 3 failed, 10s left"
        );
        assert_eq!(course.share(start + SECOND), Some(0.24));
        assert_eq!(
            course.live(start + 3 * SECOND),
            "54,000/s, P99 16.7 ms, 3 failed, 10s left"
        );
    }

    #[test]
    fn a_drain_shows_its_rows_and_a_wait_how_long_it_lasts() {
        let start = Instant::now();
        let mut course = at_measure(1, start);
        course.begin_phase("drain", Planned::Count(50_000), start);
        course.count("rows committed");
        course.reached(12_300);
        let drain = course.line(start + SECOND);
        assert!(
            drain.starts_with("null, round 1: drain: 12,300 of 50,000 rows committed"),
            "{drain}"
        );
        course.begin_phase("audit", Planned::Unknown, start);
        assert_eq!(
            course.line(start + 4 * SECOND),
            "null, round 1: audit: 4s so far"
        );
        assert_eq!(course.share(start), None);
        assert_eq!(
            course.end_phase(start + 9 * SECOND),
            "null, round 1: audit: ended after 9s"
        );
    }

    #[test]
    fn what_is_left_of_the_run_follows_from_the_legs_that_have_ended() {
        let start = Instant::now();
        let mut course = at_measure(5, start);
        assert!(!course.message(start + SECOND).contains("run"));
        let began = course.begin_leg("null, round 2", start + 20 * SECOND);
        assert_eq!(began, "leg 2 of 5: null, round 2, 1m 20s left of the run");
        course.begin_phase("measure", Planned::Time(10 * SECOND), start + 22 * SECOND);
        assert_eq!(
            course.message(start + 25 * SECOND),
            "3s of 10s, 0 requests, 7s left, leg 15s, run 1m 15s"
        );
    }

    #[test]
    fn an_expectation_serves_until_the_first_leg_has_ended() {
        let start = Instant::now();
        let mut course = Course::new(3, Some(30 * SECOND));
        let began = course.begin_leg("null", start);
        assert_eq!(began, "leg 1 of 3: null, 1m 30s left of the run");
    }

    #[test]
    fn an_open_loop_shows_what_waits() {
        let start = Instant::now();
        let mut course = at_measure(1, start);
        course.step(Step {
            done: 1_000,
            due: Some(4_000),
            in_flight: Some(500),
            ..Step::default()
        });
        let line = course.line(start + SECOND);
        assert!(line.contains("2,500 waiting or dropped"), "{line}");
    }
}
