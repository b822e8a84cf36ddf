//! What the servers of tests have in common: a folder that goes away with them, a process that may
//! be between two lives, and what happens where a program is not installed.

pub(crate) mod database_server;
pub(crate) mod rabbitmq_server;
pub(crate) mod redis_cluster;
pub(crate) mod redis_server;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, OrFailed, Result};
use crate::process::Process;
use crate::programs::{self, Programs};
use crate::site::{Settings, Site};
use crate::sweeper::Sweeper;

/// Turns a missing server from an ignored test into a failed one.
const REQUIRE_VARIABLE: &str = "REQUIRE_SERVERS";

/// Says why a test does nothing, or fails it where servers are required (`REQUIRE_SERVERS=1`).
///
/// # Panics
/// Where servers are required.
pub fn ignored(reason: &str) {
    assert!(
        std::env::var_os(REQUIRE_VARIABLE).is_none_or(|value| value != "1"),
        "{reason} ({REQUIRE_VARIABLE}=1)"
    );
    eprintln!("ignored: {reason}");
}

/// None for a server whose program is missing; one that is there and does not start is a failure.
fn unless_missing<T>(started: Result<T>) -> Option<T> {
    match started {
        Ok(server) => Some(server),
        Err(Error::Missing(reason)) => {
            ignored(&reason);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Where the data of one server is; removed when dropped.
#[derive(Debug)]
struct Home {
    sweeper: &'static Sweeper,
    folder: PathBuf,
    programs: Programs,
    settings: Settings,
}

impl Home {
    fn make() -> Result<Self> {
        let sweeper = Sweeper::of_this_process()?;
        let folder = sweeper
            .folder()
            .join(format!("{:08x}", rand::random::<u32>()));
        std::fs::create_dir_all(folder.join("logs"))
            .or_failed(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self {
            sweeper,
            folder,
            programs: programs::find(),
            settings: Settings::default(),
        })
    }

    fn site(&self) -> Site<'_> {
        Site {
            keeper: self.sweeper,
            folder: &self.folder,
            programs: &self.programs,
            settings: &self.settings,
        }
    }

    fn data_folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What is left is the sweeper's.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A process that is killed and started again while others know only its address.
#[derive(Debug)]
struct Life(Mutex<Option<Process>>);

impl Life {
    fn new(process: Process) -> Self {
        Self(Mutex::new(Some(process)))
    }

    /// # Panics
    /// Between two lives.
    fn pid(&self) -> u32 {
        let process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().expect("it was killed").pid()
    }

    /// SIGKILL, unless it is dead already.
    async fn end(&self) -> Result<()> {
        let process = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match process {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    fn begin(&self, process: Process) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
    }
}

/// With everything that is in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let source = entry?.path();
        let target = to.join(source.file_name().unwrap_or_default());
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
