//! The connection of `sharded-slots`: one Redis or a Redis Cluster through `fred`, and the meaning
//! of its errors.
//!
//! `fred` sends every call once and follows no redirection here. Its own ASK handling reads the
//! next answer of a pipelined connection, which may belong to another call, and its repetitions
//! would run a call twice; so a redirected call, which no node has executed, is sent again by
//! [`Link::call`], within a bound.

use super::address;
use crate::{EngineError, Result};
use database::masked;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, ClusterInterface};
use fred::prelude::{
    Builder, Client, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy,
};
use fred::types::config::{Server, TcpConfig, UnresponsiveConfig};
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Value};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for an answer; beyond it the outcome is unknown. A call blocks a node for a few ms
/// at most.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Longest wait for a TCP connection, and for the first connection when an engine is built.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Pauses between attempts to reconnect, ms; they go on for as long as the engine lives.
const RECONNECT_PAUSE_MS: std::ops::RangeInclusive<u32> = 5..=100;
/// Answers that are this late end the connection, so that a dead peer is noticed.
const PEER_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls that may wait for the connection's task together; beyond it they are refused.
const PIPELINE_BUFFER_CALLS: usize = 65_536;
/// Times that a redirected call is sent again. With the pauses this bridges a hash slot's move of
/// about 400 ms.
const REDIRECTIONS_MAX: u32 = 12;
/// Longest pause before a redirected call is sent again; the first pause is 1 ms, each is twice the
/// one before.
const REDIRECTION_PAUSE_MAX: Duration = Duration::from_millis(50);

/// One client of all nodes. It belongs to the current runtime and ends its connections when it is
/// dropped.
pub(super) struct Link {
    client: Client,
    router: Mutex<ConnectHandle>,
}

impl Link {
    /// Connects in the background; waits for it a little, so that the first call finds it done.
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let refused = |why: &dyn std::fmt::Display| {
            EngineError::Config(format!("redis url {:?}: {why}", masked(url)))
        };
        let config = address::config(url).map_err(|why| refused(&why))?;
        let (first_ms, last_ms) = (*RECONNECT_PAUSE_MS.start(), *RECONNECT_PAUSE_MS.end());
        let mut policy = ReconnectPolicy::new_exponential(0, first_ms, last_ms, 2);
        policy.set_jitter(first_ms);
        let connection = ConnectionConfig {
            connection_timeout: CONNECT_TIMEOUT,
            internal_command_timeout: RESPONSE_TIMEOUT,
            max_command_attempts: 1,
            max_redirections: 0,
            max_command_buffer_len: PIPELINE_BUFFER_CALLS,
            // CheckServer wants to see an incomplete cluster, to say what is wrong with it.
            disable_cluster_health_check: true,
            unresponsive: UnresponsiveConfig {
                max_timeout: Some(PEER_TIMEOUT),
                ..UnresponsiveConfig::default()
            },
            tcp: TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            },
            ..ConnectionConfig::default()
        };
        let mut builder = Builder::from_config(config);
        builder
            .set_connection_config(connection)
            .set_policy(policy)
            .set_performance_config(PerformanceConfig {
                default_command_timeout: RESPONSE_TIMEOUT,
                ..PerformanceConfig::default()
            });
        let client = builder.build().map_err(|why| refused(&why))?;
        let link = Self {
            router: Mutex::new(client.connect()),
            client,
        };
        // A server that is not there yet is met by the first call, as unavailable.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, link.client.wait_for_connect()).await;
        Ok(link)
    }

    /// Sends a command to whoever owns `hash_slot`, again when it is redirected.
    pub(super) async fn call(
        &self,
        context: &str,
        command: &'static str,
        hash_slot: u16,
        args: Vec<Value>,
    ) -> Result<Answer> {
        let command = CustomCommand::new_static(command, ClusterHash::Custom(hash_slot), false);
        let options = Options {
            fail_fast: true,
            ..Options::default()
        };
        let mut pause = Duration::from_millis(1);
        for _ in 0..REDIRECTIONS_MAX {
            self.keep_routing();
            let sent = self
                .client
                .with_options(&options)
                .custom(command.clone(), args.clone())
                .await;
            match sent {
                Err(error) if was_redirected(&error) => {}
                Err(error) if first_word(&error) == "NOSCRIPT" => return Ok(Answer::NoScript),
                Err(error) => return Err(classify(context, error)),
                Ok(value) => return Ok(Answer::Value(value)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(REDIRECTION_PAUSE_MAX);
        }
        let context =
            format!("{context}: hash slot {hash_slot} is moving between nodes and has not arrived");
        Err(EngineError::Unavailable {
            context,
            source: None,
        })
    }

    /// Every node that holds data: the server, or the primaries of the cluster as it is now.
    pub(super) async fn nodes(&self) -> Result<Vec<Server>> {
        if !self.client.is_clustered() {
            return Ok(self.client.client_config().server.hosts());
        }
        self.keep_routing();
        let synced = tokio::time::timeout(RESPONSE_TIMEOUT, self.client.sync_cluster()).await;
        let unavailable = |why: String| EngineError::Unavailable {
            context: why,
            source: None,
        };
        synced
            .map_err(|_| {
                unavailable(format!(
                    "asking the cluster for its nodes: no answer within {RESPONSE_TIMEOUT:?}"
                ))
            })?
            .map_err(|error| unavailable(format!("asking the cluster for its nodes: {error}")))?;
        let state = self.client.cached_cluster_state();
        Ok(state
            .map(|state| state.unique_primary_nodes())
            .unwrap_or_default())
    }

    /// Whether the nodes form a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        self.client.is_clustered()
    }

    /// Sends a command to one node.
    pub(super) async fn ask(
        &self,
        context: &str,
        node: &Server,
        command: &'static str,
        args: Vec<Value>,
    ) -> Result<Value> {
        self.keep_routing();
        let cluster_node = self.client.is_clustered().then(|| node.clone());
        let options = Options {
            fail_fast: true,
            cluster_node,
            ..Options::default()
        };
        let command = CustomCommand::new_static(command, ClusterHash::Random, false);
        let sent = self
            .client
            .with_options(&options)
            .custom(command, args)
            .await;
        sent.map_err(|error| classify(&format!("{context} at {}:{}", node.host, node.port), error))
    }

    /// Starts the task that drives the connections again if an error has ended it.
    fn keep_routing(&self) {
        let mut router = self.router.lock().unwrap_or_else(PoisonError::into_inner);
        if router.is_finished() {
            *router = self.client.connect();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The task owns the connections and would keep them, and itself, for ever.
        self.router
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort();
    }
}

/// What a call came back with.
pub(super) enum Answer {
    /// An answer of the command.
    Value(Value),
    /// The script is not there: the node is not the one that it was loaded into.
    NoScript,
}

fn first_word(error: &Error) -> &str {
    error
        .details()
        .split_whitespace()
        .next()
        .unwrap_or_default()
}

/// Whether a node refused the call because the keys are elsewhere or on their way; it has not been
/// executed.
fn was_redirected(error: &Error) -> bool {
    *error.kind() == ErrorKind::Routing && error.details() == "Too many redirections."
        || matches!(first_word(error), "MOVED" | "ASK" | "TRYAGAIN")
}

/// Sorts a failure by what the caller must know: whether the call may have been executed.
fn classify(context: &str, error: Error) -> EngineError {
    /// Codes with which a server refuses a call before it has written anything. CLUSTERDOWN is not
    /// among them: fred drops the connection over it and tells every call in flight there the same,
    /// executed or not.
    const REFUSED_BEFORE_WRITING: [&str; 9] = [
        "LOADING",
        "BUSY",
        "OOM",
        "MISCONF",
        "READONLY",
        "MASTERDOWN",
        "NOREPLICAS",
        "NOPERM",
        "NOAUTH",
    ];
    let context = format!("{context}: {error}");
    let code = first_word(&error);
    let was_refused = REFUSED_BEFORE_WRITING.contains(&code);
    let is_of_a_server =
        was_refused || code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    let not_sent = match error.kind() {
        // Canceled is how fred refuses a call while it is not connected, Backpressure while too
        // many wait.
        ErrorKind::Canceled
        | ErrorKind::Backpressure
        | ErrorKind::Auth
        | ErrorKind::Config
        | ErrorKind::Routing => true,
        ErrorKind::Unknown => {
            matches!(
                error.details(),
                "Failed to route command." | "Client is not initialized."
            )
        }
        _ => false,
    };
    match error.kind() {
        _ if not_sent || was_refused => EngineError::Unavailable {
            context,
            source: Some(Box::new(error)),
        },
        ErrorKind::Unknown if is_of_a_server => EngineError::Protocol(context),
        ErrorKind::Parse | ErrorKind::Protocol | ErrorKind::InvalidArgument => {
            EngineError::Protocol(context)
        }
        _ => EngineError::Unknown {
            context,
            source: Some(Box::new(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_surely_not_executed_is_unavailable() {
        let told = |kind, details: &'static str| classify("x", Error::new(kind, details));
        for details in [
            "LOADING Redis is loading",
            "OOM command not allowed",
            "MISCONF cannot write",
        ] {
            assert!(
                matches!(
                    told(ErrorKind::Unknown, details),
                    EngineError::Unavailable { .. }
                ),
                "{details}"
            );
        }
        assert!(matches!(
            told(ErrorKind::Canceled, "Connection closed unexpectedly."),
            EngineError::Unavailable { .. }
        ));
        for kind in [ErrorKind::Timeout, ErrorKind::IO] {
            assert!(matches!(told(kind, "x"), EngineError::Unknown { .. }));
        }
        assert!(told(ErrorKind::Cluster, "CLUSTERDOWN The cluster is down").is_unknown());
        assert!(told(ErrorKind::Unknown, "Too many failed write attempts.").is_unknown());
        assert!(matches!(
            told(ErrorKind::Unknown, "SHORT the gate holds 1 buyers"),
            EngineError::Protocol(_)
        ));
    }

    #[test]
    fn a_redirected_call_is_known_by_its_error() {
        assert!(was_redirected(&Error::new(
            ErrorKind::Routing,
            "Too many redirections."
        )));
        assert!(was_redirected(&Error::new(
            ErrorKind::Unknown,
            "TRYAGAIN Multiple keys request during rehashing of slot"
        )));
        assert!(!was_redirected(&Error::new(
            ErrorKind::IO,
            "Connection closed."
        )));
    }
}
