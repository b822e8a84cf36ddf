//! Which type of order queues the tests run on, where they do not choose it themselves.

const VARIABLE: &str = "CRASH_QUEUE_TYPE";
const CLASSIC: &str = "classic";
pub const QUORUM: &str = "quorum";

/// `CRASH_QUEUE_TYPE`, or classic where it is not set.
pub fn from_environment() -> String {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| CLASSIC.to_owned());
    assert!(
        [CLASSIC, QUORUM].contains(&wanted.as_str()),
        "{VARIABLE}={wanted}; known: {CLASSIC}, {QUORUM}"
    );
    wanted
}
