//! A private Redis for one test: empty, on a free port, gone when it is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::guard::Guard;
use crate::setup;
use crate::stack::new_run_id;

/// How long it may take until it answers.
const READY_LIMIT: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(5);
/// How often another port is tried when somebody else was faster.
const TRIES: usize = 3;

/// One guard and one folder for all servers of a process.
struct Home {
    guard: Guard,
    folder: PathBuf,
}

#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: PathBuf,
}

/// Starts one; it blocks for some 20 ms. None, with the reason printed, when there is no
/// redis-server.
pub fn redis() -> Option<RedisServer> {
    let Some(program) = setup::find().redis_server else {
        super::ignore("redis-server is missing; cargo lab setup installs it");
        return None;
    };
    let mut failures = Vec::new();
    while failures.len() < TRIES {
        match RedisServer::start(&program) {
            Ok(server) => return Some(server),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    panic!(
        "no private Redis after {TRIES} tries: {}",
        failures.join("; ")
    );
}

fn home() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(|| {
        let run_id = new_run_id();
        let folder = std::env::temp_dir().join(format!("lab-{run_id}"));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let guard = Guard::start(&run_id, Some(&folder)).expect("a guard");
        Home { guard, folder }
    })
}

impl RedisServer {
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn start(program: &Path) -> anyhow::Result<Self> {
        let home = home();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let folder = home.folder.join(format!("redis-{port}"));
        std::fs::create_dir_all(&folder)?;
        let (tag, run_id) = home.guard.tag();
        let child = Command::new(program)
            .current_dir(&folder)
            .env(tag, run_id)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--daemonize",
                "no",
                "--save",
                "",
            ])
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--maxmemory-policy",
                "noeviction",
            ])
            .args(["--logfile", "redis.log", "--dir", "."])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self {
            child,
            port,
            folder,
        };
        home.guard.record(server.child.id())?;
        server.wait_until_it_answers()?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            // Its own pid in the answer: whoever else may have got the port is not it.
            if self.says_its_pid().unwrap_or(false) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log =
                    std::fs::read_to_string(self.folder.join("redis.log")).unwrap_or_default();
                bail!("redis-server ended ({status}): {log}");
            }
            ensure!(
                Instant::now() < deadline,
                "redis-server does not answer within {READY_LIMIT:?}"
            );
            std::thread::sleep(READY_POLL);
        }
    }

    fn says_its_pid(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(READY_LIMIT))?;
        stream.write_all(b"INFO server\r\nQUIT\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.contains(&format!("process_id:{}\r\n", self.child.id())))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed by the test; then there is nothing to kill and the wait only
        // reaps it.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
