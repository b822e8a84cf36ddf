//! Named places at which a debug build can be told to die, so that tests can kill a role exactly
//! there.
//!
//! `SECKILL_FAILPOINT=consumer.after_commit:3` aborts the process the third time that place is
//! reached. Release builds contain nothing of this.

/// Dies here if this place was asked for and this is the asked-for visit.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static VISITS: AtomicU64 = AtomicU64::new(0);

    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("SECKILL_FAILPOINT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), nth.parse().unwrap_or(1)))
    });
    let Some((wanted, nth)) = armed else { return };
    if wanted == name && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *nth {
        eprintln!("failpoint {name} reached {nth} times: aborting");
        std::process::abort();
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_name: &str) {}
