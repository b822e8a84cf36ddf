//! What a process knows about itself: its metrics, and why it is not ready.

use crate::metrics::{Build, Kind, Metrics, register_process};
use crate::version;
use axum::Router;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Why a role that has not said that it is ready is not.
const STARTING: &str = "it has not started yet";
/// Longest wait for what is looked up when somebody asks.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// What has been looked up this recently is not looked up again.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What one role of a process tells operators; cheap to clone. The default one tells nobody.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    role: &'static str,
    process: Arc<ProcessState>,
}

/// Why a role is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unready {
    pub role: &'static str,
    pub reason: String,
}

#[derive(Default)]
struct ProcessState {
    metrics: Metrics,
    /// The effective configuration, masked.
    config: Value,
    /// By role, and by what it is about.
    reasons: Mutex<BTreeMap<(&'static str, &'static str), String>>,
    looks: Mutex<Vec<Look>>,
    calls: Mutex<Option<(Router, Handle)>>,
}

impl fmt::Debug for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessState")
            .field("reasons", &lock(&self.reasons))
            .finish_non_exhaustive()
    }
}

/// Something that is looked up when somebody asks.
#[derive(Clone)]
struct Look {
    role: &'static str,
    what: &'static str,
    /// Whether the role is ready only if it is well.
    is_needed: bool,
    ask: mpsc::Sender<oneshot::Sender<()>>,
}

impl Admin {
    /// Of a process that is started as `role`, with its masked configuration. It is not ready until
    /// [`Admin::is_ready`] is called.
    pub fn new(role: &'static str, config: Value) -> Self {
        let process = ProcessState {
            config,
            ..ProcessState::default()
        };
        let build = Build {
            role,
            version: version::THIS.version,
            commit: version::THIS.commit,
        };
        register_process(&process.metrics, build);
        let this = Self {
            role,
            process: Arc::new(process),
        };
        let known = Arc::downgrade(&this.process);
        let help = "1 while /readyz answers 200";
        this.metrics()
            .register(Kind::Gauge, "seckill_ready", help, move |out| {
                let is_ready = known
                    .upgrade()
                    .is_some_and(|process| lock(&process.reasons).is_empty());
                out.count(&[], is_ready.into());
            });
        this.unready("start", Some(STARTING.to_owned()));
        this
    }

    /// The same process, as one of its roles, which is not ready either.
    pub fn of_role(&self, role: &'static str) -> Self {
        let this = Self {
            role,
            process: self.process.clone(),
        };
        this.unready("start", Some(STARTING.to_owned()));
        this
    }

    /// The role has started.
    pub fn is_ready(&self) {
        self.unready("start", None);
    }

    /// Says why the role is not ready, as far as `what` is concerned; `None`: nothing is wrong with
    /// it.
    pub fn unready(&self, what: &'static str, reason: Option<String>) {
        let mut reasons = lock(&self.process.reasons);
        match reason {
            Some(reason) => reasons.insert((self.role, what), reason),
            None => reasons.remove(&(self.role, what)),
        };
    }

    /// Where the role's metrics are registered.
    pub fn metrics(&self) -> &Metrics {
        &self.process.metrics
    }

    /// Has `look` called, on the current runtime, when somebody scrapes or asks whether the process is
    /// ready, and no more often than every 200 ms. What it returns is why the role is not ready; so is
    /// an answer that takes longer than a second.
    pub fn look<F>(&self, what: &'static str, look: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Option<String>> + Send,
    {
        self.start_looking((what, true), look);
    }

    /// The same for what only metrics tell, when somebody scrapes.
    pub fn measure<F>(&self, what: &'static str, mut measure: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        self.start_looking((what, false), move || {
            let measuring = measure();
            async move {
                measuring.await;
                None
            }
        });
    }

    fn start_looking<F>(
        &self,
        (what, is_needed): (&'static str, bool),
        mut look: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = Option<String>> + Send,
    {
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
        let role = self.role;
        lock(&self.process.looks).push(Look {
            role,
            what,
            is_needed,
            ask,
        });
        let process = Arc::downgrade(&self.process);
        tokio::spawn(async move {
            let mut looked: Option<Instant> = None;
            while let Some(answer) = asked.recv().await {
                if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                    let reason = look().await;
                    looked = Some(Instant::now());
                    let Some(process) = process.upgrade() else {
                        return;
                    };
                    Self { role, process }.unready(what, reason);
                }
                let _ = answer.send(());
            }
        });
    }

    /// Serves these gRPC services beside the pages. They run on the current runtime.
    pub fn serve_calls(&self, calls: Router) {
        *lock(&self.process.calls) = Some((calls, Handle::current()));
    }

    /// The effective configuration, masked.
    pub(super) fn config(&self) -> &Value {
        &self.process.config
    }

    /// The gRPC services, with the runtime that they run on.
    pub(super) fn calls(&self) -> Option<(Router, Handle)> {
        lock(&self.process.calls).clone()
    }

    /// Why the process is not ready: nothing if it is. Everything is looked up anew.
    pub async fn reasons(&self) -> Vec<Unready> {
        self.refresh(false).await;
        let reasons = lock(&self.process.reasons);
        let reasons = reasons.iter().map(|((role, _), reason)| Unready {
            role,
            reason: reason.clone(),
        });
        reasons.collect()
    }

    /// Has everything looked up at the same time, or what roles need only.
    pub(super) async fn refresh(&self, with_measures: bool) {
        let looks = lock(&self.process.looks).clone();
        let looks = looks.into_iter();
        let looks = looks.filter(|look| with_measures || look.is_needed);
        let looking = looks.map(async |look| {
            let (answer, answered) = oneshot::channel();
            let asking = async {
                // Whoever has ended needs nothing any more.
                if look.ask.send(answer).await.is_ok() {
                    let _ = answered.await;
                }
            };
            let is_late = tokio::time::timeout(LOOK_MAX, asking).await.is_err();
            if is_late && look.is_needed {
                let role = Self {
                    role: look.role,
                    process: self.process.clone(),
                };
                let reason = format!("{} took longer than {LOOK_MAX:?}", look.what);
                role.unready(look.what, Some(reason));
            }
        });
        futures_util::future::join_all(looking).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> Admin {
        let admin = Admin::new("all", Value::Null);
        admin.is_ready();
        admin
    }

    fn because(role: &'static str, reason: &str) -> Unready {
        let reason = reason.to_owned();
        Unready { role, reason }
    }

    #[tokio::test]
    async fn a_process_is_ready_when_all_its_roles_are_and_nothing_is_wrong() {
        let admin = Admin::new("all", Value::Null);
        assert_eq!(admin.reasons().await, [because("all", STARTING)]);
        let order = admin.of_role("order");
        admin.is_ready();
        assert_eq!(admin.reasons().await, [because("order", STARTING)]);
        order.is_ready();
        assert_eq!(admin.reasons().await, []);
        order.unready("lease", Some("no lease".to_owned()));
        assert_eq!(admin.reasons().await, [because("order", "no lease")]);
        assert!(admin.metrics().text().contains("\nseckill_ready 0\n"));
        order.unready("lease", None);
        assert!(admin.metrics().text().contains("\nseckill_ready 1\n"));
    }

    #[tokio::test]
    async fn what_is_looked_up_is_told_and_what_does_not_answer_too() {
        let admin = admin();
        let mut answers = [Some("away"), None].into_iter();
        admin.look("the database", move || {
            let answer = answers.next();
            async move {
                match answer {
                    Some(answer) => answer.map(str::to_owned),
                    None => std::future::pending().await,
                }
            }
        });
        assert_eq!(admin.reasons().await, [because("all", "away")]);
        assert_eq!(
            admin.reasons().await,
            [because("all", "away")],
            "a moment ago"
        );
        tokio::time::sleep(LOOK_EVERY).await;
        assert_eq!(admin.reasons().await, []);
        tokio::time::sleep(LOOK_EVERY).await;
        let late = because("all", "the database took longer than 1s");
        assert_eq!(admin.reasons().await, [late]);
    }
}
