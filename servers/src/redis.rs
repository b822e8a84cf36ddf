//! A private redis-server: its settings, and the few words of its protocol that the lab needs for
//! its readiness and for its settings in force.

use std::process::Command;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::address::Address;
use super::ports::{self, TAKEN};
use super::server::{Place, Server, wait_until_ready};

/// Settings that are read back from a running server and go into the result.
const SETTINGS: [&str; 6] = [
    "appendonly",
    "appendfsync",
    "save",
    "maxmemory",
    "maxmemory-policy",
    "io-threads",
];
/// Largest reply that is accepted; INFO has a few KiB.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// In figures and settings; the nodes of a cluster count together.
pub(super) const NAME: &str = "redis";

/// One server by itself.
pub(super) async fn start(place: &Place<'_>) -> anyhow::Result<Server> {
    let [port] = ports::free()?;
    start_node(place, NAME, port, &[]).await
}

/// A server called `name` on this port, with these settings on top.
pub(super) async fn start_node(
    place: &Place<'_>,
    name: &str,
    port: u16,
    more: &[(&str, &str)],
) -> anyhow::Result<Server> {
    let folder = place.data_folder(name)?;
    let mut command = Command::new(&place.binaries.redis_server);
    // No file is given, so no configuration of the machine is read.
    command.current_dir(&folder).args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--daemonize",
        "no",
    ]);
    command
        .args(["--protected-mode", "yes", "--dir", "."])
        .args(["--save", "", "--appendonly", "yes"]);
    command.args([
        "--appendfsync",
        &place.durability.appendfsync,
        "--maxmemory-policy",
        "noeviction",
    ]);
    for (setting, value) in more {
        command.args([&format!("--{setting}"), *value]);
    }
    let process = place.spawn(name, command)?;
    let address = Address::local(port);
    // Its own pid in the answer: another server may have got the port.
    let own_pid = format!("process_id:{}\r\n", process.pid());
    wait_until_ready(&process, async || {
        ensure!(
            ask(&address, &["PING"]).await? == ["PONG"],
            "it does not answer PING"
        );
        ensure!(
            ask(&address, &["INFO", "server"])
                .await?
                .concat()
                .contains(&own_pid),
            "{TAKEN} by another Redis"
        );
        Ok(())
    })
    .await?;
    let settings = settings(&address).await?;
    Ok(Server {
        process,
        part_of: Some(NAME),
        helper: None,
        port,
        settings,
        start_ms: 0,
    })
}

/// Version and settings in force. A server that does not tell a setting has it as `unknown`.
pub(super) async fn settings(address: &Address) -> anyhow::Result<Vec<(&'static str, String)>> {
    let info = ask(address, &["INFO", "server"]).await?.concat();
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .unwrap_or("unknown");
    let mut settings = vec![("version", version.trim().to_owned())];
    for name in SETTINGS {
        let answer = ask(address, &["CONFIG", "GET", name])
            .await
            .unwrap_or_default();
        settings.push((
            name,
            answer
                .into_iter()
                .nth(1)
                .unwrap_or_else(|| "unknown".to_owned()),
        ));
    }
    Ok(settings)
}

/// One command on a connection of its own; a list comes back as its texts, anything else as one
/// text.
pub(super) async fn ask(address: &Address, command: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut stream = BufReader::new(TcpStream::connect((&*address.host, address.port)).await?);
    if !address.password.is_empty() {
        let login = ["AUTH", &address.user, &address.password];
        let login: Vec<&str> = login.into_iter().filter(|word| !word.is_empty()).collect();
        call(&mut stream, &login)
            .await
            .context("the login failed")?;
    }
    call(&mut stream, command).await
}

async fn call(stream: &mut BufReader<TcpStream>, command: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes()).await?;
    let head = line(stream).await?;
    let count = match head.split_at_checked(1) {
        Some(("*", count)) => count.parse::<usize>().context("a list without a length")?,
        _ => return Ok(vec![text(stream, &head).await?]),
    };
    let mut texts = Vec::new();
    for _ in 0..count {
        let head = line(stream).await?;
        texts.push(text(stream, &head).await?);
    }
    Ok(texts)
}

/// The text that begins with `head`: a status as it is, a bulk string from what follows.
async fn text(stream: &mut BufReader<TcpStream>, head: &str) -> anyhow::Result<String> {
    match head.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("$", length)) => {
            let length: usize = length.parse().context("a text without a length")?;
            ensure!(length <= REPLY_BYTES_MAX, "a reply of {length} bytes");
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes).await?;
            bytes.truncate(length);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Some(("-", complaint)) => bail!("Redis says: {complaint}"),
        _ => bail!("this is no Redis: it answers {head:?}"),
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    let length = stream
        .take(REPLY_BYTES_MAX as u64)
        .read_line(&mut line)
        .await?;
    ensure!(length > 0, "Redis closed the connection");
    Ok(line.trim_end().to_owned())
}
