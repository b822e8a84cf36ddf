//! Every role in one process: the consumer and the reconciler in threads of their own, the service
//! in front.
//!
//! On a SQLite file this is the whole system: orders and queue are in the file, and the process is
//! its only user.

use crate::config::{Config, DatabaseKind};
use crate::roles::{self, Ready};
use crate::shutdown::Shutdown;
use anyhow::{Context, anyhow};
use engines::Registry;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// Longest wait for the roles behind the service to be ready.
const START_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs until asked to stop, or, with `once`, until what was left behind has been brought to its
/// end.
pub fn run(config: &Config, registry: &Registry, once: bool) -> anyhow::Result<()> {
    let _only_user = lock(config)?;
    roles::block_on(async |shutdown| {
        if once {
            finish(config, registry, shutdown).await
        } else {
            serve(config, registry, shutdown).await
        }
    })
}

async fn serve(config: &Config, registry: &Registry, shutdown: Shutdown) -> anyhow::Result<()> {
    let (failed, fails) = watch::channel(false);
    let consumer =
        Background::start(Role::CreateConsumer, config, registry, failed.clone()).await?;
    let reconciler = Background::start(Role::Reconciler, config, registry, failed).await?;
    let ended = tokio::select! {
        served = roles::seckill::run(config, registry, shutdown, roles::announce("all")) => served,
        () = has_failed(fails) => Err(anyhow!("a role behind the service ended")),
    };
    // The service has answered everyone and handed its incarnation back; the others may go at any
    // point.
    let (reconciled, consumed) = (reconciler.stop().await, consumer.stop().await);
    ended.and(reconciled).and(consumed)
}

/// Nobody is served, so what is there only becomes less.
async fn finish(config: &Config, registry: &Registry, shutdown: Shutdown) -> anyhow::Result<()> {
    let (failed, _) = watch::channel(false);
    let consumer = Background::start(Role::CreateConsumer, config, registry, failed).await?;
    let repaired =
        roles::reconciler::run(config, registry, true, shutdown, Box::new(|_| Ok(()))).await;
    repaired.and(consumer.stop().await)
}

async fn has_failed(mut fails: watch::Receiver<bool>) {
    if fails.wait_for(|failed| *failed).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What runs behind the service.
#[derive(Clone, Copy, Debug)]
enum Role {
    CreateConsumer,
    Reconciler,
}

/// A role in a thread with a runtime of its own.
struct Background {
    role: Role,
    stop: watch::Sender<bool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Background {
    /// Starts it and waits until it is ready.
    async fn start(
        role: Role,
        config: &Config,
        registry: &Registry,
        failed: watch::Sender<bool>,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = Shutdown::channel();
        let (sender, started) = tokio::sync::oneshot::channel();
        let ready: Ready = Box::new(move |_| {
            let _ = sender.send(());
            Ok(())
        });
        let (config, registry) = (config.clone(), registry.clone());
        let body = move || {
            let ended = run_role(role, &config, &registry, stopped, ready);
            failed.send_replace(ended.is_err());
            ended
        };
        let thread = std::thread::Builder::new()
            .name(format!("{role:?}"))
            .spawn(body)
            .context("cannot start a thread")?;
        let this = Self { role, stop, thread };
        match tokio::time::timeout(START_TIMEOUT, started).await {
            Ok(Ok(())) => Ok(this),
            Ok(Err(_)) => Err(this
                .stop()
                .await
                .err()
                .unwrap_or_else(|| anyhow!("{role:?} ended at once"))),
            Err(_) => Err(anyhow!("{role:?} was not ready within {START_TIMEOUT:?}")),
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        let ended = joined.unwrap_or_else(|_| Err(anyhow!("it panicked")));
        ended.with_context(|| format!("{:?} failed", self.role))
    }
}

fn run_role(
    role: Role,
    config: &Config,
    registry: &Registry,
    stopped: Shutdown,
    ready: Ready,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        match role {
            Role::CreateConsumer => {
                roles::create_consumer::run(config, registry, stopped, ready).await
            }
            Role::Reconciler => {
                roles::reconciler::run(config, registry, false, stopped, ready).await
            }
        }
    })
}

/// Two processes on one file would each take themselves for its only consumer (R4).
fn lock(config: &Config) -> anyhow::Result<Option<File>> {
    if config.database.kind()? != DatabaseKind::Sqlite {
        return Ok(None);
    }
    let path = config
        .database
        .url
        .trim_start_matches("sqlite:")
        .trim_start_matches("//");
    let path = format!("{}.lock", path.split('?').next().unwrap_or(path));
    let file = File::create(&path).with_context(|| format!("cannot write {path}"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).with_context(|| {
        format!(
            "another process uses {}; one at a time",
            config.database.url
        )
    })?;
    Ok(Some(file))
}
