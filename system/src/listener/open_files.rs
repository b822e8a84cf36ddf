//! The limit on open files: raised as far as this process may, and shared out between what it needs
//! itself and its clients.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a process has open whatever it serves: libraries, logs, runtimes, a SQLite file, the
/// clients of the admin listener, and those of the other roles where all run in one process.
const OWN_FILES: u64 = 64;
/// Files of one serving thread: its runtime, its listener, its connections to engine and broker.
const FILES_PER_THREAD: u64 = 16;
/// Pools of database connections: the store's, the engine's, and those of other roles.
const POOLS: u64 = 2;

/// Raises the soft limit to the hard one: what services inherit (1,024) is meant for `select`.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
}

/// How many clients may be connected: `wanted`, or what the limit on open files leaves if that is
/// less, or if `wanted` is 0. An error if it leaves nothing.
pub fn room_for_clients(
    wanted: usize,
    threads: usize,
    database_connections: u32,
) -> anyhow::Result<usize> {
    let limit = getrlimit(Resource::Nofile).current;
    share(limit, wanted, threads, database_connections)
}

fn share(
    limit: Option<u64>,
    wanted: usize,
    threads: usize,
    database_connections: u32,
) -> anyhow::Result<usize> {
    let threads = u64::try_from(threads).unwrap_or(u64::MAX);
    let own = OWN_FILES
        .saturating_add(threads.saturating_mul(FILES_PER_THREAD))
        .saturating_add(POOLS * u64::from(database_connections));
    let limit = limit.unwrap_or(u64::MAX);
    ensure!(
        limit > own,
        "the limit on open files is {limit} (ulimit -n), and {own} are needed before anybody \
         connects"
    );
    let room = usize::try_from(limit - own).unwrap_or(usize::MAX);
    if wanted > room {
        tracing::warn!(
            wanted,
            room,
            "seckill.max_connections: the limit on open files leaves room for fewer"
        );
    }
    Ok(match wanted {
        0 => room,
        wanted => wanted.min(room),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_process_does_not_need_itself_and_no_more_than_wanted() {
        assert_eq!(share(Some(256), 0, 1, 8).expect("room"), 160);
        assert_eq!(share(Some(256), 100, 1, 8).expect("room"), 100);
        assert_eq!(share(Some(256), 10_000, 1, 8).expect("room"), 160);
        assert_eq!(share(None, 10_000, 2, 8).expect("room"), 10_000);
        let refused = share(Some(96), 0, 1, 8).expect_err("no room").to_string();
        assert_eq!(
            refused,
            "the limit on open files is 96 (ulimit -n), and 96 are needed before anybody connects"
        );
    }
}
