//! Deletes the keys that a leg left in Redis, and only those: it never flushes a server.

use std::time::Duration;

use anyhow::Context;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use crate::stack::redis_nodes;

/// Longest wait for a connection and for one reply.
const REPLY_LIMIT: Duration = Duration::from_secs(10);
/// Keys asked for per SCAN step.
const SCAN_COUNT: usize = 1_000;

/// Removes every key that starts with `prefix`, from every node of a cluster; returns how many
/// there were. A key whose prefix begins its hash tag, `{prefix…}`, is one of them.
pub(super) async fn unlink_prefix(url: &str, prefix: &str) -> anyhow::Result<u64> {
    anyhow::ensure!(
        !prefix.is_empty(),
        "an empty prefix would match keys of others"
    );
    let nodes = redis_nodes(url);
    // A node of a cluster takes keys of different slots only one by one.
    let keys_per_unlink = if nodes.len() > 1 { 1 } else { SCAN_COUNT };
    let mut removed = 0;
    for node in &nodes {
        removed += unlink_at(node, prefix, keys_per_unlink).await?;
    }
    Ok(removed)
}

async fn unlink_at(url: &str, prefix: &str, keys_per_unlink: usize) -> anyhow::Result<u64> {
    let mut connection = connected(url).await?;
    let mut removed = 0;
    for before in ["", "{"] {
        let pattern = format!("{before}{}*", escaped(prefix));
        removed += unlink_pattern(&mut connection, &pattern, keys_per_unlink)
            .await
            .context("Redis refused")?;
    }
    Ok(removed)
}

/// The error never shows the address, which may hold a password.
async fn connected(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REPLY_LIMIT))
        .set_response_timeout(Some(REPLY_LIMIT));
    let client = redis::Client::open(url).context("the address of Redis is not valid")?;
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    connecting.await.context("no connection to Redis")
}

async fn unlink_pattern(
    connection: &mut MultiplexedConnection,
    pattern: &str,
    keys_per_unlink: usize,
) -> redis::RedisResult<u64> {
    let mut cursor = 0;
    let mut removed = 0;
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(SCAN_COUNT)
            .query_async(connection)
            .await?;
        for some in keys.chunks(keys_per_unlink) {
            let unlink = redis::cmd("UNLINK").arg(some).to_owned();
            unlink.exec_async(connection).await?;
            removed += some.len() as u64;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(removed);
        }
    }
}

/// SCAN expects a glob, so the characters that have a meaning in globs are escaped.
fn escaped(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len());
    for letter in prefix.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_not_read_as_a_glob() {
        assert_eq!(escaped("lab[1]*:"), "lab\\[1\\]\\*:");
    }

    async fn set(connection: &mut MultiplexedConnection, key: &str) -> redis::RedisResult<()> {
        let set = redis::cmd("SET").arg(key).arg(1).to_owned();
        set.exec_async(connection).await
    }

    #[tokio::test]
    async fn only_keys_with_the_prefix_are_removed() {
        let Some(redis) = servers::RedisServer::start().await else {
            return;
        };
        let mut connection = connected(&redis.url()).await.expect("connected");
        for index in 0..2_500 {
            set(&mut connection, &format!("mine:{index}"))
                .await
                .expect("set");
        }
        let others = ["minx:1", "{minx:1}", "a mine:1"];
        for key in ["{mine:sale:1}:meta", "{mine:}"].iter().chain(&others) {
            set(&mut connection, key).await.expect("set");
        }
        let removed = unlink_prefix(&redis.url(), "mine:").await.expect("removed");
        assert_eq!(removed, 2_502);
        let left: u64 = redis::cmd("DBSIZE")
            .query_async(&mut connection)
            .await
            .expect("counted");
        assert_eq!(left, 3);
        assert!(unlink_prefix(&redis.url(), "").await.is_err());
    }

    #[tokio::test]
    async fn keys_are_removed_from_every_node_of_a_cluster() {
        let options = crate::stack::StackOptions {
            redis_cluster: true,
            ..crate::testing::options()
        };
        let Some(stack) = crate::testing::own_stack(&options).await else {
            return;
        };
        let url = stack.redis_url();
        let mut count = 0;
        for node in redis_nodes(&url) {
            let mut connection = connected(&node).await.expect("connected");
            for index in 0..50 {
                // Two of three keys belong to other nodes, and are refused here.
                let done = set(&mut connection, &format!("mine:{index}")).await;
                count += u64::from(done.is_ok());
            }
        }
        assert_eq!(count, 50);
        assert_eq!(unlink_prefix(&url, "mine:").await.expect("removed"), 50);
        assert_eq!(unlink_prefix(&url, "mine:").await.expect("nothing left"), 0);
        stack.stop().await.expect("an orderly end");
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_without_its_password() {
        for url in ["http://me:secret@cache", "redis://me:secret@127.0.0.1:1/"] {
            let refused = unlink_prefix(url, "mine:").await.expect_err(url);
            let said = format!("{refused:#}");
            assert!(said.contains("Redis") && !said.contains("secret"), "{said}");
        }
    }
}
