//! What is accepted and what is rejected, and when its publisher is told.

use super::*;

#[tokio::test]
async fn a_message_brings_the_name_of_its_span_and_one_without_brings_none() {
    let fixture = Fixture::new(MqConfig::default()).await;
    let mut deliveries = consume(&fixture.broker).await;
    for traceparent in [Some("00-a-b-01".to_owned()), None] {
        let publishing = fixture
            .publisher
            .publish(ID, FIRST, b"a".to_vec(), traceparent.clone());
        assert_eq!(publishing.await, PublishOutcome::Accepted);
        assert_eq!(next(&mut deliveries).await.traceparent, traceparent);
    }
}

#[tokio::test]
async fn a_generation_that_is_not_bound_is_rejected_and_a_marker_is_not() {
    let fixture = Fixture::new(MqConfig::default()).await;
    assert_eq!(
        fixture.publish(Generation(2), "early").await,
        PublishOutcome::Unroutable
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
        PublishOutcome::Unroutable
    );
    assert_eq!(
        fixture.publish(Generation(2), "late").await,
        PublishOutcome::Unroutable
    );
    assert!(fixture.broker.put_marker(ID, 1).await.unwrap());
    assert!(
        !fixture.broker.put_marker(OTHER, 1).await.unwrap(),
        "there is no such queue"
    );
    assert_eq!(fixture.count().await, 2);
}

#[tokio::test]
async fn a_full_queue_rejects_until_something_was_acknowledged() {
    let fixture = Fixture::new(limited(64, 3)).await;
    fixture.broker.declare_queue(OTHER).await.unwrap();
    fixture.broker.bind(OTHER, FIRST).await.unwrap();
    assert_eq!(
        fixture
            .publisher
            .publish(OTHER, FIRST, b"elsewhere".to_vec(), None)
            .await,
        PublishOutcome::Accepted
    );
    assert_eq!(
        fixture.publish(Generation(9), "not bound").await,
        PublishOutcome::Unroutable
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
                    .publish(ID, Generation(generation), body.into(), None)
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
    let (yes, full) = (PublishOutcome::Accepted, PublishOutcome::Rejected);
    let nowhere = PublishOutcome::Unroutable;
    assert_eq!(outcomes, [yes, nowhere, yes, yes, nowhere, yes, yes, full]);
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
        hasty.publish(ID, FIRST, b"hasty".to_vec(), None).await,
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
                            publisher.publish(ID, FIRST, body, None).await,
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
