//! A process that is stopped in its tracks for a while.

use rustix::process::{Pid, Signal, kill_process};

/// SIGSTOP until it is dropped, also when the test fails: a server may be shared.
#[derive(Debug)]
pub struct Frozen(Pid);

impl Frozen {
    /// # Panics
    /// When there is no such process.
    pub fn freeze(pid: u32) -> Self {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a process id");
        kill_process(pid, Signal::STOP).expect("a process of ours");
        Self(pid)
    }

    /// SIGCONT.
    pub fn thaw(self) {}
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = kill_process(self.0, Signal::CONT);
    }
}
