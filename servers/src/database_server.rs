//! A private mariadbd for one test: a port and a folder of its own, gone when dropped.

use sqlx::{Connection, MySqlConnection};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for a server to answer.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Ports tried, because a free port may be taken between finding and binding it.
const PORTS_TRIED_MAX: usize = 5;

#[derive(Debug)]
pub struct MariaDb {
    child: Child,
    port: u16,
    databases: AtomicU32,
    folder: tempfile::TempDir,
}

impl MariaDb {
    /// Starts one. If it cannot, says why and returns `None`; with `REQUIRE_SERVERS=1` that is a
    /// failure.
    pub async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut reason = match make_tables(folder.path()) {
            Ok(()) => "no free port".to_owned(),
            Err(error) => return ignored(&error),
        };
        for _ in 0..PORTS_TRIED_MAX {
            let port = free_port();
            let mut child = match spawn(port, folder.path(), &[]) {
                Ok(child) => child,
                Err(error) => return ignored(&format!("mariadbd cannot be started: {error}")),
            };
            match wait_until_it_answers(port, folder.path(), &mut child).await {
                Ok(()) => {
                    return Some(Self {
                        child,
                        port,
                        databases: AtomicU32::new(0),
                        folder,
                    });
                }
                Err(error) => {
                    reason = error;
                    end(&mut child);
                }
            }
        }
        ignored(&reason)
    }

    /// The URL of a database of its own, without tables.
    pub async fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut root = MySqlConnection::connect(&url(self.port))
            .await
            .expect("a connection");
        sqlx::raw_sql(&format!("CREATE DATABASE {name}"))
            .execute(&mut root)
            .await
            .expect("a database");
        format!("{}/{name}", url(self.port))
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, in the middle of whatever it does.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// Starts it again on the same data and the same port.
    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// The same with options that it did not have before.
    pub async fn restart_with(&mut self, options: &[&str]) {
        self.kill();
        self.child = spawn(self.port, self.folder.path(), options)
            .expect("mariadbd, which could be started before");
        let answered = wait_until_it_answers(self.port, self.folder.path(), &mut self.child).await;
        answered.unwrap_or_else(|error| panic!("mariadbd on its old data: {error}"));
    }

    /// The URL of the server, for statements that concern all of it.
    pub fn root_url(&self) -> String {
        url(self.port)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn ignored(reason: &str) -> Option<MariaDb> {
    assert!(
        std::env::var_os("REQUIRE_SERVERS").is_none_or(|value| value != "1"),
        "{reason}"
    );
    eprintln!("ignored: {reason}");
    None
}

fn url(port: u16) -> String {
    format!("mysql://root@127.0.0.1:{port}")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Both programs refuse to run as root unless they are told to.
fn as_this_user(command: &mut Command) {
    if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        command.arg("--user=root");
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
}

fn make_tables(folder: &Path) -> Result<(), String> {
    let mut command = Command::new("mariadb-install-db");
    command.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]);
    command.args(["--skip-name-resolve", "--innodb-log-file-size=16M"]);
    command.arg(format!("--datadir={}", folder.join("data").display()));
    // A server that starts deletes every temporary table in its folder for them, also another
    // server's.
    command.arg(format!("--tmpdir={}", folder.display()));
    as_this_user(&mut command);
    let status = command
        .status()
        .map_err(|error| format!("mariadb-install-db cannot be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("mariadb-install-db failed: {status}"))
    }
}

fn spawn(port: u16, folder: &Path, options: &[&str]) -> std::io::Result<Child> {
    let mut command = Command::new("mariadbd");
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.join("data").display()));
    command.arg(format!("--socket={}", folder.join("s").display()));
    command.arg(format!("--pid-file={}", folder.join("pid").display()));
    command.arg(format!("--tmpdir={}", folder.display()));
    command.args([
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
        "--skip-name-resolve",
        "--skip-log-bin",
    ]);
    command.args([
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-buffer-pool-size=64M",
    ]);
    command.args(options);
    as_this_user(&mut command);
    command.spawn()
}

fn end(child: &mut Child) {
    // It may be dead already; then there is nothing to kill and the wait only reaps it.
    let _ = child.kill();
    let _ = child.wait();
}

async fn wait_until_it_answers(port: u16, folder: &Path, child: &mut Child) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("mariadbd ended at once: {status}"));
        }
        if let Ok(mut connection) = MySqlConnection::connect(&url(port)).await {
            // Its own folder in the answer: another server may have got the port.
            let query = sqlx::query_scalar::<_, String>("SELECT CAST(@@GLOBAL.datadir AS CHAR)");
            let data = query
                .fetch_one(&mut connection)
                .await
                .map_err(|error| error.to_string())?;
            let is_ours = Path::new(&data) == folder.join("data");
            return if is_ours {
                Ok(())
            } else {
                Err("the port was taken by another server".to_owned())
            };
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(format!("mariadbd does not answer within {READY_WITHIN:?}"))
}
