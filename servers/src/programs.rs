//! Where the server binaries are: the search path, and the places where packages put servers
//! without telling it. `LAB_SEARCH_PATH` stands for all of these, for a machine that is to look as
//! if it had less.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// How a missing one is called.
const REDIS_SERVER: &str = "redis-server";
const RABBITMQ_SERVER: &str = "rabbitmq-server";
const DATABASE_SERVER: &str = "mariadbd or mysqld";

/// Folders that are searched instead of every other place, in the form of PATH.
const SEARCH_PATH_VARIABLE: &str = "LAB_SEARCH_PATH";
/// Folders that are searched after those of PATH; an ordinary user's PATH has no sbin.
const MORE_FOLDERS: [&str; 9] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/libexec",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/homebrew/sbin",
];
/// Debian's `rabbitmq-server` on PATH switches to a user of its own; this one runs as the user who
/// calls it.
const RABBITMQ_DIRECT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const ERLANG_HOME: &str = "/usr/lib/erlang";

/// What makes the database's own tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Initializer {
    /// MariaDB's script.
    InstallDb(PathBuf),
    /// MySQL's server does it itself.
    ServerItself,
}

/// The programs that are there.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    pub redis_server: Option<PathBuf>,
    pub rabbitmq_server: Option<PathBuf>,
    /// Erlang's port mapper; without it Erlang starts one by itself.
    pub epmd: Option<PathBuf>,
    pub database_server: Option<PathBuf>,
    /// Makes MariaDB's own tables; MySQL's server does that itself.
    pub install_db: Option<PathBuf>,
}

impl Programs {
    /// Which servers cannot be started, by the names of their programs; empty when all can.
    pub fn missing(&self) -> Vec<&'static str> {
        let needed = [
            (REDIS_SERVER, self.redis_server.is_some()),
            (RABBITMQ_SERVER, self.rabbitmq_server.is_some()),
            (DATABASE_SERVER, self.database_server.is_some()),
        ];
        needed
            .into_iter()
            .filter(|(_, there)| !there)
            .map(|(name, _)| name)
            .collect()
    }

    pub(crate) fn redis_server(&self) -> Result<&Path> {
        needed(&self.redis_server, REDIS_SERVER)
    }

    pub(crate) fn rabbitmq_server(&self) -> Result<&Path> {
        needed(&self.rabbitmq_server, RABBITMQ_SERVER)
    }

    pub(crate) fn database_server(&self) -> Result<&Path> {
        needed(&self.database_server, DATABASE_SERVER)
    }

    pub(crate) fn initializer(&self) -> Initializer {
        self.install_db
            .clone()
            .map_or(Initializer::ServerItself, Initializer::InstallDb)
    }
}

fn needed<'a>(program: &'a Option<PathBuf>, name: &str) -> Result<&'a Path> {
    program
        .as_deref()
        .ok_or_else(|| Error::Missing(format!("{name} is not installed")))
}

/// Looks for all of them; takes no time worth mentioning.
pub fn find() -> Programs {
    let everywhere = std::env::var_os(SEARCH_PATH_VARIABLE).is_none();
    let direct = Some(PathBuf::from(RABBITMQ_DIRECT)).filter(|path| everywhere && path.is_file());
    Programs {
        redis_server: program(&["redis-server"]),
        rabbitmq_server: direct.or_else(|| program(&["rabbitmq-server"])),
        epmd: program(&["epmd"]).or_else(|| if everywhere { erlang_epmd() } else { None }),
        database_server: program(&["mariadbd", "mysqld"]),
        install_db: program(&["mariadb-install-db", "mysql_install_db"]),
    }
}

/// PATH and the folders of servers behind it: also what the servers' own scripts are given.
pub fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(MORE_FOLDERS.map(PathBuf::from));
    // A folder with a colon in its name cannot be on a path, and PATH had none.
    std::env::join_paths(folders).unwrap_or(path)
}

/// The first of these programs that is there.
pub fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os(SEARCH_PATH_VARIABLE).unwrap_or_else(search_path);
    names.iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|it| is_program(it))
    })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn erlang_epmd() -> Option<PathBuf> {
    let versions = std::fs::read_dir(ERLANG_HOME).ok()?.flatten();
    let is_runtime = |folder: &PathBuf| {
        folder
            .file_name()
            .is_some_and(|it| it.to_string_lossy().starts_with("erts-"))
    };
    versions
        .map(|entry| entry.path())
        .filter(is_runtime)
        .map(|folder| folder.join("bin/epmd"))
        .find(|it| is_program(it))
}

/// What `--version` says in its first line, or that it says nothing.
pub fn version(program: &Path) -> String {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    text.lines().next().map_or_else(
        || "it does not say its version".to_owned(),
        |line| line.trim().to_owned(),
    )
}

/// The version in the name of its folder: asking it would start an Erlang machine, which takes a
/// second.
pub fn rabbitmq_version(program: &Path) -> Option<String> {
    let program = program.canonicalize().ok()?;
    let version = |name: &std::ffi::OsStr| {
        name.to_str()?
            .strip_prefix("rabbitmq_server-")
            .map(str::to_owned)
    };
    program.ancestors().skip(1).find_map(|folder| {
        let below = || {
            std::fs::read_dir(folder.join("lib"))
                .ok()?
                .flatten()
                .find_map(|it| version(&it.file_name()))
        };
        folder.file_name().and_then(version).or_else(below)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_plain_files_are_none() {
        assert!(program(&["no-such-program", "sh"]).is_some_and(|path| path.ends_with("sh")));
        assert_eq!(program(&["no-such-program"]), None);
        assert!(!is_program(Path::new("/etc/passwd")) && !is_program(Path::new("/")));
    }

    #[test]
    fn a_server_that_is_not_installed_is_named() {
        let found = Programs {
            redis_server: Some("/r".into()),
            database_server: Some("/d".into()),
            ..Programs::default()
        };
        assert_eq!(found.missing(), ["rabbitmq-server"]);
        assert_eq!(found.redis_server(), Ok(Path::new("/r")));
        let missing = Error::Missing("rabbitmq-server is not installed".to_owned());
        assert_eq!(found.rabbitmq_server(), Err(missing));
        assert_eq!(found.initializer(), Initializer::ServerItself);
    }
}
