//! The rows of consumers.

use super::*;

on_both!(
    a_consumer_is_there_until_it_leaves_and_others_see_it_beat,
    only_a_consumer_that_has_not_beaten_since_is_taken_away,
    consumers_of_another_kind_are_nobody_of_ours,
);

const KIND: &str = "create-consumer";

async fn a_consumer_is_there_until_it_leaves_and_others_see_it_beat(url: String) {
    let store = migrated(&url).await;
    assert_eq!(store.consumers(KIND).await.unwrap(), []);
    let first = store.join_consumers(KIND, "").await.unwrap();
    let second = store.join_consumers(KIND, "3").await.unwrap();
    assert!(second > first);
    assert!(store.beat_of_consumer(first, "1 2").await.unwrap());
    let life = |id, beats| ConsumerLife { id, beats };
    let lives = [life(first, 1), life(second, 0)];
    assert_eq!(store.consumers(KIND).await.unwrap(), lives);
    let consumed = "SELECT COUNT(*) FROM consumers WHERE queue = '1 2' AND NOT heartbeat_at_ms = 0";
    assert_eq!(store.number(consumed).await, 1);
    store.leave_consumers(first).await.unwrap();
    assert_eq!(store.consumers(KIND).await.unwrap(), [life(second, 0)]);
    assert!(!store.beat_of_consumer(first, "").await.unwrap());
    let third = store.join_consumers(KIND, "").await.unwrap();
    assert!(third > second);
    store.leave_consumers(third).await.unwrap();
    let fourth = store.join_consumers(KIND, "").await.unwrap();
    assert!(fourth > third, "ids never come back");
}

async fn only_a_consumer_that_has_not_beaten_since_is_taken_away(url: String) {
    let store = migrated(&url).await;
    let id = store.join_consumers(KIND, "").await.unwrap();
    let silent = store.consumers(KIND).await.unwrap()[0];
    assert!(store.beat_of_consumer(id, "").await.unwrap());
    assert!(!store.forget_consumer(silent).await.unwrap(), "it lives");
    let silent = store.consumers(KIND).await.unwrap()[0];
    assert!(store.forget_consumer(silent).await.unwrap());
    assert!(!store.forget_consumer(silent).await.unwrap(), "it is gone");
    assert!(!store.beat_of_consumer(id, "").await.unwrap());
    let newer = store.join_consumers(KIND, "").await.unwrap();
    store.rejoin_consumers(id, KIND, "1").await.unwrap();
    assert!(store.beat_of_consumer(id, "1").await.unwrap());
    let lives = store.consumers(KIND).await.unwrap();
    let ids: Vec<_> = lives.iter().map(|life| life.id).collect();
    assert_eq!(ids, [id, newer], "it has its place again");
    let newest = store.join_consumers(KIND, "").await.unwrap();
    assert!(newest > newer);
}

async fn consumers_of_another_kind_are_nobody_of_ours(url: String) {
    let store = migrated(&url).await;
    let other = store.join_consumers("another", "").await.unwrap();
    assert_eq!(store.consumers(KIND).await.unwrap(), []);
    let others = store.consumers("another").await.unwrap();
    let expected = ConsumerLife {
        id: other,
        beats: 0,
    };
    assert_eq!(others, [expected]);
}
