//! Takes Redis away from the system: empties the shared server, or kills a server of the test's
//! own.

use scenarios::stack::Stack;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::until;

/// Empties the server as a failover to an empty replica would.
pub async fn flush(url: &str) {
    let address = url.trim_start_matches("redis://").trim_end_matches('/');
    let answer = ask(address, "FLUSHALL\r\nSCRIPT FLUSH\r\n", 2)
        .await
        .expect("Redis answers");
    assert_eq!(answer, "+OK\r\n+OK\r\n");
}

/// Sends commands and reads `lines` lines of replies.
async fn ask(address: &str, commands: &str, lines: usize) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(commands.as_bytes()).await?;
    let mut answer = Vec::new();
    while answer.iter().filter(|byte| **byte == b'\n').count() < lines {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A server of the test's own, which can be killed and started again on the same port, with or
/// without its append-only log.
#[derive(Debug)]
pub struct OwnRedis {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    tag: (String, String),
    child: Option<Child>,
}

impl OwnRedis {
    pub async fn start(stack: &Stack, name: &str) -> Self {
        let program = scenarios::setup::find()
            .redis_server
            .expect("the stack has one too");
        let folder = stack.scratch().join(format!("redis-{name}"));
        std::fs::create_dir_all(&folder).expect("the scratch folder can be written");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|any| any.local_addr())
            .expect("a port")
            .port();
        let tag = (stack.tag().0.to_owned(), stack.tag().1.to_owned());
        let mut server = Self {
            program,
            folder,
            port,
            tag,
            child: None,
        };
        server.start_again().await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("reaped");
        }
    }

    /// Starts the server from its log.
    pub async fn start_again(&mut self) {
        let child = Command::new(&self.program)
            .current_dir(&self.folder)
            .env(&self.tag.0, &self.tag.1)
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "yes",
            ])
            .args(["--maxmemory-policy", "noeviction", "--dir", "."])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server starts"));
        let address = format!("127.0.0.1:{}", self.port);
        until("Redis answers", async || {
            match ask(&address, "PING\r\n", 1).await {
                Ok(answer) if answer == "+PONG\r\n" => Ok(()),
                Ok(answer) => Err(answer),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Deletes the log, so that the server will start empty.
    pub fn forget(&self) {
        empty(&self.folder);
    }

    /// Puts a copy of the log aside, as it is now.
    pub fn remember(&self) {
        let aside = self.aside();
        empty(&aside);
        copy(&self.folder, &aside);
    }

    /// Replaces the log with that copy.
    pub fn recall(&self) {
        self.forget();
        copy(&self.aside(), &self.folder);
    }

    fn aside(&self) -> PathBuf {
        self.folder.with_extension("aside")
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from)
        .expect("readable")
        .map(|entry| entry.expect("an entry"))
    {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            std::fs::create_dir_all(&target).expect("made");
            copy(&source, &target);
        } else {
            std::fs::copy(&source, &target).expect("copied");
        }
    }
}

fn empty(folder: &Path) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).expect("removed");
    }
    std::fs::create_dir_all(folder).expect("made again");
}
