//! A private MariaDB for this test binary: one server for all tests, one database for each. A shell
//! that waits on a pipe takes it down when the test process ends, however it ends.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// A server with an empty data directory answers within this time, or the test fails with its log.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const BINARIES: [&str; 2] = ["mariadbd", "mariadb-install-db"];

/// `$0` folder, `$1` port. Standard input is the pipe from the test process. Temporary tables lie
/// in the folder: a server that starts deletes all it finds in /tmp, also another server's.
const SCRIPT: &str = r#"
PATH="$PATH:/usr/sbin"
mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db --user="$(id -un)" \
    --datadir="$0/data" --tmpdir="$0" >"$0/log" 2>&1
mariadbd --no-defaults --user="$(id -un)" --datadir="$0/data" --bind-address=127.0.0.1 --port="$1" \
    --socket="$0/socket" --pid-file="$0/pid" --tmpdir="$0" >>"$0/log" 2>&1 </dev/null &
server=$!
read -r _
kill -9 $server
wait $server
rm -rf "$0"
"#;

struct Server {
    port: u16,
    /// Its standard input is the pipe.
    _guard: Child,
}

/// URL of a database that does not exist yet; none, with the reason printed, when there is no
/// server binary.
pub async fn fresh_database_url() -> Option<String> {
    static SERVER: OnceCell<Option<Server>> = OnceCell::const_new();
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(start).await.as_ref()?;
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    Some(format!(
        "mysql://root@127.0.0.1:{}/audit{number}",
        server.port
    ))
}

async fn start() -> Option<Server> {
    if let Some(missing) = BINARIES.into_iter().find(|name| !is_installed(name)) {
        assert!(
            std::env::var_os("REQUIRE_SERVERS").is_none_or(|value| value != "1"),
            "{missing} is not installed"
        );
        println!("ignored: {missing} is not installed");
        return None;
    }
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let port = free_port();
    let guard = Command::new("setsid")
        .args(["sh", "-c", SCRIPT])
        .arg(&folder)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let deadline = Instant::now() + START_LIMIT;
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        assert!(
            Instant::now() < deadline,
            "mariadbd does not answer:\n{}",
            log(&folder)
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Some(Server {
        port,
        _guard: guard,
    })
}

fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .any(|folder| folder.join(name).is_file())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}
