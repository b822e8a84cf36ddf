//! What every engine on a Redis needs: the connection, the meaning of its errors, and whether the
//! server can keep the contract at all.

use crate::{EngineError, Result};
use database::masked;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind};
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
/// Oldest Redis that writes loaded scripts neither into its log nor to its replicas, and that tells
/// its two ids in one INFO: lost-server-noticed (R13). Every Valkey does.
const MAJOR_VERSION_MIN: u64 = 7;

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

/// Refuses a server that is too old, and one that can forget or evict what it acknowledged, unless
/// `allow_volatile`; returns the settings that a result has to state.
pub async fn check(
    redis: &mut ConnectionManager,
    allow_volatile: bool,
) -> Result<Vec<(String, String)>> {
    let failed = |error| classify("checking the redis server", error);
    let version = check_version(redis).await?;
    let mut settings = vec![("redis.version".to_owned(), version)];
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

/// Refuses a server that is too old; its version.
pub async fn check_version(redis: &mut ConnectionManager) -> Result<String> {
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(redis)
        .await
        .map_err(|error| classify("asking a redis server for its version", error))?;
    match too_old_because(&info) {
        Some(reason) => Err(EngineError::Config(reason)),
        None => Ok(version(&info)),
    }
}

/// A field of what INFO answers.
pub fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(str::trim)
}

/// The life of the server that answered `INFO server replication`, as the scripts name it, if it
/// tells. It ends when the process ends, when the server gets the data of another or is promoted,
/// and also with its first replica.
pub fn life(info: &str) -> Option<String> {
    let (run, replication) = (
        info_field(info, "run_id")?,
        info_field(info, "master_replid")?,
    );
    Some(format!("{run}:{replication}"))
}

/// `7.0.15`, `valkey 8.1.1` or `unknown`, by what `INFO server` answers.
pub fn version(info: &str) -> String {
    match info_field(info, "valkey_version") {
        Some(version) => format!("valkey {version}"),
        None => info_field(info, "redis_version")
            .unwrap_or("unknown")
            .to_owned(),
    }
}

/// Why the server that answered `INFO server` is too old, if it is. Valkey calls itself a Redis
/// 7.2.4 for those who ask for nothing else.
pub fn too_old_because(info: &str) -> Option<String> {
    let is_valkey = info_field(info, "valkey_version").is_some()
        || info_field(info, "server_name") == Some("valkey");
    let redis_version = info_field(info, "redis_version");
    let major = redis_version
        .and_then(|version| version.split('.').next())
        .and_then(|major| major.parse::<u64>().ok());
    let is_new_enough = is_valkey || major.is_some_and(|major| major >= MAJOR_VERSION_MIN);
    (!is_new_enough).then(|| {
        format!(
            "redis {} is too old: it can bring scripts back with data that lack what it had \
             acknowledged; Redis {MAJOR_VERSION_MIN}.0 or newer, or Valkey, is needed",
            redis_version.unwrap_or("of unknown version")
        )
    })
}

fn setting<'a>(settings: &'a [(String, String)], name: &str) -> &'a str {
    settings
        .iter()
        .find(|(known, _)| known == name)
        .map_or("unknown", |(_, value)| value)
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
    fn only_redis_from_7_and_valkey_are_accepted_and_others_hear_which_is_needed() {
        let redis = |version: &str| format!("# Server\r\nredis_version:{version}\r\nos:Linux\r\n");
        for accepted in ["7.0.15", "7.2.4", "8.2.1", "10.0.0"] {
            assert_eq!(too_old_because(&redis(accepted)), None, "{accepted}");
        }
        for refused in ["2.8.9", "5.0.14", "6.2.14", "nonsense", ""] {
            let reason = too_old_because(&redis(refused)).unwrap();
            let parts = [refused, "Redis 7.0 or newer, or Valkey"];
            assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
        }
        assert!(too_old_because("").unwrap().contains("unknown version"));
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n";
        assert_eq!(too_old_because(valkey), None);
        assert_eq!(version(valkey), "valkey 8.1.1");
        // Should it ever count its compatibility down.
        let valkey = "redis_version:6.0.0\r\nserver_name:valkey\r\nvalkey_version:9.0.0\r\n";
        assert_eq!(too_old_because(valkey), None);
    }

    #[test]
    fn a_life_has_both_ids_of_a_server() {
        let info = "run_id:aa\r\nmaster_replid:bb\r\nmaster_replid2:cc\r\n";
        assert_eq!(life(info).as_deref(), Some("aa:bb"));
        assert_eq!(life("run_id:aa\r\nmaster_replid2:cc\r\n"), None);
    }

    #[tokio::test]
    async fn a_malformed_url_is_refused_without_its_password() {
        let refused = connect("redis//u:secret@nowhere").unwrap_err().to_string();
        assert!(refused.starts_with("redis url"), "{refused}");
    }
}
