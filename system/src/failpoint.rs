//! Named places at which a debug build can be told to die, or to freeze, so that tests can stop a
//! role exactly there.
//!
//! `SECKILL_FAILPOINT=consumer.after_commit:3` aborts the process the third time that place is
//! reached; with `consumer.after_commit:3:freeze` it stops itself (SIGSTOP) and goes on after
//! SIGCONT. Release builds contain nothing of this.

/// Dies or freezes here if this place was asked for and this is the asked-for visit.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, u64, bool)>> = OnceLock::new();
    static VISITS: AtomicU64 = AtomicU64::new(0);

    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("SECKILL_FAILPOINT").ok()?;
        let mut parts = text.split(':');
        let name = parts.next()?.to_owned();
        let nth = parts.next().and_then(|nth| nth.parse().ok()).unwrap_or(1);
        Some((name, nth, parts.next() == Some("freeze")))
    });
    let Some((wanted, nth, freezes)) = armed else {
        return;
    };
    if wanted != name || VISITS.fetch_add(1, Ordering::Relaxed) + 1 != *nth {
        return;
    }
    if *freezes {
        eprintln!("failpoint {name} reached {nth} times: stopping");
        let _ = kill_process(getpid(), Signal::STOP);
    } else {
        eprintln!("failpoint {name} reached {nth} times: aborting");
        std::process::abort();
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_name: &str) {}
