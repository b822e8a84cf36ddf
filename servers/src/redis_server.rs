//! A private redis-server for one test: a port and a folder of its own, gone when dropped, and
//! every way to lose it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a server to answer.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Ports tried, because a free port may be taken between finding and binding it.
const PORTS_TRIED_MAX: usize = 5;
/// Bytes cut off the AOF to bring back an older state.
const AOF_TAIL_BYTES: u64 = 100;

#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// How a server can be lost.
pub const LOSSES: &[&str] = &[
    "flushed",
    "scripts flushed",
    "killed, AOF intact",
    "killed, AOF cut",
    "killed, empty",
];

impl RedisServer {
    /// Starts one with an AOF. If it cannot, says why and returns `None`; with `REQUIRE_SERVERS=1`
    /// that is a failure.
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut reason = "no free port".to_owned();
        for _ in 0..PORTS_TRIED_MAX {
            let port = free_port();
            match spawn(port, folder.path()) {
                Ok(mut child) => match wait_until_it_answers(port, &mut child) {
                    Ok(()) => {
                        return Some(Self {
                            child,
                            port,
                            folder,
                        });
                    }
                    Err(error) => {
                        reason = error;
                        end(&mut child);
                    }
                },
                Err(error) => {
                    reason = format!("redis-server cannot be started: {error}");
                    break;
                }
            }
        }
        assert!(
            std::env::var_os("REQUIRE_SERVERS").is_none_or(|value| value != "1"),
            "{reason}"
        );
        eprintln!("ignored: {reason}");
        None
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Loses the server's state in one of the ways of [`LOSSES`]; it answers again afterwards.
    pub fn lose(&mut self, how: &str) -> Result<(), String> {
        match how {
            "flushed" => self.command("FLUSHALL"),
            "scripts flushed" => self.command("SCRIPT FLUSH"),
            "killed, AOF intact" => self.restart(|_| Ok(())),
            "killed, AOF cut" => self.restart(cut_aof),
            "killed, empty" => {
                self.restart(|folder| std::fs::remove_dir_all(folder.join("appendonlydir")))
            }
            _ => Err(format!(
                "no way {how:?} to lose a server; known: {LOSSES:?}"
            )),
        }
    }

    /// Sends an inline command and waits for its `+OK`.
    pub fn command(&self, command: &str) -> Result<(), String> {
        let answer = ask(self.port, command).map_err(|error| format!("{command}: {error}"))?;
        if answer.starts_with("+OK") {
            Ok(())
        } else {
            Err(format!("{command}: {answer}"))
        }
    }

    fn restart(&mut self, between: impl Fn(&Path) -> std::io::Result<()>) -> Result<(), String> {
        end(&mut self.child);
        between(self.folder.path()).map_err(|error| format!("between two lives: {error}"))?;
        self.child = spawn(self.port, self.folder.path()).map_err(|error| error.to_string())?;
        wait_until_it_answers(self.port, &mut self.child)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn spawn(port: u16, folder: &Path) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--daemonize",
            "no",
        ])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--aof-load-truncated",
            "yes",
        ])
        .args(["--maxmemory-policy", "noeviction", "--logfile", "redis.log"])
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn end(child: &mut Child) {
    // It may be dead already; then there is nothing to kill and the wait only reaps it.
    let _ = child.kill();
    let _ = child.wait();
}

fn wait_until_it_answers(port: u16, child: &mut Child) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("redis-server ended at once: {status}"));
        }
        if ask(port, "PING").is_ok_and(|answer| answer.starts_with("+PONG")) {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(format!(
        "redis-server does not answer within {READY_WITHIN:?}"
    ))
}

fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 256];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Takes the last writes away, as a machine that lost power would.
fn cut_aof(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder.join("appendonlydir"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".incr.aof") {
            let file = std::fs::OpenOptions::new().write(true).open(&path)?;
            file.set_len(file.metadata()?.len().saturating_sub(AOF_TAIL_BYTES))?;
        }
    }
    Ok(())
}
