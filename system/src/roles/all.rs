//! Every role in one process, each in a thread of its own.
//!
//! On a SQLite file this is the whole system: orders and queue are in the file, and the process is
//! its only user.

mod member;

use crate::config::{Config, UpstreamsConfig};
use crate::listener::Listener;
use crate::roles::{self, Addresses, RoleConfig};
use crate::shutdown::Shutdown;
use crate::supervisor::Supervisor;
use anyhow::Context;
use database::DatabaseKind;
use engines::Registry;
use member::{Member, Running};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;

/// The listeners of all roles that serve.
#[derive(Debug)]
pub struct Listeners {
    /// Of the seckill role.
    pub seckill: Listener,
    /// Of the order role.
    pub order: Listener,
    /// Of the product role.
    pub product: Listener,
    /// Of the auth role.
    pub auth: Listener,
    /// Of the user role.
    pub user: Listener,
    /// Of the gateway role.
    pub gateway: Listener,
}

impl Listeners {
    /// Where they are.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            order: Some(self.order.address()),
            product: Some(self.product.address()),
            auth: Some(self.auth.address()),
            user: Some(self.user.address()),
            gateway: Some(self.gateway.address()),
            ..Addresses::of_clients(self.seckill.address())
        }
    }
}

impl Listeners {
    /// The gateway's services are those of its own process.
    fn upstreams(&self) -> UpstreamsConfig {
        let at = |listener: &Listener| format!("http://{}", listener.address());
        UpstreamsConfig {
            auth: at(&self.auth),
            user: at(&self.user),
            product: at(&self.product),
            seckill: at(&self.seckill),
            order: at(&self.order),
        }
    }
}

/// Binds the address of every role that serves.
pub fn bind(config: &Config) -> anyhow::Result<Listeners> {
    Ok(Listeners {
        seckill: roles::seckill::bind(config)?,
        order: roles::order::bind(config)?,
        product: roles::product::bind(config)?,
        auth: roles::auth::bind(config)?,
        user: roles::user::bind(config)?,
        gateway: roles::gateway::bind(config)?,
    })
}

/// Makes this process the only user of its SQLite file for as long as the result lives. Two would
/// each take themselves for the file's only consumer (one-consumer-per-queue, R4).
pub fn lock(config: &Config) -> anyhow::Result<Option<File>> {
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

/// Runs every role until asked to stop, or until one of them ends by itself. The caller holds
/// [`lock`].
pub async fn run(
    RoleConfig {
        mut config,
        registry,
        admin,
        sales,
        ready,
    }: RoleConfig,
    listeners: Listeners,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let addresses = listeners.addresses();
    config.gateway.upstreams = listeners.upstreams();
    config.order.seckill_url = config.gateway.upstreams.seckill.clone();
    // In the order in which they start. They stop in the opposite one: what serves has answered
    // everyone and handed its incarnation back before what works for it goes.
    let members = [
        Member::new("create-consumer", (), roles::create_consumer::run),
        Member::new("reconciler", (), roles::reconciler::run),
        Member::new("cancel-consumer", (), roles::cancel_consumer::run),
        Member::new("seckill", listeners.seckill, roles::seckill::run),
        Member::new("order", listeners.order, roles::order::run),
        Member::new("product", listeners.product, roles::product::run),
        Member::new("auth", listeners.auth, roles::auth::run),
        Member::new("user", listeners.user, roles::user::run),
        Member::new("gateway", listeners.gateway, roles::gateway::run),
    ];
    let (supervisor, mut ends) = Supervisor::new();
    let mut running = Vec::with_capacity(members.len());
    let served = async {
        for member in members {
            let watched = (&supervisor, &mut ends);
            let started = member.start(&config, &registry, (&admin, &sales), watched, &shutdown);
            match started.await? {
                Some(member) => running.push(member),
                None => return Ok(()),
            }
        }
        ready(Some(addresses))?;
        tokio::select! {
            () = shutdown.requested() => Ok(()),
            reason = ends.first() => Err(reason),
        }
    }
    .await;
    let stopped = stop(running).await;
    served.and(stopped)
}

/// Serves nobody: brings what was left behind to its end, so that what is there only becomes less.
/// The caller holds [`lock`].
pub async fn finish(
    config: &Config,
    registry: &Registry,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let (supervisor, mut ends) = Supervisor::new();
    let consumer = Member::new("create-consumer", (), roles::create_consumer::run);
    let watched = (&supervisor, &mut ends);
    let (admin, sales) = Default::default();
    let started = consumer.start(config, registry, (&admin, &sales), watched, &shutdown);
    let Some(consumer) = started.await? else {
        return Ok(());
    };
    let repaired = tokio::select! {
        repaired = roles::reconciler::once(config, registry, shutdown) => repaired,
        reason = ends.first() => Err(reason),
    };
    repaired.and(consumer.stop().await)
}

/// Stops the last that was started first; the first error counts.
async fn stop(running: Vec<Running>) -> anyhow::Result<()> {
    let mut result = Ok(());
    for role in running.into_iter().rev() {
        result = result.and(role.stop().await);
    }
    result
}
