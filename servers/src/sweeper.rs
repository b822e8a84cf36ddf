//! Who ends servers when the process that started them dies without doing so itself.
//!
//! A server is killed when its owner is dropped. That is not enough: a test may be killed, and what
//! is kept in a `static` is never dropped. Linux can kill children with their parent
//! (`PR_SET_PDEATHSIG`), but does so already when the *thread* ends that started them, and a
//! runtime's threads come and go. So a shell waits for the end of a pipe from this process, which
//! comes however the process ends, and then kills what it was told about.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{OrFailed, Result};

/// Who ends what this process has started, should it not do so itself.
pub trait Keeper: std::fmt::Debug + Send + Sync {
    /// Environment entry that every started process carries.
    fn tag(&self) -> Option<(&str, &str)>;

    /// Remembers a process, which leads a process group of its own.
    fn record(&self, pid: u32) -> std::io::Result<()>;

    /// Starts a process; within the limits of its resources, if it keeps any.
    fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        command.spawn()
    }
}

/// Each line that it reads is a process and its start in clock ticks after boot, so that a process
/// id that was given again is somebody else's. `$0` is the folder to remove.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
processes=
while read -r pid start; do processes="$processes $pid:$start"; done
for process in $processes; do
    stat=$(cat "/proc/${process%:*}/stat" 2>/dev/null) || continue
    set -- ${stat##*) }
    [ "${20}" = "${process#*:}" ] && kill -s KILL -- "-${process%:*}"
done
for try in 1 2 3 4 5; do rm -rf "$0" && break; sleep 1; done
"#;

/// The shell of this process, and the folder in which all its servers keep their data.
#[derive(Debug)]
pub(crate) struct Sweeper {
    folder: PathBuf,
    pipe: Mutex<ChildStdin>,
}

impl Sweeper {
    /// Started when the first server is.
    pub(crate) fn of_this_process() -> Result<&'static Self> {
        static SWEEPER: OnceLock<Result<Sweeper>> = OnceLock::new();
        SWEEPER
            .get_or_init(Self::start)
            .as_ref()
            .map_err(Clone::clone)
    }

    fn start() -> Result<Self> {
        let name = format!("servers-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)
            .or_failed(|| format!("folder {} cannot be made", folder.display()))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT])
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal is not for it.
            .process_group(0);
        let mut shell = command
            .spawn()
            .or_failed(|| "sh cannot be started to clean up behind servers".to_owned())?;
        let pipe = shell.stdin.take().ok_or("it has no pipe");
        let pipe = pipe.or_failed(|| "sh cannot clean up behind servers".to_owned())?;
        // Nobody waits for the shell: it outlives this process.
        Ok(Self {
            folder,
            pipe: Mutex::new(pipe),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Keeper for Sweeper {
    fn tag(&self) -> Option<(&str, &str)> {
        None
    }

    fn record(&self, pid: u32) -> std::io::Result<()> {
        // One that has already ended needs no sweeper.
        let Some(start) = start_ticks(pid) else {
            return Ok(());
        };
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipe, "{pid} {start}")
    }
}

/// Field 22 of `/proc/PID/stat`; the name, in parentheses, may hold anything.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}
