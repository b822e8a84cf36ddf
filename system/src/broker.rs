//! The message broker: RabbitMQ, or a durable queue in the SQLite file of the embedded stack.
//!
//! What roles ask of it is declared here and means the same for both; everything AMQP is in `amqp`,
//! everything SQLite in `embedded`. What the messages mean is the envelope's business.

mod amqp;
mod embedded;
mod names;

use crate::config::{Ack, Config, DatabaseConfig, MqConfig};
use crate::shutdown::Shutdown;
use crate::store::DatabaseKind;
use names::Names;

/// Tables of the embedded queue.
pub const EMBEDDED_SCHEMA: &str = include_str!("broker/embedded.sqlite.sql");

/// Which broker is used, and how: the database decides, because the embedded queue lives in its
/// file.
#[derive(Clone, Debug)]
pub struct Settings {
    mq: MqConfig,
    database: DatabaseConfig,
}

impl Settings {
    /// What `mq` and `database.url` say.
    pub fn new(config: &Config) -> Self {
        Self {
            mq: config.mq.clone(),
            database: config.database.clone(),
        }
    }

    /// The name under which the queue of `incarnation` is known.
    pub fn queue_name(&self, incarnation: i64) -> String {
        Names::new(&self.mq).order_queue(incarnation)
    }
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It is durable in the queue, or (under `published`) handed over.
    Accepted,
    /// The broker said it is not in the queue: full, or no binding.
    Rejected,
    /// It was not sent: the broker is out of reach.
    NotSent,
    /// It was sent and nobody knows.
    Unknown,
}

/// A message as a consumer gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Ascending within one [`Deliveries`].
    pub tag: u64,
    /// What kind of message it says it is.
    pub kind: Option<String>,
    /// The id that its publisher gave it.
    pub message_id: Option<String>,
    /// Its content.
    pub body: Vec<u8>,
}

/// A connection to the broker; cheap to clone.
#[derive(Clone, Debug)]
pub enum Broker {
    /// RabbitMQ.
    Amqp(amqp::Broker),
    /// The queue in the database's file.
    Embedded(embedded::Broker),
}

impl Broker {
    /// Connects under a name that shows who it is.
    pub async fn connect(settings: &Settings, name: &str) -> anyhow::Result<Self> {
        match settings.database.kind()? {
            DatabaseKind::MySql => Ok(Self::Amqp(amqp::Broker::connect(&settings.mq, name).await?)),
            DatabaseKind::Sqlite => Ok(Self::Embedded(embedded::Broker::open(
                &settings.database.url,
                &settings.mq,
                name,
            )?)),
        }
    }

    /// Whether this connection can still be used. One that was lost does not come back: connect
    /// again.
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Amqp(broker) => broker.is_connected(),
            Self::Embedded(broker) => broker.is_connected(),
        }
    }

    /// Declares the queue of an incarnation and binds it to a generation: what is published under
    /// that generation reaches the queue from now on. Idempotent.
    ///
    /// R2: the caller has either bumped the generation itself, or re-reads it afterwards and uses
    /// it only if unchanged.
    pub async fn bind(&self, incarnation: i64, generation: i64) -> anyhow::Result<()> {
        match self {
            Self::Amqp(broker) => broker.bind(incarnation, generation).await,
            Self::Embedded(broker) => broker.bind(incarnation, generation).await,
        }
    }

    /// Takes a binding away: late messages of that generation are rejected. Second defence of R1;
    /// idempotent.
    pub async fn unbind(&self, incarnation: i64, generation: i64) -> anyhow::Result<()> {
        match self {
            Self::Amqp(broker) => broker.unbind(incarnation, generation).await,
            Self::Embedded(broker) => broker.unbind(incarnation, generation).await,
        }
    }

    /// Deletes the queue of a drained incarnation (R6: drained is stored before). A queue that is
    /// not there is fine, one that holds messages which nobody has taken is an error.
    pub async fn delete_queue(&self, incarnation: i64) -> anyhow::Result<()> {
        match self {
            Self::Amqp(broker) => broker.delete_queue(incarnation).await,
            Self::Embedded(broker) => broker.delete_queue(incarnation).await,
        }
    }

    /// Puts a marker straight into the queue of `incarnation`, whatever is bound to it, and waits
    /// until it is durable.
    ///
    /// An error means the marker may or may not be there; put another one under another nonce.
    pub async fn put_marker(&self, incarnation: i64, nonce: u64) -> anyhow::Result<()> {
        match self {
            Self::Amqp(broker) => broker.put_marker(incarnation, nonce).await,
            Self::Embedded(broker) => broker.put_marker(incarnation, nonce).await,
        }
    }

    /// Begins to consume the queue of `incarnation`. R4: of several consumers one gets messages,
    /// the others wait.
    pub async fn consume(&self, incarnation: i64) -> anyhow::Result<Deliveries> {
        match self {
            Self::Amqp(broker) => Ok(Deliveries::Amqp(broker.consume(incarnation).await?)),
            Self::Embedded(broker) => Ok(Deliveries::Embedded(broker.consume(incarnation))),
        }
    }

    /// Ends the connection; what was acknowledged on it is not delivered again.
    pub async fn close(&self, why: &str) {
        match self {
            Self::Amqp(broker) => broker.close(why).await,
            Self::Embedded(broker) => broker.close().await,
        }
    }
}

/// The messages of one queue, in order, at most `mq.consumer_prefetch` of them unacknowledged.
///
/// R5: dropping it gives back, in order, what was not acknowledged; nothing is ever put back one by
/// one.
#[derive(Debug)]
pub enum Deliveries {
    /// A channel of its own.
    Amqp(amqp::Deliveries),
    /// A place in the line for the queue.
    Embedded(embedded::Deliveries),
}

impl Deliveries {
    /// Waits for the next message; `None` when the queue is gone or the channel was closed. Safe to
    /// give up waiting.
    pub async fn next(&mut self) -> anyhow::Result<Option<Delivery>> {
        match self {
            Self::Amqp(deliveries) => deliveries.next().await,
            Self::Embedded(deliveries) => deliveries.next().await,
        }
    }

    /// Acknowledges everything up to and including `tag`. R4: call it for committed rows and parked
    /// records only.
    pub async fn acknowledge(&mut self, tag: u64) -> anyhow::Result<()> {
        match self {
            Self::Amqp(deliveries) => deliveries.acknowledge(tag).await,
            Self::Embedded(deliveries) => deliveries.acknowledge(tag),
        }
    }

    /// Whether what was delivered belongs to somebody else by now.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Amqp(deliveries) => deliveries.is_lost(),
            Self::Embedded(_) => false,
        }
    }

    /// Gives the queue up.
    pub async fn close(self) {
        match self {
            Self::Amqp(deliveries) => deliveries.close().await,
            Self::Embedded(deliveries) => drop(deliveries),
        }
    }
}

/// Publishes order batches and knows when they are durable; cheap to clone.
#[derive(Clone, Debug)]
pub enum Publisher {
    /// Over a connection that is re-established by itself.
    Amqp(amqp::Publisher),
    /// Through the writer of the database's file.
    Embedded(embedded::Publisher),
}

impl Publisher {
    /// Connects, and keeps connected on the current runtime until `shutdown`.
    pub async fn start(
        settings: &Settings,
        ack: Ack,
        name: &str,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        match settings.database.kind()? {
            DatabaseKind::MySql => Ok(Self::Amqp(
                amqp::Publisher::start(&settings.mq, ack, name, shutdown).await?,
            )),
            DatabaseKind::Sqlite => {
                let broker = embedded::Broker::open(&settings.database.url, &settings.mq, name)?;
                Ok(Self::Embedded(embedded::Publisher::new(broker, ack, name)))
            }
        }
    }

    /// Publishes one batch of orders. Waits until it is durable without a bound of its own: the
    /// caller has the deadline, and an outcome that comes after it must still be taken in.
    pub async fn publish(
        &self,
        incarnation: i64,
        generation: i64,
        body: Vec<u8>,
    ) -> PublishOutcome {
        match self {
            Self::Amqp(publisher) => publisher.publish(incarnation, generation, &body).await,
            Self::Embedded(publisher) => publisher.publish(incarnation, generation, body).await,
        }
    }

    /// Whether a message could be sent now.
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Amqp(publisher) => publisher.is_connected(),
            Self::Embedded(publisher) => publisher.is_connected(),
        }
    }
}
