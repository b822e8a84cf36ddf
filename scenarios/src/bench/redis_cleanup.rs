//! Deletes the keys that a leg left in Redis, and only those: it never flushes a server. The lab
//! shares no client with the system, so this speaks as much of the Redis protocol as it needs:
//! AUTH, SELECT, SCAN with a prefix, and UNLINK.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::stack::redis_nodes;

/// Longest wait for one reply.
const REPLY_LIMIT: Duration = Duration::from_secs(10);
/// Keys asked for per SCAN step.
const SCAN_COUNT: usize = 1_000;
/// Largest bulk string or array that is accepted; a page of keys is far smaller.
const REPLY_LEN_MAX: usize = 16 << 20;

#[derive(Debug, PartialEq)]
enum Reply {
    Text(Vec<u8>),
    Number(i64),
    Nil,
    List(Vec<Reply>),
}

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
    let mut connection = Connection::open(url).await?;
    let mut removed = 0;
    for before in ["", "{"] {
        let pattern = format!("{before}{}*", escaped(prefix));
        removed += unlink_pattern(&mut connection, &pattern, keys_per_unlink).await?;
    }
    Ok(removed)
}

async fn unlink_pattern(
    connection: &mut Connection,
    pattern: &str,
    keys_per_unlink: usize,
) -> anyhow::Result<u64> {
    let count = SCAN_COUNT.to_string();
    let mut cursor = "0".to_owned();
    let mut removed = 0;
    loop {
        let reply = connection
            .call(&["SCAN", &cursor, "MATCH", pattern, "COUNT", &count])
            .await?;
        let Reply::List(parts) = reply else {
            bail!("Redis answered SCAN with {reply:?}")
        };
        let [Reply::Text(next), Reply::List(keys)] = parts.as_slice() else {
            bail!("Redis answered SCAN with {parts:?}")
        };
        let keys: Vec<&[u8]> = keys
            .iter()
            .filter_map(|key| match key {
                Reply::Text(key) => Some(key.as_slice()),
                _ => None,
            })
            .collect();
        for some in keys.chunks(keys_per_unlink) {
            let unlink: Vec<&[u8]> = std::iter::once(b"UNLINK".as_slice())
                .chain(some.iter().copied())
                .collect();
            connection.call_bytes(&unlink).await?;
            removed += some.len() as u64;
        }
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
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

struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let address = Address::parse(url)?;
        let connecting = TcpStream::connect((address.host, address.port));
        let stream = tokio::time::timeout(REPLY_LIMIT, connecting)
            .await
            .context("Redis did not accept a connection in time")?
            .with_context(|| {
                format!(
                    "no connection to Redis at {}:{}",
                    address.host, address.port
                )
            })?;
        let mut connection = Self {
            stream: BufReader::new(stream),
        };
        match (address.user, address.password) {
            (Some(user), Some(password)) => drop(connection.call(&["AUTH", user, password]).await?),
            (None, Some(password)) => drop(connection.call(&["AUTH", password]).await?),
            _ => {}
        }
        if let Some(database) = address.database {
            connection.call(&["SELECT", database]).await?;
        }
        Ok(connection)
    }

    async fn call(&mut self, parts: &[&str]) -> anyhow::Result<Reply> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        self.call_bytes(&parts).await
    }

    async fn call_bytes(&mut self, parts: &[&[u8]]) -> anyhow::Result<Reply> {
        let mut request = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            request.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            request.extend_from_slice(part);
            request.extend_from_slice(b"\r\n");
        }
        let exchange = async {
            self.stream.get_mut().write_all(&request).await?;
            read(&mut self.stream).await
        };
        tokio::time::timeout(REPLY_LIMIT, exchange)
            .await
            .context("Redis did not answer in time")?
    }
}

/// Reads one reply. A list may hold lists, as the reply to SCAN does.
async fn read(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Reply> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let line = String::from_utf8(line)?;
    let Some(kind) = line.chars().next() else {
        bail!("Redis closed the connection")
    };
    let rest = line[kind.len_utf8()..].trim_end();
    match kind {
        '+' => Ok(Reply::Text(rest.as_bytes().to_vec())),
        ':' => Ok(Reply::Number(rest.parse()?)),
        '-' => bail!("Redis refused: {rest}"),
        '$' | '*' => {
            let len: i64 = rest.parse()?;
            let Ok(len) = usize::try_from(len) else {
                return Ok(Reply::Nil);
            };
            anyhow::ensure!(
                len <= REPLY_LEN_MAX,
                "Redis announced a reply of {len} bytes or elements"
            );
            if kind == '$' {
                let mut bytes = vec![0; len + 2];
                stream.read_exact(&mut bytes).await?;
                bytes.truncate(len);
                return Ok(Reply::Text(bytes));
            }
            let mut list = Vec::new();
            for _ in 0..len {
                list.push(Box::pin(read(stream)).await?);
            }
            Ok(Reply::List(list))
        }
        _ => bail!("Redis answered with something that is not its protocol: {line:?}"),
    }
}

/// `redis://[user[:password]@]host[:port][/database]`.
#[derive(Debug, PartialEq)]
struct Address<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: u16,
    database: Option<&'a str>,
}

impl<'a> Address<'a> {
    fn parse(url: &'a str) -> anyhow::Result<Self> {
        let rest = url
            .strip_prefix("redis://")
            .context("the address of Redis must start with redis://")?;
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, "")))
        {
            Some((user, password)) => (Some(user).filter(|user| !user.is_empty()), Some(password)),
            None => (None, None),
        };
        let (host, port) = host.rsplit_once(':').unwrap_or((host, "6379"));
        Ok(Self {
            user,
            password: password.filter(|password| !password.is_empty()),
            host: host.trim_start_matches('[').trim_end_matches(']'),
            port: port
                .parse()
                .context("what follows the host of Redis is no port number")?,
            database: Some(database).filter(|database| !database.is_empty() && *database != "0"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_redis_are_taken_apart() {
        let plain = Address::parse("redis://127.0.0.1:4100/").expect("valid");
        assert_eq!(
            (plain.host, plain.port, plain.password, plain.database),
            ("127.0.0.1", 4100, None, None)
        );
        let full = Address::parse("redis://me:secret@cache/3").expect("valid");
        assert_eq!(
            (full.user, full.password, full.port),
            (Some("me"), Some("secret"), 6379)
        );
        assert_eq!(full.database, Some("3"));
        let anonymous = Address::parse("redis://:secret@cache:1").expect("valid");
        assert_eq!((anonymous.user, anonymous.password), (None, Some("secret")));
        assert!(Address::parse("http://cache").is_err());
        let refused = Address::parse("redis://me:secret/x@cache").unwrap_err();
        assert!(!format!("{refused:#}").contains("secret"), "{refused:#}");
    }

    #[test]
    fn a_prefix_is_not_read_as_a_glob() {
        assert_eq!(escaped("lab[1]*:"), "lab\\[1\\]\\*:");
    }

    #[tokio::test]
    async fn only_keys_with_the_prefix_are_removed() {
        let Some(redis) = servers::RedisServer::start().await else {
            return;
        };
        let mut connection = Connection::open(&redis.url()).await.expect("connected");
        for index in 0..2_500 {
            connection
                .call(&["SET", &format!("mine:{index}"), "1"])
                .await
                .expect("set");
        }
        for tagged in ["{mine:sale:1}:meta", "{mine:}"] {
            connection.call(&["SET", tagged, "1"]).await.expect("set");
        }
        for other in ["minx:1", "{minx:1}", "a mine:1"] {
            connection.call(&["SET", other, "1"]).await.expect("set");
        }
        let removed = unlink_prefix(&redis.url(), "mine:").await.expect("removed");
        assert_eq!(removed, 2_502);
        assert_eq!(
            connection.call(&["DBSIZE"]).await.expect("counted"),
            Reply::Number(3)
        );
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
        let mut set = 0;
        for node in redis_nodes(&url) {
            let mut connection = Connection::open(&node).await.expect("connected");
            for index in 0..50 {
                // Two of three keys belong to other nodes, and are refused here.
                set += u64::from(
                    connection
                        .call(&["SET", &format!("mine:{index}"), "1"])
                        .await
                        .is_ok(),
                );
            }
        }
        assert_eq!(set, 50);
        assert_eq!(unlink_prefix(&url, "mine:").await.expect("removed"), 50);
        assert_eq!(unlink_prefix(&url, "mine:").await.expect("nothing left"), 0);
        stack.stop().await.expect("an orderly end");
    }

    #[tokio::test]
    async fn a_refusal_of_redis_is_an_error_with_its_words() {
        let Some(redis) = servers::RedisServer::start().await else {
            return;
        };
        let mut connection = Connection::open(&redis.url()).await.expect("connected");
        let error = connection
            .call(&["NONSENSE"])
            .await
            .expect_err("refused")
            .to_string();
        assert!(
            error.starts_with("Redis refused: ERR unknown command"),
            "{error}"
        );
    }
}
