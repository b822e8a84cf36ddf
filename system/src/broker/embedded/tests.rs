//! The embedded queue keeps what its users count on, and what RabbitMQ would do in the same place.

use super::*;
use crate::broker::contract::{Delivery, Publisher};
use crate::ids::Generation;
use engines::IncarnationId;
use futures_util::poll;
use sqlx::{Sqlite, Transaction};
use std::pin::pin;
use std::time::Instant;
use tempfile::TempDir;

const SCHEMA: &str = include_str!("../../../migrations/sqlite/queue.sql");
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
        broker.bind(ID, FIRST).await.unwrap();
        let publisher = Arc::new(broker.publisher(Ack::Confirmed, "test"));
        Self {
            folder,
            broker,
            publisher,
        }
    }

    async fn publish(&self, generation: Generation, body: &str) -> PublishOutcome {
        self.publisher.publish(ID, generation, body.into()).await
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

#[tokio::test]
async fn messages_come_as_they_were_published_and_in_that_order() {
    let fixture = Fixture::new(MqConfig::default()).await;
    fixture.publish_all(&["a", "b"]).await;
    fixture.broker.put_marker(ID, 0xfeed).await.unwrap();
    fixture.publish_all(&["c"]).await;
    let mut deliveries = consume(&fixture.broker).await;
    assert_eq!(take(&mut deliveries, 2).await.0, ["a", "b"]);
    let marker = next(&mut deliveries).await;
    assert_eq!(
        (marker.kind.as_deref(), &marker.body),
        (
            Some(envelope::MARKER_TYPE),
            &envelope::encode_marker(0xfeed)
        )
    );
    assert_eq!(
        marker.message_id.as_deref(),
        Some("marker-000000000000feed")
    );
    let last = next(&mut deliveries).await;
    assert_eq!(
        (last.kind.as_deref(), &last.body[..]),
        (Some(envelope::ORDER_BATCH_TYPE), &b"c"[..])
    );
    assert!(last.message_id.unwrap().starts_with("test-"));
    assert!(last.tag > marker.tag);
}

#[tokio::test]
async fn what_a_consumer_did_not_acknowledge_goes_to_the_next_in_order_and_the_rest_is_gone() {
    let fixture = Fixture::new(MqConfig::default()).await;
    fixture.publish_all(&["a", "b", "c", "d"]).await;
    let mut first = consume(&fixture.broker).await;
    let (_, tag) = take(&mut first, 2).await;
    take(&mut first, 1).await;
    first.acknowledge(tag).await.unwrap();
    assert!(first.acknowledge(tag).await.is_err(), "acknowledged twice");
    drop(first);
    let mut second = consume(&fixture.broker).await;
    let (bodies, tag) = take(&mut second, 2).await;
    assert_eq!(bodies, ["c", "d"]);
    second.acknowledge(tag).await.unwrap();
    fixture.broker.close("done").await;
    assert_eq!(
        fixture.count().await,
        0,
        "one acknowledgement covers everything before it"
    );
}

#[tokio::test]
async fn of_two_consumers_one_gets_messages_and_the_other_waits_for_its_end() {
    let fixture = Fixture::new(MqConfig::default()).await;
    let mut first = consume(&fixture.broker).await;
    fixture.publish_all(&["a"]).await;
    take(&mut first, 1).await;
    let mut second = consume(&fixture.broker).await;
    let waiting = tokio::spawn(async move { take(&mut second, 2).await.0 });
    fixture.publish_all(&["b", "c"]).await;
    let (bodies, _) = take(&mut first, 2).await;
    assert_eq!(bodies, ["b", "c"]);
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(waiting.await.unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn no_more_than_the_prefetch_is_unacknowledged() {
    let fixture = Fixture::new(limited(2, 100)).await;
    fixture.publish_all(&["a", "b", "c"]).await;
    let mut deliveries = consume(&fixture.broker).await;
    let (_, tag) = take(&mut deliveries, 2).await;
    let more = tokio::time::timeout(Duration::from_millis(50), deliveries.next()).await;
    assert!(more.is_err(), "a third one: {more:?}");
    deliveries.acknowledge(tag).await.unwrap();
    assert_eq!(take(&mut deliveries, 1).await.0, ["c"]);
}

#[tokio::test]
async fn a_generation_that_is_not_bound_is_rejected_and_a_marker_is_not() {
    let fixture = Fixture::new(MqConfig::default()).await;
    assert_eq!(
        fixture.publish(Generation(2), "early").await,
        PublishOutcome::Rejected
    );
    fixture.broker.bind(ID, Generation(2)).await.unwrap();
    fixture.broker.bind(ID, Generation(2)).await.unwrap();
    assert_eq!(
        fixture.publish(Generation(2), "in").await,
        PublishOutcome::Accepted
    );
    for _ in 0..2 {
        fixture.broker.unbind(ID, FIRST).await.unwrap();
        fixture.broker.unbind(ID, Generation(2)).await.unwrap();
    }
    assert_eq!(
        fixture.publish(FIRST, "late").await,
        PublishOutcome::Rejected
    );
    assert_eq!(
        fixture.publish(Generation(2), "late").await,
        PublishOutcome::Rejected
    );
    fixture.broker.put_marker(ID, 1).await.unwrap();
    assert!(
        fixture.broker.put_marker(OTHER, 1).await.is_err(),
        "there is no such queue"
    );
    assert_eq!(fixture.count().await, 2);
}

#[tokio::test]
async fn a_full_queue_rejects_until_something_was_acknowledged() {
    let fixture = Fixture::new(limited(64, 3)).await;
    fixture.broker.bind(OTHER, FIRST).await.unwrap();
    assert_eq!(
        fixture
            .publisher
            .publish(OTHER, FIRST, b"elsewhere".to_vec())
            .await,
        PublishOutcome::Accepted
    );
    assert_eq!(
        fixture.publish(Generation(9), "not bound").await,
        PublishOutcome::Rejected
    );
    fixture.publish_all(&["a", "b", "c"]).await;
    assert_eq!(fixture.publish(FIRST, "d").await, PublishOutcome::Rejected);
    assert!(fixture.broker.put_marker(ID, 1).await.is_err());
    let mut deliveries = consume(&fixture.broker).await;
    let (_, tag) = take(&mut deliveries, 2).await;
    assert_eq!(
        fixture.publish(FIRST, "d").await,
        PublishOutcome::Rejected,
        "delivered is not acknowledged"
    );
    deliveries.acknowledge(tag).await.unwrap();
    fixture.publish_all(&["d", "e"]).await;
    assert_eq!(fixture.publish(FIRST, "f").await, PublishOutcome::Rejected);
    assert_eq!(take(&mut deliveries, 3).await.0, ["c", "d", "e"]);
}

#[tokio::test]
async fn those_who_wait_at_the_same_time_share_a_commit_and_each_has_an_outcome() {
    let fixture = Fixture::new(limited(64, 5)).await;
    let held = fixture.hold_up().await;
    let mut puts = Vec::new();
    for (generation, body) in [
        (1, "a"),
        (2, "b"),
        (1, "c"),
        (1, "d"),
        (3, "e"),
        (1, "f"),
        (1, "g"),
        (1, "h"),
    ] {
        puts.push(tokio::spawn({
            let publisher = fixture.publisher.clone();
            async move {
                publisher
                    .publish(ID, Generation(generation), body.into())
                    .await
            }
        }));
        // Each is on its way before the next is.
        tokio::task::yield_now().await;
    }
    assert!(
        puts.iter().all(|put| !put.is_finished()),
        "answered before the commit"
    );
    held.rollback().await.unwrap();
    let mut outcomes = Vec::new();
    for put in puts {
        outcomes.push(put.await.unwrap());
        // All of them are there when the first is answered.
        assert_eq!(fixture.count().await, 5);
    }
    let (yes, no) = (PublishOutcome::Accepted, PublishOutcome::Rejected);
    assert_eq!(outcomes, [yes, no, yes, yes, no, yes, yes, no]);
    assert_eq!(
        take(&mut consume(&fixture.broker).await, 5).await.0,
        ["a", "c", "d", "f", "g"]
    );
}

#[tokio::test]
async fn published_is_said_before_the_commit_and_confirmed_after_it() {
    let fixture = Fixture::new(MqConfig::default()).await;
    let held = fixture.hold_up().await;
    let hasty = fixture.broker.publisher(Ack::Published, "hasty");
    assert_eq!(
        hasty.publish(ID, FIRST, b"hasty".to_vec()).await,
        PublishOutcome::Accepted
    );
    assert_eq!(fixture.count().await, 0);
    let mut confirmed = pin!(fixture.publish(FIRST, "sure"));
    assert!(poll!(&mut confirmed).is_pending());
    held.rollback().await.unwrap();
    assert_eq!(confirmed.await, PublishOutcome::Accepted);
    assert_eq!(fixture.count().await, 2);
}

#[tokio::test]
async fn what_was_accepted_survives_the_death_of_the_process() {
    let fixture = Fixture::new(MqConfig::default()).await;
    fixture.publish_all(&["a", "b", "c"]).await;
    let mut deliveries = consume(&fixture.broker).await;
    let (_, tag) = take(&mut deliveries, 1).await;
    deliveries.acknowledge(tag).await.unwrap();
    fixture.broker.close("done").await;
    take(&mut deliveries, 1).await;
    // The files as a process that is killed now leaves them behind.
    let after = tempfile::tempdir().unwrap();
    for name in ["queue.db", "queue.db-wal"] {
        std::fs::copy(fixture.folder.path().join(name), after.path().join(name)).unwrap();
    }
    let broker = EmbeddedBroker::open(&url(&after), &MqConfig::default(), "next").unwrap();
    assert!(!Arc::ptr_eq(&broker.file, &fixture.broker.file));
    let mut deliveries = consume(&broker).await;
    assert_eq!(take(&mut deliveries, 2).await.0, ["b", "c"]);
    let publisher = broker.publisher(Ack::Confirmed, "next");
    assert_eq!(
        publisher.publish(ID, FIRST, b"d".to_vec()).await,
        PublishOutcome::Accepted
    );
    assert_eq!(take(&mut deliveries, 1).await.0, ["d"]);
}

#[tokio::test]
async fn a_queue_is_deleted_when_nothing_waits_in_it_and_its_consumer_ends() {
    let fixture = Fixture::new(MqConfig::default()).await;
    fixture
        .broker
        .delete_queue(OTHER)
        .await
        .expect("a queue that is not there is fine");
    fixture.publish_all(&["a", "b"]).await;
    let mut deliveries = consume(&fixture.broker).await;
    let error = fixture.broker.delete_queue(ID).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("2 messages wait"),
        "{error:#}"
    );
    let (_, tag) = take(&mut deliveries, 2).await;
    fixture.broker.delete_queue(ID).await.unwrap();
    assert_eq!(fixture.count().await, 0);
    deliveries.acknowledge(tag).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, deliveries.next())
        .await
        .expect(NEVER)
        .unwrap();
    assert_eq!(ended, None);
    assert_eq!(
        fixture.publish(FIRST, "late").await,
        PublishOutcome::Rejected
    );
    assert!(fixture.broker.put_marker(ID, 1).await.is_err());
}

#[tokio::test]
async fn giving_up_waiting_loses_nothing() {
    let fixture = Fixture::new(limited(4, 1_000)).await;
    let publisher = fixture.publisher.clone();
    let publishing = tokio::spawn(async move {
        for number in 0..100 {
            publisher
                .publish(ID, FIRST, number.to_string().into())
                .await;
        }
    });
    let mut deliveries = consume(&fixture.broker).await;
    let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while seen.len() < 100 {
        assert!(Instant::now() < deadline, "{} came", seen.len());
        // Given up at every point there is, the one after the other.
        for most_polls in 0..12 {
            let Some(delivery) = within_polls(&mut deliveries, most_polls).await else {
                continue;
            };
            seen.push(String::from_utf8(delivery.body).unwrap());
            deliveries.acknowledge(delivery.tag).await.unwrap();
        }
    }
    publishing.await.unwrap();
    assert_eq!(
        seen,
        (0..100)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
}

async fn within_polls(deliveries: &mut Box<dyn Deliveries>, most: usize) -> Option<Delivery> {
    let mut waiting = pin!(deliveries.next());
    for _ in 0..most {
        if let std::task::Poll::Ready(delivery) = poll!(&mut waiting) {
            return delivery.unwrap();
        }
        tokio::time::sleep(Duration::from_micros(10)).await;
    }
    None
}

#[tokio::test]
async fn publishers_on_runtimes_of_their_own_wake_the_consumer_and_keep_their_order() {
    const EACH: usize = 50;
    let fixture = Fixture::new(limited(16, 1_000)).await;
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let publisher = fixture
                .broker
                .publisher(Ack::Confirmed, &format!("thread-{thread}"));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    for number in 0..EACH {
                        let body = format!("{thread} {number}").into_bytes();
                        assert_eq!(
                            publisher.publish(ID, FIRST, body).await,
                            PublishOutcome::Accepted
                        );
                    }
                });
            })
        })
        .collect();
    let mut deliveries = consume(&fixture.broker).await;
    let mut bodies = Vec::new();
    while bodies.len() < 4 * EACH {
        let (one, tag) = take(&mut deliveries, 1).await;
        bodies.extend(one);
        deliveries.acknowledge(tag).await.unwrap();
    }
    for thread in 0..4 {
        let of_thread: Vec<_> = bodies
            .iter()
            .filter_map(|body| body.strip_prefix(&format!("{thread} ")))
            .collect();
        assert_eq!(
            of_thread,
            (0..EACH)
                .map(|number| number.to_string())
                .collect::<Vec<_>>()
        );
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_keep_and_is_found_free_again() {
    let fixture = Fixture::new(MqConfig::default()).await;
    fixture.publish_all(&["a"]).await;
    fixture.execute("PRAGMA max_page_count = 16").await;
    let big = "x".repeat(1 << 20);
    assert_eq!(fixture.publish(FIRST, &big).await, PublishOutcome::NotSent);
    fixture.execute("PRAGMA max_page_count = 1000000").await;
    fixture.until_connected().await;
    fixture.publish_all(&[&big]).await;
    assert_eq!(
        take(&mut consume(&fixture.broker).await, 2).await.0,
        ["a".to_owned(), big]
    );
}

#[tokio::test]
async fn nothing_can_be_sent_while_nothing_can_be_written_and_acknowledgements_are_made_up_for() {
    let fixture = Fixture::new(MqConfig::default()).await;
    fixture.publish_all(&["a", "b"]).await;
    let mut deliveries = consume(&fixture.broker).await;
    let (_, tag) = take(&mut deliveries, 1).await;
    fixture
        .execute("ALTER TABLE queue_bindings RENAME TO elsewhere")
        .await;
    assert_eq!(fixture.publish(FIRST, "c").await, PublishOutcome::NotSent);
    assert!(!fixture.publisher.is_connected() && fixture.broker.is_connected());
    deliveries.acknowledge(tag).await.unwrap();
    drop(deliveries);
    fixture
        .execute("ALTER TABLE elsewhere RENAME TO queue_bindings")
        .await;
    fixture.until_connected().await;
    fixture.publish_all(&["d"]).await;
    assert_eq!(fixture.count().await, 2, "the acknowledged one is gone");
    assert_eq!(
        take(&mut consume(&fixture.broker).await, 2).await.0,
        ["b", "d"]
    );
}
