//! How a MariaDB or MySQL is started: fresh tables, explicit durability, root without a password
//! from the loopback address.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sqlx::{Connection, MySqlConnection};

use crate::error::{OrFailed, Result, TAKEN, failed};
use crate::ports;
use crate::process::Process;
use crate::programs::Initializer;
use crate::site::{FirstAnswer, Site, Started, within};

/// How long the creation of the system tables may take.
const INITIALIZE_LIMIT: Duration = Duration::from_secs(60);
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

/// What its data folder is called, and its log until it has told its product.
const FOLDER: &str = "database";

/// A server without databases, on a free port.
pub async fn start(site: &Site<'_>) -> Result<Started> {
    match start_new(site).await {
        Err(error) if error.is_port_taken() => start_new(site).await,
        result => result,
    }
}

async fn start_new(site: &Site<'_>) -> Result<Started> {
    let [port] = ports::free()?;
    let folder = site.data_folder(FOLDER)?;
    initialize(site, &folder, &folder.join("data")).await?;
    let (process, mut connection) = run(site, port, &[]).await?;
    let settings = settings(&mut connection)
        .await
        .or_failed(|| "the settings of the database cannot be read".to_owned())?;
    // The server goes away with its owner anyway.
    drop(connection.close().await);
    Ok(Started {
        process,
        helper: None,
        port,
        settings,
    })
}

/// The server on the data that it has, with these options on top; and a connection to it.
pub(crate) async fn run(
    site: &Site<'_>,
    port: u16,
    options: &[&str],
) -> Result<(Process, MySqlConnection)> {
    let folder = site.folder.join(FOLDER);
    let mut command = server_command(site, &folder, port)?;
    command.args(options);
    let process = site.spawn(FOLDER, command)?;
    let (url, data) = (url(port), folder.join("data"));
    let first_answer = FirstAnswer::of(&process);
    loop {
        match within(answers(&url, &data)).await {
            Ok(connection) => return Ok((process, connection)),
            Err(error) => first_answer.not_yet(error).await?,
        }
    }
}

async fn answers(url: &str, data: &Path) -> Result<MySqlConnection> {
    let no_answer = || "it does not answer".to_owned();
    let mut connection = MySqlConnection::connect(url).await.or_failed(no_answer)?;
    // Its own folder in the answer: another server may have got the port.
    let query = sqlx::query_scalar("SELECT CAST(@@GLOBAL.datadir AS CHAR)");
    let folder: String = query
        .fetch_one(&mut connection)
        .await
        .or_failed(no_answer)?;
    if Path::new(&folder) != data {
        return Err(failed(format!("{TAKEN} by another database server")));
    }
    Ok(connection)
}

/// `mysql://root@127.0.0.1:4001`, without a database.
pub fn url(port: u16) -> String {
    format!("mysql://root@127.0.0.1:{port}")
}

async fn initialize(site: &Site<'_>, folder: &Path, data: &Path) -> Result<()> {
    let server = site.programs.database_server()?;
    let mut command = match &site.programs.initializer() {
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
            let mut command = Command::new(server);
            command.args(["--no-defaults", "--initialize-insecure"]);
            command
        }
    };
    command
        .env("PATH", crate::programs::search_path())
        .arg(format!("--datadir={}", data.display()));
    // A server that starts deletes every temporary table in its folder for them, also another
    // server's.
    command.arg(format!("--tmpdir={}", folder.display()));
    run_as_this_user(&mut command);
    let process = site.spawn("database-tables", command)?;
    let words = || process.last_words_before(INSTALL_ADVICE);
    match process.ended_within(INITIALIZE_LIMIT).await {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(failed(format!(
            "the database's tables could not be made ({status}){}",
            words()
        ))),
        None => Err(failed(format!(
            "the database's tables are not made within {INITIALIZE_LIMIT:?}{}",
            words()
        ))),
    }
}

fn server_command(site: &Site<'_>, folder: &Path, port: u16) -> Result<Command> {
    let socket = folder.join("s");
    if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(failed(format!(
            "{} is too long for a socket ({SOCKET_PATH_BYTES_MAX} bytes); choose a shorter folder",
            socket.display()
        )));
    }
    let mut command = Command::new(site.programs.database_server()?);
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
    let flush = site.settings.innodb_flush_log_at_trx_commit;
    command.arg(format!("--innodb-flush-log-at-trx-commit={flush}"));
    command.arg(format!(
        "--innodb-buffer-pool-size={}",
        site.settings.innodb_buffer_pool
    ));
    // MySQL 8.0.30 renamed the size of its log, and listens on a second protocol and port unless
    // told otherwise.
    let log = site.settings.innodb_log_file;
    command.arg(format!("--loose-innodb-log-file-size={log}"));
    command
        .arg(format!("--loose-innodb-redo-log-capacity={log}"))
        .arg("--loose-mysqlx=OFF");
    if site.programs.initializer() == Initializer::ServerItself {
        command.arg(format!(
            "--init-file={}",
            write_root_account(folder)?.display()
        ));
    }
    run_as_this_user(&mut command);
    Ok(command)
}

/// MySQL makes root for `localhost` only, which without name lookup is not 127.0.0.1.
fn write_root_account(folder: &Path) -> Result<std::path::PathBuf> {
    let path = folder.join("root.sql");
    let text = "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '';\n\
                GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n";
    std::fs::write(&path, text).or_failed(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// Both refuse to run as root unless they are told to.
fn run_as_this_user(command: &mut Command) {
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
}

/// Version and settings in force; one that this server does not have is left out.
pub async fn settings(
    connection: &mut MySqlConnection,
) -> sqlx::Result<Vec<(&'static str, String)>> {
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
pub fn product(settings: &[(&'static str, String)]) -> &'static str {
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
