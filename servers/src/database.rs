//! A private MariaDB or MySQL: fresh tables, explicit durability, root without a password from the
//! loopback address.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use sqlx::{Connection, MySqlConnection};

use super::ports::{self, TAKEN};
use super::server::{Place, Server, wait_until_ready};
use crate::setup::Initializer;

/// How long the creation of the system tables may take.
const INITIALIZE_LIMIT: Duration = Duration::from_secs(60);
/// Large enough that no run of the catalog reads pages back.
const BUFFER_POOL: &str = "512M";
/// A minute of inserts at full speed, so that page flushes are not forced while a leg is measured.
/// It is written at the first start, and makes up most of what an idle stack takes on the disk.
const LOG_FILE_SIZE: &str = "256M";
/// While the tables are made a small log is quicker (0.6 s instead of 1.6 s here).
const LOG_FILE_SIZE_AT_FIRST: &str = "--innodb-log-file-size=16M";
/// What `mariadb-install-db` goes on with once the server has said what is wrong: twenty lines of
/// where to ask.
const INSTALL_ADVICE: &str = "Installation of system tables failed";
/// Longest path of a Unix socket, in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Settings that are read back from a running server and go into the result.
const SETTINGS: [&str; 10] = [
    "innodb_flush_log_at_trx_commit",
    "sync_binlog",
    "log_bin",
    "innodb_flush_method",
    "innodb_doublewrite",
    "innodb_buffer_pool_size",
    "innodb_log_file_size",
    "innodb_redo_log_capacity",
    "max_allowed_packet",
    "transaction_isolation",
];

pub(super) async fn start(place: &Place<'_>) -> anyhow::Result<Server> {
    let [port] = ports::free()?;
    let folder = place.data_folder("database")?;
    let data = folder.join("data");
    initialize(place, &folder, &data).await?;
    let command = server_command(place, &folder, port)?;
    let mut process = place.spawn("database", command)?;
    let url = url(port);
    let mut connection = wait_until_ready(&process, async || {
        let mut connection = MySqlConnection::connect(&url).await?;
        // Its own folder in the answer: another server may have got the port.
        let query = sqlx::query_scalar("SELECT CAST(@@GLOBAL.datadir AS CHAR)");
        let folder: String = query.fetch_one(&mut connection).await?;
        ensure!(
            Path::new(&folder) == data,
            "{TAKEN} by another database server"
        );
        Ok(connection)
    })
    .await?;
    let settings = settings(&mut connection).await?;
    process.rename(product(&settings));
    // The server goes away with the stack anyway.
    drop(connection.close().await);
    Ok(Server {
        process,
        part_of: None,
        helper: None,
        port,
        settings,
        start_ms: 0,
    })
}

pub(super) fn url(port: u16) -> String {
    format!("mysql://root@127.0.0.1:{port}")
}

async fn initialize(place: &Place<'_>, folder: &Path, data: &Path) -> anyhow::Result<()> {
    let mut command = match &place.binaries.initializer {
        Initializer::InstallDb(program) => {
            let mut command = Command::new(program);
            command.args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]);
            command.args(["--skip-name-resolve", LOG_FILE_SIZE_AT_FIRST]);
            command
        }
        Initializer::ServerItself => {
            let mut command = Command::new(&place.binaries.database_server);
            command.args(["--no-defaults", "--initialize-insecure"]);
            command
        }
    };
    command
        .env("PATH", crate::setup::search_path())
        .arg(format!("--datadir={}", data.display()));
    // A server that starts deletes every temporary table in its folder for them, also another
    // server's.
    command.arg(format!("--tmpdir={}", folder.display()));
    run_as_this_user(&mut command);
    let process = place.spawn("database-tables", command)?;
    let words = || process.last_words_before(INSTALL_ADVICE);
    match process.ended_within(INITIALIZE_LIMIT).await {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!(
            "the database's tables could not be made ({status}){}",
            words()
        ),
        None => bail!(
            "the database's tables are not made within {INITIALIZE_LIMIT:?}{}",
            words()
        ),
    }
}

fn server_command(place: &Place<'_>, folder: &Path, port: u16) -> anyhow::Result<Command> {
    let socket = folder.join("s");
    ensure!(
        socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX,
        "{} is too long for a socket ({SOCKET_PATH_BYTES_MAX} bytes); choose a shorter --scratch folder",
        socket.display()
    );
    let mut command = Command::new(&place.binaries.database_server);
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.join("data").display()));
    command
        .arg(format!("--socket={}", socket.display()))
        .arg(format!("--pid-file={}", folder.join("pid").display()));
    command.arg(format!("--tmpdir={}", folder.display()));
    command.args([
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
        "--skip-name-resolve",
        "--skip-log-bin",
    ]);
    let flush = place.durability.innodb_flush_log_at_trx_commit;
    command.arg(format!("--innodb-flush-log-at-trx-commit={flush}"));
    command.arg(format!("--innodb-buffer-pool-size={BUFFER_POOL}"));
    // MySQL 8.0.30 renamed the size of its log, and listens on a second protocol and port unless
    // told otherwise.
    command.arg(format!("--loose-innodb-log-file-size={LOG_FILE_SIZE}"));
    command
        .arg(format!("--loose-innodb-redo-log-capacity={LOG_FILE_SIZE}"))
        .arg("--loose-mysqlx=OFF");
    if matches!(place.binaries.initializer, Initializer::ServerItself) {
        command.arg(format!(
            "--init-file={}",
            write_root_account(folder)?.display()
        ));
    }
    run_as_this_user(&mut command);
    Ok(command)
}

/// MySQL makes root for `localhost` only, which without name lookup is not 127.0.0.1.
fn write_root_account(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let path = folder.join("root.sql");
    let text = "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '';\n\
                GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n";
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// Both refuse to run as root unless they are told to.
fn run_as_this_user(command: &mut Command) {
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
}

/// Version and settings in force; one that this server does not have is left out.
pub(super) async fn settings(
    connection: &mut MySqlConnection,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let version: String = sqlx::query_scalar("SELECT CAST(VERSION() AS CHAR)")
        .fetch_one(&mut *connection)
        .await?;
    let mut settings = vec![("version", version)];
    for name in SETTINGS {
        let query = format!("SELECT CAST(@@GLOBAL.{name} AS CHAR)");
        if let Ok(value) = sqlx::query_scalar::<_, Option<String>>(&query)
            .fetch_one(&mut *connection)
            .await
        {
            settings.push((name, value.unwrap_or_default()));
        }
    }
    Ok(settings)
}

/// `mariadb` or `mysql`, as the server is called in settings, figures and messages; its version
/// tells.
pub(super) fn product(settings: &[(&'static str, String)]) -> &'static str {
    let version = settings
        .iter()
        .find(|(name, _)| *name == "version")
        .map_or("", |(_, version)| version);
    if version.contains("MariaDB") {
        "mariadb"
    } else {
        "mysql"
    }
}
