//! What is parked: one record for each body, a bound on how many, and records from before.

use super::writing::{SALE, open_sale, order};
use super::*;
use crate::ids::ConsumerSession;
use crate::store::parking::{KEPT_MAX, MAX_BODY};
use engines::{IncarnationId, OrderId};

on_both!(
    ten_thousand_of_one_body_are_one_record_and_of_another_type_another,
    what_is_seen_again_is_open_again,
    what_is_one_too_many_is_counted_in_one_record_and_blocks_as_before,
    large_bodies_are_cut_and_do_not_go_into_one_statement,
    a_lost_queue_and_an_empty_message_are_two_records,
    records_from_before_are_kept_and_none_is_merged_with_another,
);

pub(super) fn poison(message_id: &str, body: &[u8]) -> Poison {
    Poison {
        message_id: message_id.to_owned(),
        order: Poison::WHOLE_MESSAGE,
        kind: "order.create".to_owned(),
        reason: "unreadable".to_owned(),
        body: body.to_vec(),
    }
}

pub(super) fn batch(incarnation: IncarnationId, poison: Vec<Poison>) -> WriteBatch {
    WriteBatch {
        incarnation,
        poison,
        ..WriteBatch::default()
    }
}

async fn ten_thousand_of_one_body_are_one_record_and_of_another_type_another(url: String) {
    let (store, incarnation, _) = open_sale(&url).await;
    for part in 0..20 {
        let ids = (0..500).map(|number| format!("{part}-{number}"));
        let poisons = ids.map(|id| poison(&id, b"the same")).collect();
        store.write(&batch(incarnation, poisons)).await.unwrap();
    }
    let sql = "SELECT COUNT(*), CAST(SUM(count) AS SIGNED) FROM parked";
    let kept: Option<(i64, i64)> = store.database.row(sql, NO_ARGS).await.unwrap();
    assert_eq!(kept, Some((1, 10_000)));
    let message =
        "SELECT COUNT(*) FROM parked WHERE message_id = '0-0' AND seen_at_ms >= created_at_ms";
    assert_eq!(store.number(message).await, 1, "that of the first");
    let other_type = Poison {
        kind: "order.cancel".to_owned(),
        ..poison("0-0", b"the same")
    };
    let others = vec![other_type, poison("0-0", b"The same")];
    store.write(&batch(incarnation, others)).await.unwrap();
    assert_eq!(store.number("SELECT COUNT(*) FROM parked").await, 3);
}

async fn what_is_seen_again_is_open_again(url: String) {
    let (store, incarnation, _) = open_sale(&url).await;
    let again = batch(incarnation, vec![poison("m", b"b")]);
    store.write(&again).await.unwrap();
    store
        .change("UPDATE parked SET resolved = 1, resolved_at_ms = 7, resolution = 'discarded'")
        .await;
    store.write(&again).await.unwrap();
    let open = "SELECT count FROM parked WHERE resolved = 0 AND resolved_at_ms IS NULL AND resolution = ''";
    assert_eq!(store.number(open).await, 2);
}

async fn what_is_one_too_many_is_counted_in_one_record_and_blocks_as_before(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let bodies = |numbers: std::ops::Range<usize>| -> Vec<_> {
        let bodies = numbers.map(|number| number.to_string());
        bodies.map(|body| poison("m", body.as_bytes())).collect()
    };
    for start in (0..KEPT_MAX - 2).step_by(1_000) {
        let end = (start + 1_000).min(KEPT_MAX - 2);
        store
            .write(&batch(incarnation, bodies(start..end)))
            .await
            .unwrap();
    }
    // An order that is refused and one message more are kept, the seven known ones counted where they
    // are, and the others only counted.
    let mut last = batch(incarnation, bodies(KEPT_MAX - 9..KEPT_MAX + 5));
    last.poison.push(last.poison[13].clone());
    last.orders.push(order(1, allocation, 11));
    last.copies = true;
    store.write(&last).await.unwrap();
    // Listeners are told of what is kept: seven known ones, the message and the order.
    assert_eq!(store.number("SELECT COUNT(*) FROM outbox").await, 9);
    let kept = KEPT_MAX as i64 + 1;
    assert_eq!(store.number("SELECT COUNT(*) FROM parked").await, kept);
    let twice = "SELECT COUNT(*) FROM parked WHERE count = 2 AND kind = 'order.create'";
    assert_eq!(store.number(twice).await, 7);
    let sql = "SELECT count, order_id, reason FROM parked WHERE kind = 'beyond'";
    let beyond: Vec<(i64, OrderId, String)> = store.database.rows(sql, NO_ARGS).await.unwrap();
    let reason = "what came when 10000 were open is only counted; the first: ";
    assert_eq!(beyond.len(), 1);
    assert_eq!((beyond[0].0, beyond[0].1), (7, Poison::WHOLE_MESSAGE));
    assert!(beyond[0].2.starts_with(reason), "{beyond:?}");
    let void = "SELECT COUNT(*) FROM orders WHERE order_id = 1 AND status = 4";
    assert_eq!(store.number(void).await, 1);
    // Another publisher has room of its own, and what is resolved makes room.
    let mut elsewhere = batch(IncarnationId(incarnation.0 + 1), bodies(0..1));
    elsewhere.session = Some(ConsumerSession(1));
    store.write(&elsewhere).await.unwrap();
    assert_eq!(store.number("SELECT COUNT(*) FROM parked").await, kept + 1);
    store.change("UPDATE parked SET resolved = 1").await;
    store
        .write(&batch(incarnation, bodies(KEPT_MAX + 5..KEPT_MAX + 6)))
        .await
        .unwrap();
    assert_eq!(store.number("SELECT COUNT(*) FROM parked").await, kept + 2);
    assert_eq!(store.sales().await.unwrap()[0].sale, SALE);
}

async fn large_bodies_are_cut_and_do_not_go_into_one_statement(url: String) {
    let (store, incarnation, _) = open_sale(&url).await;
    let bodies = (0..18_u8).map(|number| [vec![0; MAX_BODY], vec![number]].concat());
    let poisons = bodies.map(|body| poison("m", &body)).collect();
    let mut batch = batch(incarnation, poisons);
    batch.copies = true;
    store.write(&batch).await.unwrap();
    // Copies are read so many at a time as a process can hold.
    let page = store.copies_left(0, 500).await.unwrap();
    assert_eq!(page.len(), 8);
    let next = store.copies_left(page[7].id, 500).await.unwrap();
    assert_eq!((next.len(), next[0].id > page[7].id), (8, true));
    let sql = format!("SELECT COUNT(*) FROM parked WHERE LENGTH(body) = {MAX_BODY}");
    assert_eq!(
        store.number(&sql).await,
        18,
        "they differ in what was cut off"
    );
}

async fn a_lost_queue_and_an_empty_message_are_two_records(url: String) {
    let (store, incarnation, _) = open_sale(&url).await;
    let first = crate::ids::Generation(1);
    assert!(
        store
            .confirm_binding(incarnation, first, "q")
            .await
            .unwrap()
    );
    let queue = || Poison {
        message_id: "queue".to_owned(),
        ..poison("queue", b"")
    };
    store
        .write(&batch(incarnation, vec![queue()]))
        .await
        .unwrap();
    assert_eq!(
        store.suspect_lost_queue(incarnation).await.unwrap(),
        Some(true)
    );
    store
        .write(&batch(incarnation, vec![queue()]))
        .await
        .unwrap();
    let parked = store
        .parked_of(incarnation, ParkedOf::default())
        .await
        .unwrap();
    assert_eq!((parked.messages, parked.queue_is_in_doubt), (2, true));
    store.unsuspect_queue(incarnation).await.unwrap();
    let count = "SELECT count FROM parked";
    assert_eq!(store.number(count).await, 2);
    // Somebody has decided, and it happens again.
    assert!(store.queue_is_lost(incarnation).await.unwrap());
    let parked = store
        .parked_of(incarnation, ParkedOf::default())
        .await
        .unwrap();
    assert_eq!((parked.messages, parked.queue_is_in_doubt), (3, false));
    store.change("UPDATE parked SET resolved = 1").await;
    // That a node is down says nothing of what was decided.
    let suspected = store.suspect_lost_queue(incarnation).await.unwrap();
    assert_eq!(suspected, Some(true));
    let open = "SELECT COUNT(*) FROM parked WHERE resolved = 0";
    assert_eq!(store.number(open).await, 1);
    store.unsuspect_queue(incarnation).await.unwrap();
    assert_eq!(store.number(open).await, 0);
    store.suspect_lost_queue(incarnation).await.unwrap();
    assert!(!store.queue_is_lost(incarnation).await.unwrap());
    let lost = "SELECT count FROM parked WHERE kind = 'queue.lost' AND resolved = 0";
    assert_eq!(store.number(lost).await, 2);
    assert_eq!(store.number(open).await, 1, "nothing is in doubt any more");
    // A suspicion from before they were two records is taken back as well, by whoever can.
    let from_before = "UPDATE parked SET kind = 'queue.suspected' WHERE digest = 'queue'";
    store.change(from_before).await;
    assert!(store.queue_is_lost(incarnation).await.unwrap(), "it is new");
    let parked = store
        .parked_of(incarnation, ParkedOf::default())
        .await
        .unwrap();
    assert_eq!((parked.messages, parked.queue_is_in_doubt), (3, false));
    store.change(from_before).await;
    store.unsuspect_queue(incarnation).await.unwrap();
    assert_eq!(store.number(open).await, 0);
}

async fn records_from_before_are_kept_and_none_is_merged_with_another(url: String) {
    const VERSION: i64 = 2_026_112_721;
    let registry = Registry::standard();
    let store = Store::open(&config(&url)).unwrap();
    let before = schema::before(VERSION).unwrap();
    before.migrate(&store.database).await.unwrap();
    for (message_id, kind, digest) in [
        ("one", "order.create", "cbf29ce484222325"),
        ("other", "order.create", "cbf29ce484222325"),
        ("queue", "queue.lost", "cbf29ce484222325"),
    ] {
        let insert = format!(
            "INSERT INTO parked (incarnation, message_id, kind, reason, body, digest, created_at_ms)
             VALUES (1, '{message_id}', '{kind}', 'why', X'', '{digest}', 5)"
        );
        store.change(&insert).await;
    }
    store.close().await;
    let store = Store::migrate(&config(&url), &registry).await.unwrap();
    let sql = "SELECT message_id, digest, created_at_ms FROM parked ORDER BY id";
    let kept: Vec<(String, String, i64)> = store.database.rows(sql, NO_ARGS).await.unwrap();
    let expected = [
        ("one", "cbf29ce484222325:1"),
        ("other", "cbf29ce484222325:2"),
        ("queue", "queue"),
    ];
    let expected = expected.map(|(id, digest)| (id.to_owned(), digest.to_owned(), 5));
    assert_eq!(kept, expected);
}
