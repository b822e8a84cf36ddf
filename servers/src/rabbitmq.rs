//! How a RabbitMQ node is started, with an epmd of its own, away from every file and node of the
//! machine.
//!
//! Starting epmd first saves the node two helper virtual machines (5.0 s became 3.8 s here), and
//! `detached` keeps the start script from staying as the node's parent, so signals and CPU figures
//! are the node's own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::address::Address;
use crate::amqp;
use crate::error::{Error, OrFailed, Result, TAKEN, failed};
use crate::ports;
use crate::process::Process;
use crate::site::{FirstAnswer, Site, Started, within};

/// Schedulers that find nothing to do sleep at once: the CPU per order is what the lab measures.
const BUSY_WAIT_OFF: &str = "+sbwt none +sbwtdcpu none +sbwtdio none";
/// Without it the port for other nodes is open on every interface of the machine.
const LOOPBACK_ONLY: &str = "-kernel inet_dist_use_interface {127,0,0,1}";
/// The broker stops publishers when the disk has less room than this.
pub const DISK_FREE_LIMIT_BYTES: u64 = 32 << 20;
/// What its data folder, its log and its process are called.
pub const NAME: &str = "rabbitmq";
/// What the broker logs when it stops publishers for want of memory or disk.
pub const ALARM: &str = "resource limit alarm set";
/// Asks a running node to do something; it is where the server is.
const CONTROL: &str = "rabbitmqctl";
/// How long that may take: it starts a virtual machine of its own.
const CONTROL_LIMIT: Duration = Duration::from_secs(30);
/// What epmd logs, with `-d -d`, once it listens.
const EPMD_READY: &str = "entering the main select() loop";

/// What tells a node from every other of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    name: String,
    pub port: u16,
    dist_port: u16,
    epmd_port: u16,
}

/// A broker on free ports.
pub async fn start(site: &Site<'_>) -> Result<Started> {
    Ok(start_node(site).await?.1)
}

pub(crate) async fn start_node(site: &Site<'_>) -> Result<(Node, Started)> {
    match start_new_node(site).await {
        Err(error) if error.is_port_taken() => start_new_node(site).await,
        result => result,
    }
}

async fn start_new_node(site: &Site<'_>) -> Result<(Node, Started)> {
    let [port, dist_port, epmd_port] = ports::free()?;
    let node = Node {
        name: format!("private{:08x}@localhost", rand::random::<u32>()),
        port,
        dist_port,
        epmd_port,
    };
    let folder = site.data_folder(NAME)?;
    write_configuration(&folder, port)?;
    let epmd = start_epmd(site, epmd_port).await?;
    let (process, version) = run_node(site, &node, epmd.is_some()).await?;
    let settings = vec![
        ("version", version),
        ("messages", "persistent".to_owned()),
        ("disk_free_limit_bytes", DISK_FREE_LIMIT_BYTES.to_string()),
        ("erl_args", BUSY_WAIT_OFF.to_owned()),
        ("plugins", "none".to_owned()),
    ];
    let started = Started {
        process,
        helper: epmd,
        port,
        settings,
    };
    Ok((node, started))
}

/// The node on whatever is in its data folder, and its version.
pub(crate) async fn run_node(
    site: &Site<'_>,
    node: &Node,
    has_epmd: bool,
) -> Result<(Process, String)> {
    let mut command = Command::new(site.programs.rabbitmq_server()?);
    isolate(&mut command, &site.folder.join(NAME), node.epmd_port);
    let extra = if has_epmd { " -start_epmd false" } else { "" };
    command
        .env("RABBITMQ_NODENAME", &node.name)
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", node.port.to_string())
        .env("RABBITMQ_DIST_PORT", node.dist_port.to_string())
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            format!("{BUSY_WAIT_OFF} {LOOPBACK_ONLY}{extra}"),
        )
        .env("detached", "true");
    let process = site.spawn(NAME, command)?;
    let address = guest(node.port);
    let first_answer = FirstAnswer::of(&process);
    loop {
        match within(answers(&address, &node.name)).await {
            Ok(version) => return Ok((process, version)),
            Err(error) => first_answer.not_yet(error).await?,
        }
    }
}

/// A command that has a running node evaluate an Erlang expression.
pub(crate) fn eval(site: &Site<'_>, node: &Node, expression: &str) -> Result<Command> {
    // Beside the server: what stands on the search path switches to another user.
    let program = site
        .programs
        .rabbitmq_server()?
        .with_file_name("rabbitmqctl");
    let mut command = Command::new(program);
    isolate(&mut command, &site.folder.join(NAME), node.epmd_port);
    command.args(["-n", &node.name, "eval", expression]);
    Ok(command)
}

async fn answers(address: &Address, node: &str) -> Result<String> {
    let [version, cluster] = amqp::greeting(address).await?;
    // Its own name in the answer: another broker may have got the port. Behind it stands the
    // machine's name.
    if cluster.split('@').next() != node.split('@').next() {
        return Err(failed(format!("{TAKEN} by another broker, {cluster}")));
    }
    // It greets before it lets anybody in.
    amqp::log_in(address).await?;
    Ok(version)
}

/// Has the running node do something, `set_vm_memory_high_watermark 0.4`, and waits until it has.
pub(crate) async fn control(site: &Site<'_>, node: &Node, words: &[&str]) -> Result<()> {
    let program = site.programs.rabbitmq_server()?.with_file_name(CONTROL);
    if !program.exists() {
        return Err(Error::Missing(format!("{CONTROL} is not installed")));
    }
    let mut command = Command::new(program);
    isolate(&mut command, &site.folder.join(NAME), node.epmd_port);
    command.args(["--quiet", "--node", &node.name]).args(words);
    let control = site.spawn(CONTROL, command)?;
    match control.ended_within(CONTROL_LIMIT).await {
        Some(status) if status.success() => Ok(()),
        _ => {
            let (asked, said) = (words.join(" "), control.last_words());
            Err(failed(format!("{CONTROL} {asked} failed{said}")))
        }
    }
}

/// `amqp://guest:guest@127.0.0.1:4001/%2f`.
pub fn url(port: u16) -> String {
    format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
}

fn guest(port: u16) -> Address {
    Address {
        user: "guest".to_owned(),
        password: "guest".to_owned(),
        ..Address::local(port)
    }
}

fn write_configuration(folder: &Path, port: u16) -> Result<()> {
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users.guest = true\n\
         disk_free_limit.absolute = {DISK_FREE_LIMIT_BYTES}\n\
         log.console = true\nlog.console.level = info\nlog.file = false\n"
    );
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).or_failed(|| format!("{} cannot be written", path.display()))
    };
    write("rabbitmq.conf", &configuration)?;
    // Both exist to keep the machine's own from being read.
    write("advanced.config", "[].\n")?;
    write("enabled_plugins", "[].\n")?;
    std::fs::create_dir_all(folder.join("conf.d"))
        .or_failed(|| format!("{} cannot be written", folder.display()))
}

/// Nothing of the user's: neither RABBITMQ_ and ERL_ variables, nor the cookie, nor files of /etc.
fn isolate(command: &mut Command, folder: &Path, epmd_port: u16) {
    command.current_dir(folder).env_clear();
    command
        .env("PATH", crate::programs::search_path())
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
/// Without its binary, Erlang starts one by itself, which a keeper finds by its tag.
async fn start_epmd(site: &Site<'_>, port: u16) -> Result<Option<Process>> {
    let Some(epmd) = &site.programs.epmd else {
        return Ok(None);
    };
    let mut command = Command::new(epmd);
    isolate(&mut command, &site.folder.join(NAME), port);
    command.args([
        "-d",
        "-d",
        "-address",
        "127.0.0.1",
        "-port",
        &port.to_string(),
    ]);
    let process = site.spawn("epmd", command)?;
    let first_answer = FirstAnswer::of(&process);
    // An answer on the port could be another's; this line comes only from one that has it.
    while !process.log_after(&mut 0).contains(EPMD_READY) {
        first_answer
            .not_yet(failed("it does not listen yet"))
            .await?;
    }
    Ok(Some(process))
}
