//! A private RabbitMQ node with an epmd of its own, away from every file and node of the machine.
//!
//! Starting epmd first saves the node two helper virtual machines (5.0 s became 3.8 s here), and
//! `detached` keeps the start script from staying as the node's parent, so signals and CPU figures
//! are the node's own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use lapin::{Connection, ConnectionProperties};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::address::Address;
use super::ports::{self, TAKEN};
use super::scratch;
use super::server::{Place, Server, wait_until_ready};

/// Schedulers that find nothing to do sleep at once: the CPU per order is what the lab measures.
const BUSY_WAIT_OFF: &str = "+sbwt none +sbwtdcpu none +sbwtdio none";
/// The broker's own bound, below the one at which the lab ends the run with a clearer reason.
const DISK_FREE_LIMIT_BYTES: u64 = 32 << 20;
const _: () = assert!(DISK_FREE_LIMIT_BYTES < scratch::RUN_FREE_BYTES_MIN);
/// In figures, settings and messages.
pub(super) const NAME: &str = "rabbitmq";
/// What the broker logs when it stops publishers for want of memory or disk.
pub(super) const ALARM: &str = "resource limit alarm set";
/// What epmd logs, with `-d -d`, once it listens.
const EPMD_READY: &str = "entering the main select() loop";
/// Largest first frame of a broker that is accepted.
const FIRST_FRAME_BYTES_MAX: usize = 64 << 10;

pub(super) async fn start(place: &Place<'_>, run_id: &str) -> anyhow::Result<Server> {
    let [port, dist_port, epmd_port] = ports::free()?;
    let folder = place.data_folder("rabbitmq")?;
    write_configuration(&folder, port)?;
    let epmd = start_epmd(place, epmd_port).await?;
    let node = format!("lab{}@localhost", &run_id[..8]);
    let mut command = Command::new(&place.binaries.rabbitmq_server);
    isolate(&mut command, &folder, epmd_port);
    let extra = if epmd.is_some() {
        " -start_epmd false"
    } else {
        ""
    };
    command
        .env("RABBITMQ_NODENAME", &node)
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", dist_port.to_string())
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            format!("{BUSY_WAIT_OFF}{extra}"),
        )
        .env("detached", "true");
    let process = place.spawn(NAME, command)?;
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    let address = Address::parse(&url, "amqp", 5672)?;
    let version = wait_until_ready(&process, async || {
        let [version, cluster] = greeting(&address).await?;
        // Its own name in the answer: another broker may have got the port. Behind it stands the
        // machine's name.
        let is_own = cluster.split('@').next() == node.split('@').next();
        ensure!(is_own, "{TAKEN} by another broker, {cluster}");
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        connection.close(200, "ready".into()).await?;
        Ok(version)
    })
    .await?;
    let settings = vec![
        ("version", version),
        ("queue_type", place.durability.queue_type.clone()),
        ("messages", "persistent".to_owned()),
        ("disk_free_limit_bytes", DISK_FREE_LIMIT_BYTES.to_string()),
        ("erl_args", BUSY_WAIT_OFF.to_owned()),
        ("plugins", "none".to_owned()),
    ];
    Ok(Server {
        process,
        part_of: None,
        helper: epmd,
        port,
        settings,
        start_ms: 0,
    })
}

fn write_configuration(folder: &Path, port: u16) -> anyhow::Result<()> {
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users.guest = true\n\
         disk_free_limit.absolute = {DISK_FREE_LIMIT_BYTES}\n\
         log.console = true\nlog.console.level = info\nlog.file = false\n"
    );
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    write("rabbitmq.conf", &configuration)?;
    // Both exist to keep the machine's own from being read.
    write("advanced.config", "[].\n")?;
    write("enabled_plugins", "[].\n")?;
    std::fs::create_dir_all(folder.join("conf.d"))?;
    Ok(())
}

/// Nothing of the user's: neither RABBITMQ_ and ERL_ variables, nor the cookie, nor files of /etc.
fn isolate(command: &mut Command, folder: &Path, epmd_port: u16) {
    command.current_dir(folder).env_clear();
    command
        .env("PATH", crate::setup::search_path())
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", folder);
    command
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_CONFIG_FILES", folder.join("conf.d"))
        .env(
            "RABBITMQ_ADVANCED_CONFIG_FILE",
            folder.join("advanced.config"),
        )
        .env(
            "RABBITMQ_ENABLED_PLUGINS_FILE",
            folder.join("enabled_plugins"),
        )
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"));
}

/// The port mapper in the foreground, so that it is a child like any other and ends with the node.
/// Without its binary, Erlang starts one by itself, which the guard finds by the run's id.
async fn start_epmd(
    place: &Place<'_>,
    port: u16,
) -> anyhow::Result<Option<super::process::Process>> {
    let Some(epmd) = &place.binaries.epmd else {
        return Ok(None);
    };
    let mut command = Command::new(epmd);
    isolate(&mut command, &place.scratch.join("rabbitmq"), port);
    command.args([
        "-d",
        "-d",
        "-address",
        "127.0.0.1",
        "-port",
        &port.to_string(),
    ]);
    let process = place.spawn("epmd", command)?;
    wait_until_ready(&process, async || {
        // An answer on the port could be another's; this line comes only from one that has it.
        ensure!(
            process.log_after(&mut 0).contains(EPMD_READY),
            "it does not listen yet"
        );
        Ok(())
    })
    .await?;
    Ok(Some(process))
}

/// Version and cluster name, which a broker says in its first frame, before any login.
pub(super) async fn greeting(address: &Address) -> anyhow::Result<[String; 2]> {
    let mut stream = TcpStream::connect((&*address.host, address.port)).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    ensure!(
        head[0] == 1 && length <= FIRST_FRAME_BYTES_MAX,
        "this is no AMQP 0-9-1 broker"
    );
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(["version", "cluster_name"]
        .map(|name| server_property(&frame, name).unwrap_or_else(|| "unknown".to_owned())))
}

/// A text of the table: length and name, `S`, length in four bytes, text.
fn server_property(frame: &[u8], name: &str) -> Option<String> {
    let mut key = vec![u8::try_from(name.len()).ok()?];
    key.extend_from_slice(name.as_bytes());
    key.push(b'S');
    let at = frame.windows(key.len()).position(|window| window == key)? + key.len();
    let length = u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?) as usize;
    let text = frame.get(at + 4..(at + 4).checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_read_from_the_first_frame_and_a_cut_frame_has_none() {
        let frame = b"\x00\x0a\x00\x0a\x00\x09\x07versionS\x00\x00\x00\x063.10.8\x08platformS";
        assert_eq!(server_property(frame, "version").as_deref(), Some("3.10.8"));
        assert_eq!(server_property(frame, "platform"), None);
        assert_eq!(server_property(&frame[..20], "version"), None);
    }
}
