//! A private server of the stack: what `servers` has started, under the name of its figures.

use std::time::{Duration, Instant};

use servers::Started;

use super::measured::Measured;

/// How long a server may take to stop by itself. Its data is thrown away, so a kill costs nothing
/// but its last log lines.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A server that answers.
#[derive(Debug)]
pub(super) struct Server {
    pub process: Measured,
    /// Under which name its figures and settings stand, if not under its own.
    pub part_of: Option<&'static str>,
    /// What it needs beside it; ends after it, and counts as a part of it.
    pub helper: Option<Measured>,
    pub port: u16,
    /// Version and every setting that matters, without the server's name in front.
    pub settings: Vec<(&'static str, String)>,
    /// From its start to its first answer.
    pub start_ms: u128,
}

impl Server {
    pub(super) fn new(started: Started, part_of: Option<&'static str>, begin: Instant) -> Self {
        Self {
            process: started.process.into(),
            part_of,
            helper: started.helper.map(Measured::from),
            port: started.port,
            settings: started.settings,
            start_ms: begin.elapsed().as_millis(),
        }
    }

    /// Name in figures and settings.
    pub(super) fn figure_name(&self) -> &str {
        self.part_of.unwrap_or_else(|| self.process.name())
    }
}
