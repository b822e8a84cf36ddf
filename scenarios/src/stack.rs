//! The servers that a run needs: private ones that the lab starts and takes down, external ones by
//! address, or none at all. Also the place of the system's roles, so that one look finds whatever
//! has died.

mod address;
mod choice;
mod external;
mod measured;
mod options;
mod role;
pub mod scratch;
mod server;
mod start;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{bail, ensure};
use futures_util::future::join_all;
use reports::result::Sees;
use servers::rabbitmq;

use self::external::Urls;
use self::role::Roster;
use self::server::{STOP_LIMIT, Server};
use crate::disk::disk_bytes;
use crate::guard::Guard;
use crate::limits::Limits;
use crate::usage::{Counters, proc};

pub use choice::Choice;
pub use options::{Durability, ExternalAddresses, StackKind, StackOptions};
pub use role::{Role, RoleSpec};

pub(crate) use address::redis_nodes;
pub(crate) use choice::{ANY_REDIS, ONE_REDIS, Place};
pub(crate) use role::without_rate_limits;

/// Running servers. Dropping it has the guard kill everything that is left; [`Stack::stop`] ends it
/// in order.
#[derive(Debug)]
pub struct Stack {
    kind: &'static str,
    why: String,
    urls: Urls,
    settings: BTreeMap<String, String>,
    scratch: PathBuf,
    roster: Arc<Roster>,
    /// Redis (or its nodes), RabbitMQ, database; none of them when they are external or not needed.
    servers: Vec<Server>,
    /// Bytes of the broker's log that were searched for alarms.
    broker_log_seen: Mutex<u64>,
    /// The last field, so that it is dropped last and sweeps up behind the others.
    guard: Guard,
}

impl Stack {
    /// Starts what `options` ask for and returns when everything answers. Missing binaries are
    /// installed first if that is allowed. When it fails, or is dropped half-way, nothing is left.
    pub async fn start(options: &StackOptions) -> anyhow::Result<Self> {
        let choice = Choice::of(options).await?;
        Self::start_chosen(options, &choice).await
    }

    /// As [`Stack::start`], for options whose choice was made before.
    pub async fn start_chosen(options: &StackOptions, choice: &Choice) -> anyhow::Result<Self> {
        Box::pin(start::start(options, choice)).await
    }

    /// `servers`, `external` or `embedded`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Which stack this is and why, in a sentence.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Versions and every setting that a result has to state, `redis.appendfsync` = `everysec`.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Whether orders and queue are in one SQLite file and every role is in one process.
    pub fn is_embedded(&self) -> bool {
        address::is_file(&self.urls.database)
    }

    /// URL of one database; it need not exist. On the embedded stack it is a file in the scratch
    /// folder.
    pub fn database_url(&self, database: &str) -> String {
        address::with_database(&self.urls.database, database)
    }

    /// Empty on the embedded stack; `redis-cluster://…` for a cluster.
    pub fn redis_url(&self) -> String {
        self.urls.redis.clone()
    }

    /// Empty on the embedded stack.
    pub fn amqp_url(&self) -> String {
        self.urls.amqp.clone()
    }

    /// This run's own folder; it is removed at the end unless it is to be kept.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Bytes on the disk that the servers' data takes up now, or the SQLite files of the embedded
    /// stack; none for external servers, whose disks are not ours to see.
    pub fn disk_bytes(&self) -> Option<u64> {
        let entries = std::fs::read_dir(&self.scratch).ok()?.flatten();
        let is_data = |name: &str, is_folder: bool| match self.is_embedded() {
            true => name.contains(address::FILE_ENDING),
            false => is_folder && name != scratch::LOGS,
        };
        let data = entries.filter(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            is_data(&entry.file_name().to_string_lossy(), is_folder)
        });
        let bytes = data.map(|entry| disk_bytes(&entry.path())).sum();
        (self.is_embedded() || !self.servers.is_empty()).then_some(bytes)
    }

    /// Environment entry that every process of this run must carry. Roles do; whoever starts
    /// another process sets it there, so that the guard finds it.
    pub fn tag(&self) -> (&'static str, &str) {
        self.guard.tag()
    }

    /// CPU and memory of roles and private servers. The driver, which is not one of them, is started
    /// within [`Limits::apart`].
    pub fn limits(&self) -> &Limits {
        self.guard.limits()
    }

    /// Starts a role and returns when it is ready, within 20 s. Its log is `logs/NAME.log` in the
    /// scratch folder.
    pub async fn spawn_role(&self, spec: &RoleSpec) -> anyhow::Result<Role> {
        Role::start(&self.guard, &self.scratch, &self.roster, spec).await
    }

    /// Runs a role that ends by itself, such as `migrate`, and returns its standard output.
    pub async fn run_to_end(&self, spec: &RoleSpec) -> anyhow::Result<String> {
        role::run_to_end(&self.guard, &self.scratch, spec).await
    }

    /// Whether everything is still well: every server and role lives, there is room in the scratch
    /// folder, and the broker has raised no alarm since the last look. Takes well under a
    /// millisecond.
    pub async fn check(&self) -> anyhow::Result<()> {
        // First, because a server that cannot write dies of it, and then this is the reason.
        scratch::require_free(
            &self.scratch,
            scratch::RUN_FREE_BYTES_MIN,
            "a run needs at least",
        )?;
        for process in self
            .servers
            .iter()
            .flat_map(|server| std::iter::once(&server.process).chain(&server.helper))
        {
            if let Some(status) = process.ended() {
                bail!("{} died ({status}){}", process.name(), process.last_words());
            }
        }
        if let Some(broker) = self
            .servers
            .iter()
            .find(|server| server.process.name() == rabbitmq::NAME)
        {
            let mut seen = self
                .broker_log_seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let news = broker.process.log_after(&mut seen);
            let alarm = news.lines().find(|line| line.contains(rabbitmq::ALARM));
            ensure!(
                alarm.is_none(),
                "the broker raised an alarm and blocks publishers: {}",
                alarm.unwrap_or_default()
            );
        }
        self.roster.check()?;
        ensure!(
            self.guard.is_alive(),
            "the guard died: nothing would be cleaned up if this process died too"
        );
        Ok(())
    }

    /// What every process of the stack has used so far, by name: each server with its children and
    /// helpers, the nodes of a cluster as one, each role with its earlier lives. External servers
    /// are not ours to measure; [`Stack::sees`] says so.
    pub fn counters(&self) -> Counters {
        let processes = proc::all();
        let mut counters = Counters::new();
        for server in &self.servers {
            for process in std::iter::once(&server.process).chain(&server.helper) {
                counters.add_running(server.figure_name(), process.tree(&processes));
            }
        }
        self.roster.count(&mut counters, &processes);
        counters
    }

    /// Whether [`Stack::counters`] sees everything that serves: not the servers of the external
    /// stack.
    pub fn sees(&self) -> Sees {
        match self.kind {
            "external" => Sees::RolesOnly,
            _ => Sees::All,
        }
    }

    /// Starts the servers' memory peaks anew, so that a leg is not charged for the one before it.
    pub fn reset_peaks(&self) {
        let processes = proc::all();
        let roots: Vec<u32> = self
            .servers
            .iter()
            .map(|server| server.process.pid())
            .collect();
        let below = proc::descendants(&processes, &roots).map(|process| process.pid);
        roots
            .iter()
            .copied()
            .chain(below)
            .for_each(proc::reset_peak_rss);
    }

    /// Pid of a private server, for faults that are made on purpose; nodes of a cluster are
    /// `redis-0` to `redis-2`.
    pub fn server_pid(&self, name: &str) -> Option<u32> {
        self.servers
            .iter()
            .find(|server| server.process.name() == name)
            .map(|server| server.process.pid())
    }

    /// Milliseconds from start to first answer, by server.
    pub fn start_ms(&self) -> BTreeMap<&str, u128> {
        self.servers
            .iter()
            .map(|server| (server.process.name(), server.start_ms))
            .collect()
    }

    /// Ends roles first and then servers, each in order as long as that takes a few seconds, and
    /// has the guard kill the rest and remove the scratch folder.
    pub async fn stop(self) -> anyhow::Result<()> {
        let roles = self.roster.take();
        join_all(roles.iter().map(|process| process.stop(STOP_LIMIT))).await;
        // How they end is not worth an error: a role that matters is stopped by its owner.
        join_all(
            self.servers
                .iter()
                .map(|server| server.process.stop(STOP_LIMIT)),
        )
        .await;
        let Self { servers, guard, .. } = self;
        drop(servers);
        tokio::task::spawn_blocking(|| guard.finish()).await?
    }
}
