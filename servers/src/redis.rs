//! How a redis-server is started, and the few words of its protocol that are needed to ask it: for
//! its readiness and for its settings in force.

use std::process::Command;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::address::Address;
use crate::error::{OrFailed, Result, TAKEN, failed};
use crate::ports;
use crate::process::Process;
use crate::site::{FirstAnswer, Site, Started, within};

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

/// What its data folder and its log are called.
pub const NAME: &str = "redis";

/// One server by itself, on a free port.
pub async fn start(site: &Site<'_>) -> Result<Started> {
    let [port, another] = ports::free()?;
    match start_node(site, NAME, port, &[]).await {
        Err(error) if error.is_port_taken() => start_node(site, NAME, another, &[]).await,
        result => result,
    }
}

/// An empty server called `name` on this port, with these settings on top.
pub(crate) async fn start_node(
    site: &Site<'_>,
    name: &str,
    port: u16,
    more: &[(&str, &str)],
) -> Result<Started> {
    site.data_folder(name)?;
    let process = run_node(site, name, port, more).await?;
    let settings = settings(&Address::local(port)).await?;
    Ok(Started {
        process,
        helper: None,
        port,
        settings,
    })
}

/// The same on whatever is in its data folder.
pub(crate) async fn run_node(
    site: &Site<'_>,
    name: &str,
    port: u16,
    more: &[(&str, &str)],
) -> Result<Process> {
    let mut command = Command::new(site.programs.redis_server()?);
    // No file is given, so no configuration of the machine is read.
    command.current_dir(site.folder.join(name)).args([
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
        &site.settings.appendfsync,
        "--maxmemory-policy",
        "noeviction",
    ]);
    for (setting, value) in more {
        command.args([&format!("--{setting}"), *value]);
    }
    let process = site.spawn(name, command)?;
    let address = Address::local(port);
    let first_answer = FirstAnswer::of(&process);
    while let Err(error) = within(answers(&address, process.pid())).await {
        first_answer.not_yet(error).await?;
    }
    Ok(process)
}

async fn answers(address: &Address, pid: u32) -> Result<()> {
    // While it loads its data it says so instead.
    if ask(address, &["PING"]).await? != ["PONG"] {
        return Err(failed("it does not answer PING"));
    }
    // Its own pid in the answer: another server may have got the port.
    let info = ask(address, &["INFO", "server"]).await?.concat();
    if !info.contains(&format!("process_id:{pid}\r\n")) {
        return Err(failed(format!("{TAKEN} by another Redis")));
    }
    Ok(())
}

/// Version and settings in force. A server that does not tell a setting has it as `unknown`.
pub async fn settings(address: &Address) -> Result<Vec<(&'static str, String)>> {
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

/// One command on a connection of its own; a list of texts comes back as it is, anything else as
/// one text, which is empty for nothing at all.
pub async fn ask(address: &Address, command: &[&str]) -> Result<Vec<String>> {
    let stream = TcpStream::connect((&*address.host, address.port)).await;
    let mut stream = BufReader::new(stream.or_failed(|| {
        format!(
            "Redis at {}:{} cannot be reached",
            address.host, address.port
        )
    })?);
    if !address.password.is_empty() {
        let login = ["AUTH", &address.user, &address.password];
        let login: Vec<&str> = login.into_iter().filter(|word| !word.is_empty()).collect();
        call(&mut stream, &login)
            .await
            .or_failed(|| "the login failed".to_owned())?;
    }
    call(&mut stream, command).await
}

async fn call(stream: &mut BufReader<TcpStream>, command: &[&str]) -> Result<Vec<String>> {
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream
        .write_all(request.as_bytes())
        .await
        .or_failed(closed)?;
    let head = line(stream).await?;
    let count = match head.split_at_checked(1) {
        Some(("*", count)) => count
            .parse::<usize>()
            .or_failed(|| "a list without a length".to_owned())?,
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
async fn text(stream: &mut BufReader<TcpStream>, head: &str) -> Result<String> {
    match head.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("$", length)) => {
            if length == "-1" {
                return Ok(String::new());
            }
            let length: usize = length
                .parse()
                .or_failed(|| "a text without a length".to_owned())?;
            if length > REPLY_BYTES_MAX {
                return Err(failed(format!("a reply of {length} bytes")));
            }
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes).await.or_failed(closed)?;
            bytes.truncate(length);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Some(("-", complaint)) => Err(failed(format!("Redis says: {complaint}"))),
        _ => Err(failed(format!("this is no Redis: it answers {head:?}"))),
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    let length = stream
        .take(REPLY_BYTES_MAX as u64)
        .read_line(&mut line)
        .await
        .or_failed(closed)?;
    if length == 0 {
        return Err(failed(closed()));
    }
    Ok(line.trim_end().to_owned())
}

fn closed() -> String {
    "Redis closed the connection".to_owned()
}
