//! The message broker: RabbitMQ, or a durable queue in the SQLite file of the embedded stack.
//!
//! What roles ask of it is in `contract` and means the same for both; everything AMQP is in `amqp`,
//! everything SQLite in `embedded`. Which of them is used, is decided here and nowhere else.

mod amqp;
mod contract;
mod embedded;
mod names;

pub use contract::{Broker, Copier, Deliveries, Delivery, PublishOutcome, Publisher};

use crate::config::{Ack, Config, DatabaseConfig, MqConfig};
use crate::shutdown::Shutdown;
use crate::supervisor::Supervisor;
use amqp::{AmqpBroker, AmqpCopier, AmqpPublisher};
use anyhow::bail;
use database::DatabaseKind;
use embedded::EmbeddedBroker;
use engines::IncarnationId;
use names::Names;
use std::sync::Arc;

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
    pub fn queue_name(&self, incarnation: IncarnationId) -> String {
        Names::new(&self.mq).order_queue(incarnation)
    }

    /// The queue in the database's file, if that is where it is.
    fn embedded(&self, name: &str) -> anyhow::Result<Option<EmbeddedBroker>> {
        match self.database.kind()? {
            DatabaseKind::MySql => Ok(None),
            DatabaseKind::Sqlite => {
                EmbeddedBroker::open(&self.database.url, &self.mq, name).map(Some)
            }
        }
    }
}

/// What the broker of those who use this database is called in traces.
pub fn system(database: &DatabaseConfig) -> &'static str {
    match database.kind() {
        Ok(DatabaseKind::Sqlite) => "sqlite",
        Ok(DatabaseKind::MySql) | Err(_) => "rabbitmq",
    }
}

/// Connects under a name that shows who it is.
pub async fn connect(settings: &Settings, name: &str) -> anyhow::Result<Arc<dyn Broker>> {
    Ok(match settings.embedded(name)? {
        Some(embedded) => Arc::new(embedded),
        None => Arc::new(AmqpBroker::connect(&settings.mq, name).await?),
    })
}

/// Connects for publishing, and keeps connected on the current runtime until `asked`; that nobody
/// does so any more before, the supervisor tells.
pub async fn publisher(
    settings: &Settings,
    ack: Ack,
    name: &str,
    (supervisor, asked): (&Supervisor, &Shutdown),
) -> anyhow::Result<Arc<dyn Publisher>> {
    Ok(match settings.embedded(name)? {
        Some(embedded) => Arc::new(embedded.publisher(ack, name)),
        None => {
            let watched = (supervisor, asked);
            Arc::new(AmqpPublisher::start(&settings.mq, ack, name, watched).await?)
        }
    })
}

/// Connects for copies, on a connection of its own: what listeners do to it concerns nobody else.
pub async fn copier(settings: &Settings, name: &str) -> anyhow::Result<Arc<dyn Copier>> {
    match settings.database.kind()? {
        DatabaseKind::MySql => Ok(Arc::new(AmqpCopier::connect(&settings.mq, name).await?)),
        DatabaseKind::Sqlite => bail!("a SQLite file has no exchange that anybody could listen to"),
    }
}
