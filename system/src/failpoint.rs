//! Named places at which a debug build can be told to die, or to freeze, so that tests can stop a
//! role exactly there.
//!
//! `SECKILL_FAILPOINT=consumer.after_commit:3` aborts the process the third time that place is
//! reached; with `consumer.after_commit:3:freeze` it stops itself (SIGSTOP) and goes on after
//! SIGCONT. With `consumer.after_commit:3:hold=FILE` only the thread that is there stands still, so
//! that other roles of its process go on: it makes the file and waits until the file is gone. Release
//! builds contain nothing of this.

/// Dies, freezes or waits here if this place was asked for and this is the asked-for visit.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    enum Ending {
        Dies,
        Freezes,
        Waits(PathBuf),
    }
    static ARMED: OnceLock<Option<(String, u64, Ending)>> = OnceLock::new();
    static VISITS: AtomicU64 = AtomicU64::new(0);

    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("SECKILL_FAILPOINT").ok()?;
        let mut parts = text.splitn(3, ':');
        let name = parts.next()?.to_owned();
        let nth = parts.next().and_then(|nth| nth.parse().ok()).unwrap_or(1);
        let ending = match parts.next() {
            Some("freeze") => Ending::Freezes,
            Some(hold) if hold.starts_with("hold=") => Ending::Waits(hold[5..].into()),
            _ => Ending::Dies,
        };
        Some((name, nth, ending))
    });
    let Some((wanted, nth, ending)) = armed else {
        return;
    };
    if wanted != name || VISITS.fetch_add(1, Ordering::Relaxed) + 1 != *nth {
        return;
    }
    let reached = format!("failpoint {name} reached {nth} times");
    match ending {
        Ending::Dies => {
            eprintln!("{reached}: aborting");
            std::process::abort();
        }
        Ending::Freezes => {
            eprintln!("{reached}: stopping");
            let _ = kill_process(getpid(), Signal::STOP);
        }
        Ending::Waits(file) => {
            eprintln!("{reached}: waiting");
            let is_there = std::fs::write(file, []).is_ok();
            while is_there && Path::exists(file) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_name: &str) {}
