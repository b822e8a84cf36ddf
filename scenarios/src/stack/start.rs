//! The start of a stack: which one, where, and all servers at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use futures_util::future::try_join3;

use super::external::{self, Urls};
use super::options::{StackKind, StackOptions};
use super::role::Roster;
use super::server::{Place, Server, start_on_free_ports};
use super::{Stack, database, rabbitmq, redis, scratch};
use crate::guard::Guard;
use crate::setup;

pub(super) async fn start(options: &StackOptions) -> anyhow::Result<Stack> {
    match options.kind {
        StackKind::External => external(options).await,
        StackKind::Auto | StackKind::Servers => servers(options).await,
    }
}

async fn external(options: &StackOptions) -> anyhow::Result<Stack> {
    let urls = Urls::of(&options.external)?;
    let run_id = new_run_id();
    let folder = scratch::create(&scratch::base(options.scratch.as_deref()), &run_id)?;
    let guard = guard(&run_id, &folder, options.keep).await?;
    let settings = external::settings(&urls, &options.durability.queue_type).await?;
    Ok(Stack {
        kind: "external",
        why: "external: servers by address, as asked for with --stack external".to_owned(),
        urls,
        settings,
        scratch: folder,
        roster: Arc::new(Roster::default()),
        servers: Vec::new(),
        broker_log_seen: Mutex::new(0),
        guard,
    })
}

async fn servers(options: &StackOptions) -> anyhow::Result<Stack> {
    let install = options.install;
    let binaries = tokio::task::spawn_blocking(move || setup::require(install)).await??;
    let run_id = new_run_id();
    let folder = scratch::create(&scratch::base(options.scratch.as_deref()), &run_id)?;
    let guard = guard(&run_id, &folder, options.keep).await?;
    let place = Place { guard: &guard, scratch: &folder, binaries: &binaries, durability: &options.durability };
    let starting = try_join3(
        start_on_free_ports(async || redis::start(&place).await),
        start_on_free_ports(async || rabbitmq::start(&place, &run_id).await),
        start_on_free_ports(async || database::start(&place).await),
    );
    let (redis, broker, database) = starting.await.with_context(|| {
        let kept = if options.keep { format!(" (kept: {})", folder.display()) } else { String::new() };
        format!("the stack did not start{kept}")
    })?;
    let mut settings = BTreeMap::new();
    for server in [&redis, &broker, &database] {
        let name = server.process.name();
        settings.extend(server.settings.iter().map(|(key, value)| (format!("{name}.{key}"), value.clone())));
    }
    settings.insert("scratch.file_system".to_owned(), scratch::file_system(&folder));
    let urls = Urls {
        redis: format!("redis://127.0.0.1:{}/", redis.port),
        amqp: format!("amqp://guest:guest@127.0.0.1:{}/%2f", broker.port),
        database: database::url(database.port),
    };
    Ok(Stack {
        kind: "servers",
        why: why(options.kind, &[&redis, &broker, &database]),
        urls,
        settings,
        scratch: folder,
        roster: Arc::new(Roster::default()),
        servers: vec![redis, broker, database],
        broker_log_seen: Mutex::new(0),
        guard,
    })
}

fn why(kind: StackKind, servers: &[&Server]) -> String {
    let chosen = if kind == StackKind::Auto { "their binaries are here" } else { "as asked for with --stack servers" };
    let list: Vec<String> = servers
        .iter()
        .map(|server| {
            let version = server.settings.first().map_or("", |(_, version)| version);
            format!("{} {version} (ready after {} ms)", server.process.name(), server.start_ms)
        })
        .collect();
    format!("servers: private ones on free ports, {chosen}: {}", list.join(", "))
}

async fn guard(run_id: &str, folder: &Path, keep: bool) -> anyhow::Result<Guard> {
    let (run_id, folder) = (run_id.to_owned(), folder.to_path_buf());
    let starting = move || {
        Guard::start(&run_id, (!keep).then_some(folder.as_path())).inspect_err(|_| {
            // Nobody else removes it; it is empty.
            drop(std::fs::remove_dir_all(&folder));
        })
    };
    tokio::task::spawn_blocking(starting).await?.context("the guard did not start")
}

/// 64 random bits, so that no two runs of a machine meet.
pub(crate) fn new_run_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}
