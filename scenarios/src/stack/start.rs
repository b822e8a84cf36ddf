//! The start of a stack: where, and all servers at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;
use futures_util::future::try_join3;
use servers::{Programs, Settings, Site, cluster, database, rabbitmq, redis};
use sqlx::{Connection, SqliteConnection};

use super::choice::{Choice, Chosen};
use super::external::{self, Urls};
use super::options::{StackKind, StackOptions};
use super::role::Roster;
use super::server::Server;
use super::{Stack, address, scratch};
use crate::guard::Guard;
use crate::limits::Limits;

/// Large enough that no run of the catalog reads pages back.
const BUFFER_POOL: &str = "512M";
/// A minute of inserts at full speed, so that page flushes are not forced while a leg is measured.
const LOG_FILE_SIZE: &str = "256M";
/// The lab ends a run with a clearer reason before the broker stops its publishers.
const _: () = assert!(rabbitmq::DISK_FREE_LIMIT_BYTES < scratch::RUN_FREE_BYTES_MIN);

pub(super) async fn start(options: &StackOptions, choice: &Choice) -> anyhow::Result<Stack> {
    match &choice.chosen {
        Chosen::External => external(options).await,
        Chosen::Servers(programs) => servers(options, programs).await,
        Chosen::Embedded => embedded(options, choice).await,
    }
}

/// What every stack has: a folder of its own and a guard over it.
struct Ground {
    folder: PathBuf,
    guard: Guard,
}

impl Ground {
    async fn prepare(options: &StackOptions, free_bytes_min: u64) -> anyhow::Result<Self> {
        let run_id = new_run_id();
        let folder = scratch::create(
            &scratch::base(options.scratch.as_deref()),
            &run_id,
            free_bytes_min,
        )?;
        let guard = guard(&run_id, &folder, options).await?;
        Ok(Self { folder, guard })
    }

    fn into_stack(
        self,
        kind: &'static str,
        why: String,
        urls: Urls,
        settings: BTreeMap<String, String>,
    ) -> Stack {
        Stack {
            kind,
            why,
            urls,
            settings,
            scratch: self.folder,
            roster: Arc::new(Roster::default()),
            servers: Vec::new(),
            broker_log_seen: Mutex::new(0),
            guard: self.guard,
        }
    }
}

async fn external(options: &StackOptions) -> anyhow::Result<Stack> {
    let urls = Urls::of(&options.external)?;
    let ground = Ground::prepare(options, scratch::START_FREE_BYTES_MIN).await?;
    let settings = external::settings(&urls, &options.durability.queue_type).await?;
    let why = "external: servers by address, as asked for with --stack external".to_owned();
    Ok(ground.into_stack("external", why, urls, settings))
}

/// Nothing is started: the roles open the file themselves.
async fn embedded(options: &StackOptions, choice: &Choice) -> anyhow::Result<Stack> {
    let ground = Ground::prepare(options, scratch::EMBEDDED_FREE_BYTES_MIN).await?;
    // The system's binary has the same library: both are built from one lock file.
    let mut memory = SqliteConnection::connect("sqlite::memory:")
        .await
        .context("SQLite cannot be used")?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut memory)
        .await?;
    let chosen = choice.fell_back.as_ref().map_or_else(
        || "as asked for with --stack embedded".to_owned(),
        |reason| format!("because auto cannot have the servers: {reason}"),
    );
    let why =
        format!("embedded: one process with every role on one SQLite {version} file, {chosen}");
    let settings = BTreeMap::from([
        ("sqlite.version".to_owned(), version),
        // What the system promises for this file; each leg is held to the mode.
        ("sqlite.journal_mode".to_owned(), "wal".to_owned()),
        ("sqlite.synchronous".to_owned(), "full".to_owned()),
        (
            "scratch.file_system".to_owned(),
            scratch::file_system(&ground.folder),
        ),
    ]);
    let urls = Urls {
        redis: String::new(),
        amqp: String::new(),
        database: address::of_folder(&ground.folder),
    };
    Ok(ground.into_stack("embedded", why, urls, settings))
}

async fn servers(options: &StackOptions, programs: &Programs) -> anyhow::Result<Stack> {
    let ground = Ground::prepare(options, scratch::START_FREE_BYTES_MIN).await?;
    let settings = Settings {
        appendfsync: options.durability.appendfsync.clone(),
        innodb_flush_log_at_trx_commit: options.durability.innodb_flush_log_at_trx_commit,
        innodb_buffer_pool: BUFFER_POOL,
        innodb_log_file: LOG_FILE_SIZE,
    };
    let site = Site {
        keeper: &ground.guard,
        folder: &ground.folder,
        programs,
        settings: &settings,
    };
    let starting = try_join3(
        redis_servers(&site, options.redis_cluster),
        broker(&site, &options.durability.queue_type),
        database_server(&site),
    );
    let (redis, broker, database) = starting.await.with_context(|| {
        let kept = if options.keep {
            format!(" (kept: {})", ground.folder.display())
        } else {
            String::new()
        };
        format!("the stack did not start{kept}")
    })?;
    let urls = Urls {
        redis: if options.redis_cluster {
            cluster::url(redis.iter().map(|server| server.port))
        } else {
            format!("{}127.0.0.1:{}/", address::REDIS, redis[0].port)
        },
        amqp: rabbitmq::url(broker.port),
        database: database::url(database.port),
    };
    let servers: Vec<Server> = redis.into_iter().chain([broker, database]).collect();
    let mut settings = BTreeMap::new();
    for server in &servers {
        let name = server.figure_name();
        settings.extend(
            server
                .settings
                .iter()
                .map(|(key, value)| (format!("{name}.{key}"), value.clone())),
        );
    }
    settings.insert(
        "scratch.file_system".to_owned(),
        scratch::file_system(&ground.folder),
    );
    let why = why(options.kind, &servers);
    Ok(Stack {
        servers,
        ..ground.into_stack("servers", why, urls, settings)
    })
}

/// The nodes of a cluster count together, as `redis`.
async fn redis_servers(site: &Site<'_>, as_cluster: bool) -> servers::Result<Vec<Server>> {
    let begin = Instant::now();
    let started = if as_cluster {
        cluster::start(site).await?
    } else {
        vec![redis::start(site).await?]
    };
    let server = |started| Server::new(started, Some(redis::NAME), begin);
    Ok(started.into_iter().map(server).collect())
}

async fn broker(site: &Site<'_>, queue_type: &str) -> servers::Result<Server> {
    let begin = Instant::now();
    let mut server = Server::new(rabbitmq::start(site).await?, None, begin);
    server.settings.push(("queue_type", queue_type.to_owned()));
    Ok(server)
}

async fn database_server(site: &Site<'_>) -> servers::Result<Server> {
    let begin = Instant::now();
    let mut started = database::start(site).await?;
    started.process.rename(database::product(&started.settings));
    Ok(Server::new(started, None, begin))
}

fn why(kind: StackKind, servers: &[Server]) -> String {
    let chosen = if kind == StackKind::Auto {
        "their binaries are here"
    } else {
        "as asked for with --stack servers"
    };
    let list: Vec<String> = servers
        .iter()
        .map(|server| {
            let version = server.settings.first().map_or("", |(_, version)| version);
            format!(
                "{} {version} (ready after {} ms)",
                server.process.name(),
                server.start_ms
            )
        })
        .collect();
    format!(
        "servers: private ones on free ports, {chosen}: {}",
        list.join(", ")
    )
}

async fn guard(run_id: &str, folder: &Path, options: &StackOptions) -> anyhow::Result<Guard> {
    let (run_id, folder) = (run_id.to_owned(), folder.to_path_buf());
    let (keep, wanted) = (options.keep, options.limits.clone());
    let starting = move || {
        let limits = Limits::apply(&wanted, &format!("lab-{run_id}"));
        let remove = (!keep).then_some(folder.as_path());
        let started = limits.and_then(|limits| Guard::start(&run_id, remove, limits));
        started.inspect_err(|_| {
            // Nobody else removes it; it is empty.
            drop(std::fs::remove_dir_all(&folder));
        })
    };
    tokio::task::spawn_blocking(starting)
        .await?
        .context("the guard did not start")
}

/// 64 random bits, so that no two runs of a machine meet.
fn new_run_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}
