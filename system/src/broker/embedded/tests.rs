//! The embedded queue keeps what its users count on, and what RabbitMQ would do in the same place.

mod consuming;
mod failing;
mod publishing;

use super::*;
use crate::broker::contract::{Delivery, Publisher};
use crate::ids::Generation;
use engines::IncarnationId;
use futures_util::poll;
use sqlx::{Sqlite, Transaction};
use std::pin::pin;
use std::time::Instant;
use tempfile::TempDir;

const SCHEMA: &str = concat!(
    include_str!("../../../migrations/sqlite/queue.sql"),
    include_str!("../../../migrations/sqlite/traced_messages.sql"),
);
const NEVER: &str = "nothing came";
/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// The incarnation of most tests.
const ID: IncarnationId = IncarnationId(7);
/// Its generation in most tests.
const FIRST: Generation = Generation::FIRST;
/// One that some tests have besides.
const OTHER: IncarnationId = IncarnationId(8);

struct Fixture {
    folder: TempDir,
    broker: EmbeddedBroker,
    publisher: Arc<dyn Publisher>,
}

impl Fixture {
    /// A queue of [`ID`], bound to generation 1.
    async fn new(config: MqConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::open(&url(&folder), &config, "test").unwrap();
        let mut transaction = broker.file.sqlite.write().await.unwrap();
        sqlx::raw_sql(SCHEMA)
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        broker.declare_queue(ID).await.unwrap();
        broker.bind(ID, FIRST).await.unwrap();
        let publisher = Arc::new(broker.publisher(Ack::Confirmed, "test"));
        Self {
            folder,
            broker,
            publisher,
        }
    }

    async fn publish(&self, generation: Generation, body: &str) -> PublishOutcome {
        self.publisher
            .publish(ID, generation, body.into(), None)
            .await
    }

    async fn publish_all(&self, bodies: &[&str]) {
        for body in bodies {
            assert_eq!(self.publish(FIRST, body).await, PublishOutcome::Accepted);
        }
    }

    async fn count(&self) -> i64 {
        let row = sqlx::query("SELECT COUNT(*) FROM queue_messages")
            .fetch_one(self.broker.file.sqlite.readers());
        row.await.unwrap().get(0)
    }

    async fn execute(&self, sql: &str) {
        let mut transaction = self.hold_up().await;
        sqlx::query(sql).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn until_connected(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.publisher.is_connected() {
            assert!(Instant::now() < deadline, "still nothing can be written");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Holds up everybody else who wants to write.
    async fn hold_up(&self) -> Transaction<'static, Sqlite> {
        self.broker.file.sqlite.write().await.unwrap()
    }
}

fn url(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("queue.db").display())
}

fn limited(consumer_prefetch: u16, queue_max_messages: u32) -> MqConfig {
    MqConfig {
        consumer_prefetch,
        queue_max_messages,
        ..MqConfig::default()
    }
}

async fn consume(broker: &EmbeddedBroker) -> Box<dyn Deliveries> {
    broker.consume(ID).await.unwrap()
}

async fn next(deliveries: &mut Box<dyn Deliveries>) -> Delivery {
    tokio::time::timeout(PATIENCE, deliveries.next())
        .await
        .expect(NEVER)
        .unwrap()
        .expect("the queue is gone")
}

async fn take(deliveries: &mut Box<dyn Deliveries>, count: usize) -> (Vec<String>, u64) {
    let (mut bodies, mut tag) = (Vec::new(), 0);
    for _ in 0..count {
        let delivery = next(deliveries).await;
        bodies.push(String::from_utf8(delivery.body).unwrap());
        tag = delivery.tag;
    }
    (bodies, tag)
}
