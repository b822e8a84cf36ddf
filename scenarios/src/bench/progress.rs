//! What the user sees while a leg runs: on a terminal a bar with the current rate and P99,
//! otherwise a plain line every two seconds. All of it goes to standard error, because standard
//! output is for the result.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(2);
const BAR: &str = "{prefix} {bar:30} {pos}/{len} {msg}";

#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    planned: u64,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

/// One step of the driver, as far as it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub done: u64,
    pub failed: u64,
    pub rps: f64,
    pub p99_us: u64,
}

impl Progress {
    pub(super) fn start(name: &str, planned: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(planned)
                .with_style(style)
                .with_prefix(name.to_owned())
        });
        Self {
            name: name.to_owned(),
            planned,
            bar,
            last_line: Instant::now(),
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        let Step {
            done,
            failed,
            rps,
            p99_us,
        } = step;
        let live = format!(
            "{rps:.0} requests/s, P99 {:.1} ms, {failed} failed",
            p99_us as f64 / 1000.0
        );
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(live);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            say(&format!(
                "{}: {done} of {}, {live}",
                self.name, self.planned
            ));
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Prints a line about what happens next, outside of any bar. If standard error is closed, the run
/// goes on.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
