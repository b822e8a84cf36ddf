//! Waiting for conditions, each with a bound, instead of sleeping.

use std::time::{Duration, Instant};

/// Longest wait for anything that happens within moments or after a lease or grace period of a
/// second or two; large, because the machine may be busy with other things.
pub const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// Asks until a number that only grows is at least `wanted`. How fast it grows is the machine's
/// affair; that it goes on growing is what is waited for.
pub async fn until_at_least(what: &str, wanted: i64, mut ask: impl AsyncFnMut() -> i64) {
    let (mut most, mut grown) = (i64::MIN, Instant::now());
    loop {
        let seen = ask().await;
        if seen >= wanted {
            return;
        }
        if seen > most {
            (most, grown) = (seen, Instant::now());
        }
        assert!(
            grown.elapsed() < LIMIT,
            "no more within {LIMIT:?}: {what}; last seen: {seen} of {wanted}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Asks until there is an answer. `Err` says what was seen instead; the last one is in the panic.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        let seen = match ask().await {
            Ok(answer) => return answer,
            Err(seen) => seen,
        };
        assert!(
            started.elapsed() < LIMIT,
            "not within {LIMIT:?}: {what}; last seen: {seen}"
        );
        tokio::time::sleep(POLL).await;
    }
}
