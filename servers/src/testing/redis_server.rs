//! A private redis-server for one test, and every way to lose it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Home, Life, copy, unless_missing};
use crate::address::Address;
use crate::error::{OrFailed, Result, failed};
use crate::frozen::Frozen;
use crate::redis;

/// Bytes cut off the AOF to bring back an older state.
const AOF_TAIL_BYTES: u64 = 100;
/// How long Redis may hold back what it has to write.
const WRITTEN_LIMIT: Duration = Duration::from_secs(10);
const WRITTEN_POLL: Duration = Duration::from_millis(5);
/// How long a replica may take to have what its primary has.
const CAUGHT_UP_LIMIT: Duration = Duration::from_secs(30);
/// Where Redis keeps its AOF.
const AOF_FOLDER: &str = "appendonlydir";

/// How a Redis or a Redis Cluster can be lost.
pub const LOSSES: &[&str] = &[
    "flushed",
    "scripts flushed",
    "killed, AOF intact",
    "killed, AOF cut",
    "killed, empty",
];

/// A redis-server with an AOF that is written through every second; gone when dropped. One call at
/// a time may take it down or bring it back.
#[derive(Debug)]
pub struct RedisServer {
    life: Life,
    port: u16,
    home: Home,
}

impl RedisServer {
    /// Starts one, in some 20 ms. None, with the reason printed, when redis-server is not
    /// installed.
    ///
    /// # Panics
    /// When it is installed and does not start; with `REQUIRE_SERVERS=1` also when it is not.
    pub async fn start() -> Option<Self> {
        unless_missing(Self::try_start().await)
    }

    async fn try_start() -> Result<Self> {
        let home = Home::make()?;
        let started = redis::start(&home.site()).await?;
        Ok(Self {
            life: Life::new(started.process),
            port: started.port,
            home,
        })
    }

    /// `redis://127.0.0.1:40001/`; stays the same in every life.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// # Panics
    /// After [`RedisServer::kill`].
    pub fn pid(&self) -> u32 {
        self.life.pid()
    }

    /// Sends a command in one line, `CONFIG SET maxmemory 0`, and waits for its `OK`.
    pub async fn command(&self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match redis::ask(&Address::local(self.port), &words).await {
            Ok(answer) if answer == ["OK"] => Ok(()),
            Ok(answer) => Err(failed(format!("{line}: {answer:?}"))),
            Err(error) => Err(failed(format!("{line}: {error}"))),
        }
    }

    /// Lets the server evict keys when its memory is full, or, with `false`, no longer.
    pub async fn let_forget(&self, may_forget: bool) -> Result<()> {
        let policy = match may_forget {
            true => "allkeys-lru",
            false => "noeviction",
        };
        self.command(&format!("CONFIG SET maxmemory-policy {policy}"))
            .await
    }

    /// Loses the server's state in one of the ways of [`LOSSES`]; it answers again afterwards. For
    /// `killed, AOF intact` and `killed, AOF cut` all that it has answered is in the AOF before the
    /// kill, so nobody may write meanwhile; [`RedisServer::restart`] kills under load.
    pub async fn lose(&self, how: &str) -> Result<()> {
        match how {
            "flushed" => self.command("FLUSHALL").await,
            "scripts flushed" => self.command("SCRIPT FLUSH").await,
            "killed, AOF intact" => {
                wait_until_written(self.port).await?;
                self.restart().await
            }
            "killed, AOF cut" => {
                wait_until_written(self.port).await?;
                self.kill().await?;
                cut_aof(&self.data())?;
                self.restart().await
            }
            "killed, empty" => {
                self.kill().await?;
                self.erase()?;
                self.restart().await
            }
            _ => Err(no_loss(how)),
        }
    }

    /// SIGKILL, in the middle of whatever it does.
    pub async fn kill(&self) -> Result<()> {
        self.life.end().await
    }

    /// Starts it again on its port, with the data that it has; kills it first if it lives.
    pub async fn restart(&self) -> Result<()> {
        self.kill().await?;
        let process = redis::run_node(&self.home.site(), redis::NAME, self.port, &[]).await?;
        self.life.begin(process);
        Ok(())
    }

    /// Makes it a replica of `primary`, with whose data it replaces its own, and waits until it has
    /// all of them.
    pub async fn follow(&self, primary: &Self) -> Result<()> {
        // A primary waits for 5 s by default, because other replicas may want the same data.
        primary
            .command("CONFIG SET repl-diskless-sync-delay 0")
            .await?;
        self.command(&format!("REPLICAOF 127.0.0.1 {}", primary.port))
            .await?;
        self.catch_up(primary).await
    }

    /// Waits until a replica of `primary` has everything that its primary has.
    pub async fn catch_up(&self, primary: &Self) -> Result<()> {
        let deadline = Instant::now() + CAUGHT_UP_LIMIT;
        loop {
            let written = primary.replication().await?;
            let read = self.replication().await?;
            let is_up = field(&read, "master_link_status") == "up";
            if is_up && field(&read, "slave_repl_offset") == field(&written, "master_repl_offset") {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(failed(format!(
                    "the replica has not caught up within {CAUGHT_UP_LIMIT:?}: {read}"
                )));
            }
            tokio::time::sleep(WRITTEN_POLL).await;
        }
    }

    /// Makes a replica a primary with the data that it has.
    pub async fn lead(&self) -> Result<()> {
        self.command("REPLICAOF NO ONE").await
    }

    async fn replication(&self) -> Result<String> {
        let address = Address::local(self.port);
        Ok(redis::ask(&address, &["INFO", "replication"])
            .await?
            .concat())
    }

    /// SIGSTOP until what is returned is dropped.
    pub fn freeze(&self) -> Frozen {
        Frozen::freeze(self.pid())
    }

    /// Removes everything that a dead server has kept.
    pub fn erase(&self) -> Result<()> {
        erase(&self.data())
    }

    /// Copies what the server has kept so far; an earlier copy is replaced.
    pub fn set_aside(&self) -> Result<()> {
        erase(&self.aside())?;
        copy(&self.data(), &self.aside()).or_failed(|| "the data cannot be copied".to_owned())
    }

    /// Gives a dead server that copy in place of what it has kept.
    pub fn bring_back(&self) -> Result<()> {
        self.erase()?;
        copy(&self.aside(), &self.data()).or_failed(|| "nothing was set aside".to_owned())
    }

    fn data(&self) -> PathBuf {
        self.home.data_folder(redis::NAME)
    }

    fn aside(&self) -> PathBuf {
        self.home.data_folder("aside")
    }
}

/// The value of a field of INFO.
fn field<'a>(info: &'a str, name: &str) -> &'a str {
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default()
}

/// Until everything that the server has answered is in its AOF. While the disk is slow to sync,
/// Redis holds writes back for up to two seconds, and a kill would lose them.
pub(super) async fn wait_until_written(port: u16) -> Result<()> {
    let deadline = Instant::now() + WRITTEN_LIMIT;
    let address = Address::local(port);
    loop {
        let info = redis::ask(&address, &["INFO", "persistence"]).await?;
        // Without an AOF there is no such line.
        let is_held_back = info.concat().lines().any(|line| {
            let length = line.strip_prefix("aof_buffer_length:");
            length.is_some_and(|length| length != "0")
        });
        if !is_held_back {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(failed(format!(
                "Redis does not write its AOF within {WRITTEN_LIMIT:?}"
            )));
        }
        tokio::time::sleep(WRITTEN_POLL).await;
    }
}

pub(super) fn no_loss(how: &str) -> crate::Error {
    failed(format!(
        "no way {how:?} to lose a Redis; known: {}",
        LOSSES.join("; ")
    ))
}

/// Empties a folder, and makes it if there is none.
fn erase(folder: &Path) -> Result<()> {
    let removed = match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(folder),
    };
    removed.or_failed(|| format!("{} cannot be emptied", folder.display()))
}

/// Takes the AOF away and leaves the rest, such as what a node knows of its cluster.
pub(super) fn erase_aof(data: &Path) -> Result<()> {
    std::fs::remove_dir_all(data.join(AOF_FOLDER))
        .or_failed(|| "the AOF cannot be removed".to_owned())
}

/// Takes the last writes away, as a machine that lost power would. Redis loads a truncated AOF.
pub(super) fn cut_aof(data: &Path) -> Result<()> {
    let cut = || {
        for entry in std::fs::read_dir(data.join(AOF_FOLDER))? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(".incr.aof") {
                let file = std::fs::OpenOptions::new().write(true).open(&path)?;
                file.set_len(file.metadata()?.len().saturating_sub(AOF_TAIL_BYTES))?;
            }
        }
        std::io::Result::Ok(())
    };
    cut().or_failed(|| "the AOF cannot be cut".to_owned())
}
