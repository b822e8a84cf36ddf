//! What every engine on a Redis needs: the connection, the meaning of its errors, and whether the
//! server can keep the contract at all.

use crate::{EngineError, Result};
use database::masked;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{ErrorKind, InfoDict, IntoConnectionInfo, RedisError, ServerErrorKind};
use std::time::Duration;

/// Longest wait for an answer; beyond it the outcome is unknown. A call blocks the server for a few
/// ms at most.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Attempts to reconnect behind one failing call; the next call starts over.
const CONNECT_RETRIES_MAX: usize = 3;
/// Longest pause between those attempts.
const CONNECT_RETRY_PAUSE_MAX: Duration = Duration::from_millis(100);
/// Sent bytes that stay unacknowledged for this long end the connection, so that a dead peer is
/// noticed.
#[cfg(target_os = "linux")]
const PEER_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls that may wait for the connection's task together; beyond it callers wait their turn.
const PIPELINE_BUFFER_CALLS: usize = 1_024;
/// Oldest server whose scripts replicate by effect, without which a script may not read the clock
/// and then write.
const MAJOR_VERSION_MIN: u64 = 5;

/// What decides whether a server can forget or evict.
pub const SETTINGS: [&str; 4] = ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy"];

/// A connection that is made on first use and made again when it breaks. It belongs to the current
/// runtime.
pub fn connect(url: &str) -> Result<ConnectionManager> {
    let refused =
        |error: RedisError| EngineError::Config(format!("redis url {:?}: {error}", masked(url)));
    let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(PEER_TIMEOUT);
    let info = url
        .into_connection_info()
        .map_err(refused)?
        .set_tcp_settings(tcp);
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_number_of_retries(CONNECT_RETRIES_MAX)
        .set_min_delay(Duration::from_millis(5))
        .set_max_delay(CONNECT_RETRY_PAUSE_MAX)
        .set_pipeline_buffer_size(PIPELINE_BUFFER_CALLS);
    let client = redis::Client::open(info).map_err(refused)?;
    ConnectionManager::new_lazy_with_config(client, config).map_err(refused)
}

/// Whether the script is not there, which means that the server is not the one it was loaded into.
pub fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Sorts a failure by what the caller must know: whether the call may have been executed.
pub fn classify(context: &str, error: RedisError) -> EngineError {
    /// Codes with which a server refuses a call before it has written anything.
    const REFUSED_BEFORE_WRITING: [&str; 12] = [
        "LOADING",
        "BUSY",
        "OOM",
        "MISCONF",
        "READONLY",
        "MASTERDOWN",
        "NOREPLICAS",
        "CLUSTERDOWN",
        "NOAUTH",
        "NOPERM",
        "TRYAGAIN",
        "NOSCRIPT",
    ];
    let context = format!("{context}: {error}");
    let not_sent = error.is_connection_refusal()
        || matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig
        );
    if not_sent
        || error
            .code()
            .is_some_and(|code| REFUSED_BEFORE_WRITING.contains(&code))
    {
        return EngineError::Unavailable {
            context,
            source: Some(Box::new(error)),
        };
    }
    match error.kind() {
        ErrorKind::Io => EngineError::Unknown {
            context,
            source: Some(Box::new(error)),
        },
        _ => EngineError::Protocol(context),
    }
}

/// Refuses a server that can forget or evict what it acknowledged, unless `allow_volatile`; returns
/// the settings that a result has to state.
pub async fn check(
    redis: &mut ConnectionManager,
    allow_volatile: bool,
) -> Result<Vec<(String, String)>> {
    let failed = |error| classify("checking the redis server", error);
    let info: InfoDict = redis::cmd("INFO")
        .arg("server")
        .query_async(redis)
        .await
        .map_err(failed)?;
    let version: String = info.get("redis_version").unwrap_or_default();
    let mut settings = vec![("redis.version".to_owned(), version)];
    if let Some(reason) = too_old_because(&settings) {
        return Err(EngineError::Config(reason));
    }
    for name in SETTINGS {
        // A managed server may forbid CONFIG; then nothing is known, which is treated like the
        // worst.
        let answer: redis::RedisResult<Vec<String>> = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query_async(redis)
            .await;
        let value = match answer {
            Ok(pair) => pair.get(1).cloned().unwrap_or_else(|| "unknown".to_owned()),
            Err(error) if error.is_io_error() => return Err(failed(error)),
            Err(_) => "unknown".to_owned(),
        };
        settings.push((format!("redis.{name}"), value));
    }
    match volatile_because(&settings) {
        Some(reason) if !allow_volatile => Err(EngineError::Config(reason)),
        _ => Ok(settings),
    }
}

fn setting<'a>(settings: &'a [(String, String)], name: &str) -> &'a str {
    settings
        .iter()
        .find(|(known, _)| known == name)
        .map_or("unknown", |(_, value)| value)
}

/// Why a server of these settings is too old, if it is.
pub fn too_old_because(settings: &[(String, String)]) -> Option<String> {
    let version = setting(settings, "redis.version");
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u64>().ok());
    let is_too_old = major.is_some_and(|major| major < MAJOR_VERSION_MIN);
    is_too_old
        .then(|| format!("redis {version} is too old; at least {MAJOR_VERSION_MIN}.0 is needed"))
}

/// Why a server of these settings can forget or evict, if it can.
pub fn volatile_because(settings: &[(String, String)]) -> Option<String> {
    let (appendonly, policy) = (
        setting(settings, "redis.appendonly"),
        setting(settings, "redis.maxmemory-policy"),
    );
    if appendonly != "yes" {
        return Some(format!(
            "redis has appendonly = {appendonly}: it forgets acknowledged holds when it stops; \
             set appendonly yes, or accept that with --allow-volatile"
        ));
    }
    if policy != "noeviction" {
        return Some(format!(
            "redis has maxmemory-policy = {policy}: it may evict stock and gates; \
             set maxmemory-policy noeviction, or accept that with --allow-volatile"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(appendonly: &str, policy: &str) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (format!("redis.{name}"), value.to_owned());
        vec![
            pair("appendonly", appendonly),
            pair("maxmemory-policy", policy),
        ]
    }

    #[test]
    fn a_server_that_can_forget_or_evict_is_refused_with_the_reason() {
        assert_eq!(volatile_because(&settings("yes", "noeviction")), None);
        assert!(
            volatile_because(&settings("no", "noeviction"))
                .unwrap()
                .contains("appendonly = no")
        );
        assert!(
            volatile_because(&settings("yes", "allkeys-lru"))
                .unwrap()
                .contains("allkeys-lru")
        );
        assert!(
            volatile_because(&settings("unknown", "noeviction"))
                .unwrap()
                .contains("unknown")
        );
    }

    #[test]
    fn an_answer_that_never_came_is_unknown_and_a_refused_connection_is_not() {
        let io =
            |kind: std::io::ErrorKind| classify("x", RedisError::from(std::io::Error::from(kind)));
        assert!(io(std::io::ErrorKind::TimedOut).is_unknown());
        assert!(io(std::io::ErrorKind::BrokenPipe).is_unknown());
        assert!(!io(std::io::ErrorKind::ConnectionRefused).is_unknown());
        assert!(io(std::io::ErrorKind::ConnectionRefused).is_retryable());
    }

    #[test]
    fn a_server_that_is_too_old_is_refused_with_its_version() {
        let version = |version: &str| [("redis.version".to_owned(), version.to_owned())];
        assert_eq!(too_old_because(&version("7.0.15")), None);
        assert!(
            too_old_because(&version("4.0.9"))
                .unwrap()
                .contains("redis 4.0.9 is too old")
        );
    }

    #[tokio::test]
    async fn a_malformed_url_is_refused_without_its_password() {
        let refused = connect("redis//u:secret@nowhere").unwrap_err().to_string();
        assert!(refused.starts_with("redis url"), "{refused}");
    }
}
