//! Notices when a part of a role ends although nobody has asked it to: a thread that cannot start,
//! a task that panics. The role then ends with that reason, so that whoever started it can start it
//! again; half a role that goes on looks alive and serves nobody.

use crate::panics;
use crate::shutdown::Shutdown;
use anyhow::anyhow;
use futures_util::FutureExt;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::mpsc;

/// Given to everything that has to run until it is asked to stop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor {
    ends: mpsc::UnboundedSender<anyhow::Error>,
}

/// Where the reasons arrive.
#[derive(Debug)]
pub struct Ends {
    reasons: mpsc::UnboundedReceiver<anyhow::Error>,
    /// Keeps the channel open while nothing is supervised.
    _open: Supervisor,
}

impl Supervisor {
    /// With nothing to supervise yet.
    pub fn new() -> (Self, Ends) {
        let (ends, reasons) = mpsc::unbounded_channel();
        let supervisor = Self { ends };
        let _open = supervisor.clone();
        (supervisor, Ends { reasons, _open })
    }

    /// Runs the body of a thread, and reports its end unless `asked` was requested before.
    pub fn thread<T>(
        &self,
        name: &str,
        asked: &Shutdown,
        body: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.judge(name, asked, catch(body))
    }

    /// The same for a task.
    pub async fn task<T>(
        self,
        name: String,
        asked: Shutdown,
        task: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let ended = AssertUnwindSafe(task).catch_unwind().await;
        let ended = ended.unwrap_or_else(|panic| Err(panicked(&*panic)));
        self.judge(&name, &asked, ended)
    }

    fn judge<T>(
        &self,
        name: &str,
        asked: &Shutdown,
        ended: anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if !asked.is_requested() {
            let reason = match &ended {
                // The caller gets the error itself; a copy in words is what is told here.
                Err(error) => anyhow!("{name} failed: {error:#}"),
                Ok(_) => anyhow!("{name} ended without having been asked to"),
            };
            // Nobody listens any more when the role has ended.
            let _ = self.ends.send(reason);
        }
        ended
    }
}

impl Ends {
    /// Waits for the first end that nobody asked for, and says which and why.
    pub async fn first(&mut self) -> anyhow::Error {
        let reason = self.reasons.recv().await;
        reason.unwrap_or_else(|| unreachable!("a sender is kept beside the receiver"))
    }
}

/// Runs `body`; a panic is an error like any other.
pub fn catch<T>(body: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> anyhow::Error {
    anyhow!("it panicked: {}", panics::words(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_told_with_its_name_and_reason() {
        let (supervisor, mut ends) = Supervisor::new();
        let (_stop, asked) = Shutdown::channel();
        let panicked = supervisor.thread::<()>("thread 1", &asked, || panic!("out of {}", "luck"));
        assert!(panicked.is_err());
        assert_eq!(
            ends.first().await.to_string(),
            "thread 1 failed: it panicked: out of luck"
        );
        let failed = supervisor.thread::<()>("thread 2", &asked, || Err(anyhow!("no port")));
        assert!(failed.is_err());
        assert_eq!(ends.first().await.to_string(), "thread 2 failed: no port");
        let task = supervisor.task("task 3".to_owned(), asked, async { Ok(()) });
        task.await.expect("it ended well");
        assert_eq!(
            ends.first().await.to_string(),
            "task 3 ended without having been asked to"
        );
    }

    #[tokio::test]
    async fn an_end_on_request_is_no_news() {
        let (supervisor, mut ends) = Supervisor::new();
        let (stop, asked) = Shutdown::channel();
        stop.send_replace(true);
        supervisor
            .thread("thread", &asked, || Ok(()))
            .expect("fine");
        let task = supervisor.task("task".to_owned(), asked, async { Ok(()) });
        task.await.expect("fine");
        assert!(ends.reasons.try_recv().is_err());
    }
}
