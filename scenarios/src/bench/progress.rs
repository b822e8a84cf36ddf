//! What the user sees while a run goes on, to its very end: each phase of each leg with how far it
//! is, the current rate and P99, failures, and what is left of the leg and of the run. On a
//! terminal it is a live bar, otherwise a plain line every two seconds. All of it goes to standard
//! error, because standard output is for the result.

mod course;

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use self::course::Course;
pub(super) use self::course::{Planned, Step};

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Time between two turns of the bar where nothing else moves it.
const TURN_EVERY: Duration = Duration::from_millis(250);
/// One line of 80 columns; what is longer is cut off.
const BAR: &str = "{prefix} {bar:10} {percent}% {wide_msg}";
const SPINNER: &str = "{prefix} {spinner} {wide_msg}";

/// The bar that is on the terminal right now, so that lines are printed above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// The progress of one run. Its methods take `&self`, so that all parts of a leg can share it.
#[derive(Debug)]
pub(super) struct Progress {
    course: Mutex<Course>,
    to: Destination,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    Terminal,
    Lines,
}

impl Progress {
    /// Of a run with so many legs. `leg_expected` is how long one takes as far as is known before
    /// the first has ended.
    pub(super) fn of_run(legs: usize, leg_expected: Option<Duration>) -> Self {
        let to = if std::io::stderr().is_terminal() {
            Destination::Terminal
        } else {
            Destination::Lines
        };
        Self {
            course: Mutex::new(Course::new(legs, leg_expected)),
            to,
        }
    }

    /// Begins the next leg, for example `lua-single-key, round 2`, and says so.
    pub(super) fn leg(&self, title: &str) {
        say(&self.course().begin_leg(title, Instant::now()));
    }

    /// Begins a phase of the leg: `warm-up`, `measure`, `drain`, `repair`, `audit`. It ends when what
    /// is returned is dropped.
    pub(super) fn phase(&self, name: &str, planned: Planned) -> Phase<'_> {
        let now = Instant::now();
        self.course().begin_phase(name, planned, now);
        let bar = (self.to == Destination::Terminal).then(|| bar(planned));
        if let Some(bar) = &bar {
            // The leg's name is on the line above.
            bar.set_prefix(name.to_owned());
            *shown() = Some(bar.clone());
        }
        Phase {
            progress: self,
            bar,
            last_line: now,
            has_spoken: false,
        }
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        // What is shown is worth no panic.
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A phase that is under way.
#[derive(Debug)]
pub(super) struct Phase<'a> {
    progress: &'a Progress,
    bar: Option<ProgressBar>,
    last_line: Instant,
    has_spoken: bool,
}

impl Phase<'_> {
    /// What is counted instead of requests: `rows committed`.
    pub(super) fn counting(self, what: &str) -> Self {
        self.progress.course().count(what);
        self
    }

    /// How far the load is.
    pub(super) fn step(&mut self, step: Step) {
        self.progress.course().step(step);
        self.beat();
    }

    /// How far anything else is, of what was planned.
    pub(super) fn reached(&mut self, done: u64) {
        self.progress.course().reached(done);
        self.beat();
    }

    /// Waits for work that tells nothing of its own progress, and shows meanwhile that it goes on.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(TURN_EVERY) => self.beat(),
            }
        }
    }

    /// Redraws the bar, or prints a line if the last one is old enough.
    fn beat(&mut self) {
        if self.bar.is_some() {
            self.redraw();
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.has_spoken = true;
            say(&self.progress.course().line(Instant::now()));
        }
    }

    fn redraw(&self) {
        if let Some(bar) = &self.bar {
            let course = self.progress.course();
            let now = Instant::now();
            if let Some(share) = course.share(now) {
                bar.set_position((share * BAR_PARTS as f64) as u64);
            }
            bar.set_message(course.live(now));
        }
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            *shown() = None;
            bar.finish_and_clear();
        }
        let ended = self.progress.course().end_phase(Instant::now());
        if self.has_spoken {
            say(&ended);
        }
    }
}

/// Parts of a full bar.
const BAR_PARTS: u64 = 10_000;

fn bar(planned: Planned) -> ProgressBar {
    let (bar, template) = match planned {
        Planned::Unknown => (ProgressBar::new_spinner(), SPINNER),
        Planned::Count(_) | Planned::Time(_) => (ProgressBar::new(BAR_PARTS), BAR),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a line about what happens next, above the bar if there is one. If standard error is
/// closed, the run goes on.
pub(super) fn say(line: &str) {
    let print = || {
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    match &*shown() {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_work_and_returns_what_it_returns() {
        let progress = Progress::of_run(1, None);
        progress.leg("null");
        let mut phase = progress.phase("audit", Planned::Unknown);
        let work = async {
            tokio::time::sleep(3 * TURN_EVERY).await;
            7
        };
        assert_eq!(phase.during(work).await, 7);
        drop(phase);
        assert_eq!(progress.course().title(), "null");
    }
}
