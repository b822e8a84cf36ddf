//! The sections of the configuration, their defaults and meanings.

use engines::EngineSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Redis.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://host:port/`.
    pub url: String,
    /// A file that holds this address instead, and perhaps a line break behind it.
    pub url_file: String,
    /// Put in front of every key.
    pub prefix: String,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379/".to_owned(),
            url_file: String::new(),
            prefix: String::new(),
        }
    }
}

/// Type of the order queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[schemars(!try_from)]
pub enum QueueType {
    /// Durable classic queue on one node.
    #[default]
    Classic,
    /// Replicated quorum queue.
    Quorum,
}

/// RabbitMQ. With a `sqlite:` database the queue is in its file, and of these only the prefetch,
/// the batches, the queue's bound and the prefix have an effect.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MqConfig {
    /// `amqp://user:password@host:port/vhost`.
    pub url: String,
    /// A file that holds this address instead, and perhaps a line break behind it.
    pub url_file: String,
    /// Put in front of every exchange and queue name.
    pub prefix: String,
    /// AMQP heartbeat, s: the broker gives up a connection that has been silent for two of them, and
    /// its queues go to another consumer.
    pub heartbeat_s: u16,
    /// Messages a consumer may hold unacknowledged; a message carries a whole batch of orders.
    pub consumer_prefetch: u16,
    /// Orders gathered before a transaction is committed.
    pub order_batch_size: usize,
    /// Longest time an order waits for its batch to fill, ms.
    pub order_batch_interval_ms: u64,
    /// Publishing channels per serving thread; one message is under way on each, so as many as
    /// batches under way.
    pub channel_pool_size: usize,
    /// Bound of each order queue, in messages; beyond it publishes are rejected and the service
    /// sheds load.
    pub queue_max_messages: u32,
    /// Time between two signs of life of a create-consumer, ms.
    pub consumer_heartbeat_ms: u64,
    /// A create-consumer that has been silent this long loses its share of the queues to the others,
    /// ms.
    pub consumer_lease_ms: u64,
    /// Type of the order queues.
    pub queue_type: QueueType,
}

impl Default for MqConfig {
    fn default() -> Self {
        Self {
            url: "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned(),
            url_file: String::new(),
            prefix: String::new(),
            heartbeat_s: 10,
            consumer_prefetch: 64,
            order_batch_size: 1_000,
            order_batch_interval_ms: 20,
            channel_pool_size: 4,
            queue_max_messages: 100_000,
            consumer_heartbeat_ms: 300,
            consumer_lease_ms: 1_500,
            queue_type: QueueType::Classic,
        }
    }
}

/// When a buyer is told yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[schemars(!try_from)]
pub enum Ack {
    /// After the broker has confirmed that the order event is durable.
    #[default]
    Confirmed,
    /// As soon as the event is handed to the socket. For comparison only: an order can be lost.
    Published,
}

/// The seckill service.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SeckillConfig {
    /// Address of the gRPC listener.
    pub listen: String,
    /// `host:port` at which others reach this process, if that is not the address of its listener.
    pub advertised: String,
    /// Serving threads, each with its own runtime, listener and connections; 0 means half the
    /// cores, at least one.
    pub threads: usize,
    /// Engine and parameters, e.g. `lua-single-key`.
    #[schemars(with = "String")]
    pub engine: EngineSpec,
    /// When a buyer is told yes.
    pub ack: Ack,
    /// Deadline from the arrival of a request to the broker's confirm, ms.
    pub publish_timeout_ms: u64,
    /// Requests that one thread holds at the same time; more are turned away.
    pub max_pending: usize,
    /// Largest quantity of one request.
    pub max_quantity: u32,
    /// Buyers per second who are looked up in the database because they ask about a sale that has
    /// ended; more are told to come back later.
    pub look_ups_per_s: u32,
    /// Clients connected at the same time, over all serving threads; more are closed at once. 0
    /// means as many as the limit on open files leaves room for.
    pub max_connections: usize,
    /// Time from being accepted in which a client has to begin to speak HTTP/2, ms.
    pub first_bytes_timeout_ms: u64,
    /// Pause between two HTTP/2 pings of one connection, ms.
    pub keepalive_interval_ms: u64,
    /// Time in which a client has to answer a ping, ms.
    pub keepalive_timeout_ms: u64,
}

impl Default for SeckillConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50053".to_owned(),
            advertised: String::new(),
            threads: 0,
            engine: "lua-single-key"
                .parse()
                .unwrap_or_else(|_| unreachable!("the default engine's name is well-formed")),
            ack: Ack::Confirmed,
            publish_timeout_ms: 1_500,
            max_pending: 20_000,
            max_quantity: 100,
            look_ups_per_s: 1_000,
            max_connections: 0,
            first_bytes_timeout_ms: 5_000,
            keepalive_interval_ms: 20_000,
            keepalive_timeout_ms: 10_000,
        }
    }
}

/// The listener for operators, of every role.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where `/metrics`, `/healthz`, `/readyz`, `/build` and `/config` are served, and gRPC for
    /// operators; port 0 is any free port, which the ready line names.
    pub listen: String,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
        }
    }
}

/// How requests are gathered into batches.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupCommitConfig {
    /// Most requests in one batch.
    pub max_batch: usize,
    /// Batches under way at the same time per thread. While all of them are, the next one gathers:
    /// that wait is nil when idle and grows with load. A broker that stalls leaves as many batches
    /// reserved and unpublished, and no more.
    pub max_in_flight: usize,
    /// Further gathering time per request of the batch before, µs, for brokers that charge
    /// much per message: it trades latency and throughput for larger messages.
    pub gather_us_per_request: u64,
    /// Longest gathering time, µs.
    pub max_gather_us: u64,
}

impl Default for GroupCommitConfig {
    fn default() -> Self {
        Self {
            max_batch: 512,
            max_in_flight: 4,
            gather_us_per_request: 0,
            max_gather_us: 10_000,
        }
    }
}

/// Leases of publishing processes (fence-wait, R1).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IncarnationConfig {
    /// Time between heartbeats, ms.
    pub heartbeat_ms: u64,
    /// A process may say yes only this long after the start of its last successful heartbeat, ms.
    pub lease_ms: u64,
    /// Waited beyond a lease before it counts as run out, ms; covers clocks that run at different
    /// speeds.
    pub margin_ms: u64,
    /// What operators call this process; at most 128 characters.
    pub label: String,
}

impl Default for IncarnationConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 500,
            lease_ms: 3_000,
            margin_ms: 500,
            label: String::new(),
        }
    }
}

/// The reconciler.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcilerConfig {
    /// Pause between passes, ms.
    pub interval_ms: u64,
    /// An open hold untouched this long is looked at, ms. Greater than the publish deadline.
    pub grace_ms: u64,
    /// Longest wait for one queue to drain, ms.
    pub drain_timeout_ms: u64,
    /// Markers are kept this long after they were committed, s.
    pub marker_retention_s: u64,
}

impl Default for ReconcilerConfig {
    fn default() -> Self {
        Self {
            interval_ms: 500,
            grace_ms: 5_000,
            drain_timeout_ms: 60_000,
            marker_retention_s: 3_600,
        }
    }
}

/// Checks of the engine and of the server behind it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Accept a server that can forget or evict what it acknowledged.
    pub allow_volatile: bool,
    /// Accept an engine that is registered as unsafe: it tells more buyers yes than there are units.
    pub allow_unsafe: bool,
}

/// Format of the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[schemars(!try_from)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level or a filter such as `info,lapin=warn`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
    /// Lines go to this file, too, with the day behind its name; empty: to stderr alone.
    pub file: String,
    /// How many days' files are kept.
    pub files_kept: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
            file: String::new(),
            files_kept: 7,
        }
    }
}
