//! What only a real broker can say: how a consumer gives a queue up, what queues are declared with,
//! and that they can be deleted.

mod frames;

use super::*;
use crate::broker::contract::{PublishOutcome, Publisher};
use crate::config::Ack;
use crate::shutdown::Shutdown;
use crate::supervisor::Supervisor;
use crate::telemetry::TRACEPARENT;
use frames::{FrameProxy, Method};
use servers::RabbitMqServer;
use std::time::Duration;

const ID: IncarnationId = IncarnationId(7);
const FIRST: Generation = Generation::FIRST;
/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(url: String, queue_type: QueueType) -> MqConfig {
    MqConfig {
        url,
        queue_type,
        ..MqConfig::default()
    }
}

async fn connected(config: &MqConfig) -> AmqpBroker {
    AmqpBroker::connect(config, "test").await.unwrap()
}

async fn within<T>(waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("in time")
}

/// one-consumer-per-queue (R4): a cancel would make the next consumer active while messages are
/// unacknowledged here.
#[tokio::test]
async fn a_consumer_gives_its_queue_up_by_closing_the_channel_and_never_by_a_cancel() {
    let Some(server) = RabbitMqServer::start().await else {
        return;
    };
    let direct = connected(&config(server.url(), QueueType::Classic)).await;
    assert!(direct.declare_queue(ID).await.unwrap());
    assert!(direct.put_marker(ID, 1).await.unwrap());
    let proxy = FrameProxy::start(&server.url()).await;
    let through = connected(&config(proxy.url(), QueueType::Classic)).await;
    // It is told to end, its task is aborted, or its runtime goes: each leaves a message
    // unacknowledged, and the next consumer gets it.
    for is_told in [true, false] {
        let mut deliveries = through.consume(ID).await.unwrap();
        within(deliveries.next())
            .await
            .unwrap()
            .expect("the marker");
        let before = proxy.count(Method::CHANNEL_CLOSE);
        match is_told {
            true => deliveries.close().await,
            false => drop(deliveries),
        }
        within(proxy.until_more(Method::CHANNEL_CLOSE, before)).await;
    }
    let mut deliveries = through.consume(ID).await.unwrap();
    within(deliveries.next())
        .await
        .unwrap()
        .expect("the marker");
    std::thread::spawn(move || drop(deliveries)).join().unwrap();
    through.close("done").await;
    let mut deliveries = direct.consume(ID).await.unwrap();
    within(deliveries.next())
        .await
        .unwrap()
        .expect("the marker");
    assert_eq!(proxy.count(Method::BASIC_CONSUME), 3, "it reads frames");
    assert_eq!(proxy.count(Method::BASIC_CANCEL), 0);
}

#[tokio::test]
async fn a_quorum_queue_has_no_delivery_limit_and_neither_type_drops() {
    let Some(server) = RabbitMqServer::start().await else {
        return;
    };
    for queue_type in [QueueType::Classic, QueueType::Quorum] {
        let config = config(server.url(), queue_type);
        let broker = connected(&config).await;
        let id = IncarnationId(10 + queue_type as i64);
        assert!(broker.declare_queue(id).await.unwrap());
        assert!(broker.declare_queue(id).await.unwrap(), "idempotent");
        let is_quorum = queue_type == QueueType::Quorum;
        let others = [
            (
                "x-overflow",
                AMQPValue::LongString("drop-head".into()),
                "'reject-publish'",
            ),
            ("x-max-length", AMQPValue::LongLongInt(7), "'100000'"),
            (
                "x-single-active-consumer",
                AMQPValue::Boolean(false),
                "'true'",
            ),
            ("x-delivery-limit", AMQPValue::LongInt(20), "'2147483647'"),
        ];
        // The broker says what the queue has when something else is asked of it.
        for (name, other, has) in others {
            if name == "x-delivery-limit" && !is_quorum {
                continue;
            }
            let mut arguments = queue_arguments(&config);
            arguments.insert(name.into(), other);
            let queue = broker.names.order_queue(id);
            let refused = broker
                .channel()
                .await
                .unwrap()
                .queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments)
                .await
                .unwrap_err()
                .to_string();
            assert!(
                refused.contains("PRECONDITION")
                    && refused.contains(&format!("inequivalent arg '{name}'"))
                    && refused.contains(has),
                "{refused}"
            );
        }
    }
}

/// Whoever traces reads it, and nobody else is disturbed by it, whatever it is.
#[tokio::test]
async fn a_message_brings_the_name_of_its_span_and_one_with_another_header_there_comes_all_the_same()
 {
    let Some(server) = RabbitMqServer::start().await else {
        return;
    };
    let config = config(server.url(), QueueType::Classic);
    let broker = connected(&config).await;
    let (_stop, asked) = Shutdown::channel();
    let (supervisor, _ends) = Supervisor::new();
    let publisher = AmqpPublisher::start(&config, Ack::Confirmed, "test", (&supervisor, &asked));
    let publisher = publisher.await.unwrap();
    assert!(broker.declare_queue(ID).await.unwrap());
    broker.bind(ID, FIRST).await.unwrap();
    for traceparent in [None, Some("00-a-b-01".to_owned())] {
        let publishing = publisher.publish(ID, FIRST, b"orders".to_vec(), traceparent);
        assert_eq!(within(publishing).await, PublishOutcome::Accepted);
    }
    let mut headers = FieldTable::default();
    headers.insert(TRACEPARENT.into(), AMQPValue::LongInt(7));
    let channel = confirming_channel(&broker.connection).await.unwrap();
    let (exchange, queue) = (ShortString::default(), broker.names.order_queue(ID));
    let properties = properties(envelope::ORDER_BATCH_TYPE, "odd".to_owned());
    let sent = channel.basic_publish(
        exchange,
        queue.into(),
        BasicPublishOptions::default(),
        b"orders",
        properties.with_headers(headers),
    );
    within(sent).await.unwrap().await.unwrap();
    let mut deliveries = broker.consume(ID).await.unwrap();
    for expected in [None, Some("00-a-b-01"), None] {
        let taken = within(deliveries.next()).await.unwrap().expect("orders");
        assert_eq!(taken.body, b"orders");
        assert_eq!(taken.traceparent.as_deref(), expected);
    }
}

/// exclusive-route (R6): of both types, empty, with a consumer or without, and never with messages
/// that nobody has taken.
#[tokio::test]
async fn a_queue_of_either_type_is_deleted_only_when_nothing_waits_and_a_late_message_comes_back() {
    let Some(server) = RabbitMqServer::start().await else {
        return;
    };
    for queue_type in [QueueType::Classic, QueueType::Quorum] {
        let config = config(server.url(), queue_type);
        let broker = connected(&config).await;
        let (_stop, asked) = Shutdown::channel();
        let (supervisor, _ends) = Supervisor::new();
        let publisher =
            AmqpPublisher::start(&config, Ack::Confirmed, "test", (&supervisor, &asked));
        let publisher = publisher.await.unwrap();
        let publish = || within(publisher.publish(ID, FIRST, b"orders".to_vec(), None));
        broker.delete_queue(ID).await.expect("none is fine");
        broker.unbind(ID, FIRST).await.expect("none is fine");
        assert!(!broker.has_queue(ID).await.unwrap());
        assert!(!broker.put_marker(ID, 1).await.unwrap());
        assert!(broker.bind(ID, FIRST).await.is_err(), "it is not made anew");
        assert_eq!(publish().await, PublishOutcome::Unroutable);
        assert!(broker.declare_queue(ID).await.unwrap());
        assert!(broker.has_queue(ID).await.unwrap());
        assert_eq!(publish().await, PublishOutcome::Unroutable, "not bound");
        broker.bind(ID, FIRST).await.unwrap();
        assert_eq!(publish().await, PublishOutcome::Accepted);
        let refused = broker.delete_queue(ID).await.unwrap_err();
        assert!(
            format!("{refused:#}").contains("1 messages wait"),
            "{refused:#}"
        );
        assert!(broker.is_connected(), "the refusal is our own");
        let mut deliveries = broker.consume(ID).await.unwrap();
        let taken = within(deliveries.next()).await.unwrap().expect("orders");
        deliveries.acknowledge(taken.tag).await.unwrap();
        broker.unbind(ID, FIRST).await.unwrap();
        assert_eq!(publish().await, PublishOutcome::Unroutable, "late");
        broker.delete_queue(ID).await.unwrap();
        assert_eq!(within(deliveries.next()).await.unwrap(), None);
        assert!(!broker.has_queue(ID).await.unwrap());
    }
}
