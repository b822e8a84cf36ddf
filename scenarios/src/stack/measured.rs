//! A process of the stack together with what it has used, which is read last while it still lives.

use std::ops::Deref;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use servers::Process;

use crate::usage::Life;
use crate::usage::proc::{self, ProcessStat};

#[derive(Debug)]
pub(super) struct Measured {
    process: Process,
    /// The process and those below it, as they were last seen while it lived.
    tree: Mutex<Vec<Life>>,
}

impl From<Process> for Measured {
    fn from(process: Process) -> Self {
        Self {
            process,
            tree: Mutex::default(),
        }
    }
}

impl Deref for Measured {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Measured {
    /// The process and those below it, as of `processes`; of one that has ended, its CPU until the
    /// end, and the rest as it was seen last.
    pub(super) fn tree(&self, processes: &[ProcessStat]) -> Vec<Life> {
        let now = Life::read_tree(processes, self.pid());
        let mut last = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = |root: &Life| root.peak_rss_bytes > 0;
        match (last.first_mut(), now.first()) {
            (Some(last), Some(ended)) if !runs(ended) => last.end(ended),
            (_, Some(_)) => *last = now,
            (_, None) => {}
        }
        last.clone()
    }

    fn look(&self) {
        self.tree(&proc::all());
    }

    /// As [`Process::stop`].
    pub(super) async fn stop(&self, limit: Duration) -> Option<ExitStatus> {
        self.look();
        self.process.stop(limit).await
    }

    /// As [`Process::kill`].
    pub(super) async fn kill(&self) -> servers::Result<()> {
        self.look();
        self.process.kill().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    /// Nobody cleans up behind what these tests start but their own `Drop`.
    #[derive(Debug)]
    struct NoKeeper;

    impl servers::Keeper for NoKeeper {
        fn tag(&self) -> Option<(&str, &str)> {
            None
        }

        fn record(&self, _: u32) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_process_that_was_killed_keeps_its_cpu_its_threads_and_its_peak() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let process = Process::spawn(&NoKeeper, "burner", command, &log, None).expect("sh");
        let measured = Measured::from(process);
        let deadline = Instant::now() + Duration::from_secs(20);
        let seen = loop {
            let tree = measured.tree(&proc::all());
            if tree[0].cpu_ns > 30_000_000 {
                break tree;
            }
            assert!(Instant::now() < deadline, "it does not run");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        measured.kill().await.expect("killed");
        let ended = measured.tree(&proc::all());
        assert!(ended[0].is(&seen[0]));
        assert!(ended[0].cpu_ns >= seen[0].cpu_ns);
        assert!(ended[0].peak_rss_bytes > 0 && ended[0].threads.len() == 1);
        assert_eq!(measured.tree(&proc::all()), ended);
    }
}
