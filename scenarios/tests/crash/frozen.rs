//! Freezes a process for a while (SIGSTOP), kills one, and sees whether one has ended, each by its
//! process id.

use rustix::process::{Pid, Signal, kill_process};

/// A process under SIGSTOP until this is dropped, even when the test fails, because the servers are
/// shared.
#[derive(Debug)]
pub struct Frozen(Pid);

impl Frozen {
    pub fn freeze(pid: u32) -> Self {
        let pid = id(pid);
        kill_process(pid, Signal::STOP).expect("a process of ours");
        Self(pid)
    }

    /// Lets the process go on (SIGCONT).
    pub fn thaw(self) {}
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn id(pid: u32) -> Pid {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process id")
}

/// Kills a process with SIGKILL.
pub fn kill(pid: u32) {
    kill_process(id(pid), Signal::KILL).expect("a process of ours");
}

/// Whether it has ended; its parent need not have asked for its status yet.
pub fn has_ended(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    // The state follows the name, which is in parentheses and may hold anything.
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}
