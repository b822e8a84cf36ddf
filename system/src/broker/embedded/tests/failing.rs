//! A process that dies, and a file that cannot be written.

use super::*;

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
        publisher.publish(ID, FIRST, b"d".to_vec(), None).await,
        PublishOutcome::Accepted
    );
    assert_eq!(take(&mut deliveries, 1).await.0, ["d"]);
}
