//! One role among several in a process: a thread with a runtime of its own, started, watched and
//! stopped.

use crate::admin::Admin;
use crate::config::Config;
use crate::roles::{self, Addresses, Ready, RoleConfig};
use crate::shutdown::Shutdown;
use crate::supervisor::{Ends, Supervisor};
use crate::terms::CommonSales;
use anyhow::{Context, anyhow};
use engines::Registry;
use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Longest wait for a role to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

type Body = Box<dyn FnOnce(RoleConfig, Shutdown) -> anyhow::Result<()> + Send>;

/// A role with its listener, not started yet.
pub struct Member {
    name: &'static str,
    body: Body,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Member {
    /// `run` is a role's, `listener` what it asks for: a listener, or `()`.
    pub fn new<L, F>(
        name: &'static str,
        listener: L,
        run: impl FnOnce(RoleConfig, L, Shutdown) -> F + Send + 'static,
    ) -> Self
    where
        L: Send + 'static,
        F: Future<Output = anyhow::Result<()>>,
    {
        let body =
            move |config, shutdown| roles::runtime()?.block_on(run(config, listener, shutdown));
        Self {
            name,
            body: Box::new(body),
        }
    }

    /// Starts it and waits until it is ready; from then on its end is told to `supervisor`. It fails
    /// when any role that was started before it ends meanwhile.
    /// `None`: it was asked to stop before it was ready, and has.
    pub async fn start(
        self,
        config: &Config,
        registry: &Registry,
        (admin, sales): (&Admin, &CommonSales),
        (supervisor, ends): (&Supervisor, &mut Ends),
        shutdown: &Shutdown,
    ) -> anyhow::Result<Option<Running>> {
        let Self { name, body } = self;
        let (stop, stopped) = Shutdown::channel();
        let (sender, started) = oneshot::channel();
        let admin = admin.of_role(name);
        let is_ready = admin.clone();
        let ready: Ready = Box::new(move |addresses| {
            is_ready.is_ready();
            let _ = sender.send(addresses);
            Ok(())
        });
        let config = RoleConfig {
            config: config.clone(),
            registry: registry.clone(),
            admin,
            sales: sales.clone(),
            ready,
        };
        let supervisor = supervisor.clone();
        let asked = stopped.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || supervisor.thread(name, &asked, || body(config, stopped)))
            .context("cannot start a thread")?;
        let mut running = Running {
            name,
            addresses: None,
            stop,
            thread,
        };
        let started = tokio::select! {
            started = tokio::time::timeout(START_TIMEOUT, started) => started,
            () = shutdown.requested() => return running.stop().await.map(|()| None),
            reason = ends.first() => {
                // What it says about its end tells less than the reason.
                let _ = running.stop().await;
                return Err(reason);
            }
        };
        match started {
            Ok(Ok(addresses)) => {
                running.addresses = addresses;
                Ok(Some(running))
            }
            Ok(Err(_)) => Err(running
                .stop()
                .await
                .err()
                .unwrap_or_else(|| anyhow!("{name} ended before it was ready"))),
            Err(_) => {
                // What it says about its end tells less than that it took too long.
                let _ = running.stop().await;
                Err(anyhow!("{name} was not ready within {START_TIMEOUT:?}"))
            }
        }
    }
}

/// A role that is ready.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    /// Where it serves, if it does.
    pub addresses: Option<Addresses>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Asks it to end, and waits until it has.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        let ended = joined.unwrap_or_else(|_| Err(anyhow!("it panicked")));
        ended.with_context(|| format!("{} failed", self.name))
    }
}
