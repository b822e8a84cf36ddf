//! One consumer at a time, in order, and nothing lost whatever becomes of it.

use super::*;

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
async fn giving_up_waiting_loses_nothing() {
    let fixture = Fixture::new(limited(4, 1_000)).await;
    let publisher = fixture.publisher.clone();
    let publishing = tokio::spawn(async move {
        for number in 0..100 {
            publisher
                .publish(ID, FIRST, number.to_string().into(), None)
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
        PublishOutcome::Unroutable
    );
    assert!(!fixture.broker.put_marker(ID, 1).await.unwrap());
    let binding = fixture.broker.bind(ID, FIRST).await;
    assert!(binding.is_err(), "it is not made anew by being bound");
    assert!(!fixture.broker.has_queue(ID).await.unwrap());
    fixture.broker.declare_queue(ID).await.unwrap();
    assert!(fixture.broker.has_queue(ID).await.unwrap());
    assert_eq!(
        fixture.publish(FIRST, "late").await,
        PublishOutcome::Unroutable,
        "it is bound to nothing"
    );
}
