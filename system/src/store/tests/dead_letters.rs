//! What is parked, replayed and discarded: idempotent, by two at once, and final where it has to be.

use super::parking::{batch, poison};
use super::writing::{SALE, open_sale, order};
use super::*;
use crate::envelope::{self, ORDER_BATCH_TYPE, OrderEvent};
use crate::ids::Generation;
use crate::store::dead_letters::OpenDeadLetters;
use crate::store::parking::MAX_BODY;
use engines::{IncarnationId, OrderId};

on_both!(
    a_replay_writes_once_what_can_be_read_whoever_does_it_and_however_often,
    an_order_of_a_closed_epoch_is_refused_for_good_and_never_adopted,
    a_refused_order_stays_open_until_it_is_discarded,
    what_is_not_valid_keeps_its_message_open_and_the_rest_is_written,
    what_cannot_be_replayed_says_why,
    the_expiry_looks_again_at_what_was_written_late,
    the_list_goes_page_by_page_and_the_oldest_age_is_known,
);

/// Parks a message of these orders as if its consumer had not known its type; the record's id.
async fn parked(store: &Store, incarnation: IncarnationId, orders: &[OrderEvent]) -> i64 {
    let body = envelope::encode_orders(incarnation, Generation(1), orders);
    kept(store, incarnation, ORDER_BATCH_TYPE, &body).await
}

async fn kept(store: &Store, incarnation: IncarnationId, kind: &str, body: &[u8]) -> i64 {
    let poison = Poison {
        kind: kind.to_owned(),
        ..poison("m", body)
    };
    let session = crate::ids::ConsumerSession(1);
    let batch = WriteBatch {
        session: Some(session),
        ..batch(incarnation, vec![poison])
    };
    store.write(&batch).await.unwrap();
    store.number("SELECT MAX(id) FROM parked").await
}

async fn replayed(store: &Store, id: i64) -> (Vec<(i64, Fate)>, Ending) {
    let replayed = store.replay(id, false).await.unwrap().expect("it is there");
    let orders = replayed.orders.into_iter();
    let orders = orders.map(|(order, fate)| (order.order.0, fate));
    (orders.collect(), replayed.ending)
}

async fn live(store: &Store) -> i64 {
    let sql = "SELECT COUNT(*) FROM orders WHERE live = 1";
    store.number(sql).await
}

async fn a_replay_writes_once_what_can_be_read_whoever_does_it_and_however_often(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let orders = [1, 2, 2, 3].map(|id| order(id, allocation, 1));
    let id = parked(&store, incarnation, &orders).await;
    let (one, other) = tokio::join!(replayed(&store, id), replayed(&store, id));
    let (first, second) = match one.1 {
        Ending::Resolved(_) => (one, other),
        _ => (other, one),
    };
    let written = [1, 2, 3].map(|id| (id, Fate::Written));
    let how = "replayed: orders 3 written".to_owned();
    assert_eq!(first, (written.to_vec(), Ending::Resolved(how.clone())));
    assert!(second.0.is_empty());
    assert!(matches!(&second.1, Ending::WasResolved(at, said) if *at > 0 && *said == how));
    assert_eq!(live(&store).await, 3);
    assert_eq!(store.number("SELECT sold FROM allocations").await, 3);
    // drain-in-one-session (R5): a marker of the real consumer still proves what it proved.
    let sql = "SELECT consumer_session FROM incarnations";
    assert_eq!(store.number(sql).await, 0);
    // Parked once more, after another consumer has written them and one was cancelled.
    store
        .change("UPDATE orders SET status = 2, live = NULL WHERE order_id = 2")
        .await;
    assert_eq!(parked(&store, incarnation, &orders).await, id, "open again");
    let (orders, ending) = replayed(&store, id).await;
    assert_eq!(orders, [1, 2, 3].map(|id| (id, Fate::HasRow)));
    let how = "replayed: orders 3 had their row".to_owned();
    assert_eq!(ending, Ending::Resolved(how));
    assert_eq!(
        (
            live(&store).await,
            store.number("SELECT sold FROM allocations").await
        ),
        (2, 3)
    );
    assert!(store.replay(id + 1, false).await.unwrap().is_none());
    assert!(store.discard(id + 1, "why").await.unwrap().is_none());
}

async fn an_order_of_a_closed_epoch_is_refused_for_good_and_never_adopted(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let one = order(1, allocation, 1);
    let id = parked(&store, incarnation, &[one, order(2, allocation, 1)]).await;
    let orders = vec![one];
    let written = WriteBatch {
        incarnation,
        orders,
        ..WriteBatch::default()
    };
    store.write(&written).await.unwrap();
    let epoch = store.claim_epoch(SALE).await.unwrap().unwrap();
    store.grant(SALE, epoch).await.unwrap().unwrap();
    let (orders, ending) = replayed(&store, id).await;
    let reason = format!("allocation {allocation} is closed or has fewer than 1 units left");
    let fates = [(1, Fate::HasRow), (2, Fate::Refused(reason.clone()))];
    assert_eq!(orders, fates);
    let how = format!("replayed: orders 1 had their row, 1 refused (order 2: {reason})");
    assert_eq!(ending, Ending::Resolved(how));
    let void = "SELECT COUNT(*) FROM orders WHERE order_id = 2 AND status = 4 AND live IS NULL";
    assert_eq!(store.number(void).await, 1);
    let open = "SELECT sold FROM allocations WHERE state = 'open'";
    assert_eq!((live(&store).await, store.number(open).await), (1, 0));
    // Whatever is done about it, it stays void.
    parked(&store, incarnation, &[one, order(2, allocation, 1)]).await;
    let (orders, _) = replayed(&store, id).await;
    assert_eq!(orders, [(1, Fate::HasRow), (2, Fate::Void)]);
}

async fn a_refused_order_stays_open_until_it_is_discarded(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let orders = vec![order(1, allocation, 11)];
    let refused = WriteBatch {
        incarnation,
        orders,
        ..WriteBatch::default()
    };
    store.write(&refused).await.unwrap();
    let id = store.number("SELECT id FROM parked").await;
    let why = format!(
        "it was refused: allocation {allocation} is closed or has fewer than 11 units left"
    );
    for _ in 0..2 {
        let (orders, ending) = replayed(&store, id).await;
        assert_eq!(orders, [(1, Fate::Void)]);
        assert_eq!(ending, Ending::Open(why.clone()));
    }
    let (one, other) = tokio::join!(store.discard(id, "one"), store.discard(id, "other"));
    let ends = [one.unwrap().unwrap(), other.unwrap().unwrap()];
    let resolved = ends.iter().find_map(|end| match end {
        Ending::Resolved(how) => Some(how.clone()),
        _ => None,
    });
    let resolved = resolved.expect("one of them did it");
    let told = |end: &Ending| matches!(end, Ending::WasResolved(_, how) if *how == resolved);
    assert_eq!(ends.iter().filter(|end| told(end)).count(), 1, "{ends:?}");
    let (orders, ending) = replayed(&store, id).await;
    assert!(orders.is_empty() && told(&ending));
    assert_eq!(live(&store).await, 0);
}

async fn what_is_not_valid_keeps_its_message_open_and_the_rest_is_written(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let mixed = [order(1, allocation, 1), order(2, allocation, 0)];
    let id = parked(&store, incarnation, &mixed).await;
    let why = "1 of its orders are not valid, the first of them order 2: quantity must be positive, got 0";
    for fate in [Fate::Written, Fate::HasRow] {
        let (orders, ending) = replayed(&store, id).await;
        assert_eq!(orders, [(1, fate)]);
        assert_eq!(ending, Ending::Open(why.to_owned()));
    }
    assert_eq!(live(&store).await, 1);
}

async fn what_cannot_be_replayed_says_why(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let valid = envelope::encode_order(order(7, allocation, 1));
    for (kind, body, why) in [
        (ORDER_BATCH_TYPE, &[0xff; 40][..], "undecodable order batch"),
        ("", b"one", "message has no type"),
        (
            "order.batch.v9",
            b"words",
            "unknown message type \"order.batch.v9\"",
        ),
        // A foreign message is not taken for one of the system's own records.
        ("\"order\"", &valid, "unknown message type"),
        (Poison::ORDER, &[], "order_id must be positive, got 0"),
        (Poison::BEYOND, &[], "nothing of that was kept"),
        (Poison::QUEUE_LOST, &[], "nothing is left to replay"),
        (
            ORDER_BATCH_TYPE,
            &vec![0; MAX_BODY],
            "only the first 1048576 bytes",
        ),
    ] {
        let id = kept(&store, incarnation, kind, body).await;
        let (orders, ending) = replayed(&store, id).await;
        assert!(orders.is_empty());
        assert!(
            matches!(&ending, Ending::Open(said) if said.contains(why)),
            "{ending:?}"
        );
    }
    let nonce = envelope::encode_marker(7);
    let marker = kept(&store, incarnation, envelope::MARKER_TYPE, &nonce).await;
    assert!(matches!(
        replayed(&store, marker).await.1,
        Ending::Resolved(_)
    ));
    assert_eq!(store.marker_session(7).await.unwrap(), None);
    assert_eq!(store.open_dead_letters().await.unwrap().open, 8);
}

async fn the_expiry_looks_again_at_what_was_written_late(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let place = "SELECT order_id FROM sweeps WHERE name = 'expiry'";
    for (order_id, was, becomes) in [(50, 100, 49), (51, 51, 50), (200, 100, 99)] {
        let set = format!("UPDATE sweeps SET order_id = {was} WHERE name = 'expiry'");
        store.change(&set).await;
        let orders = [order(order_id, allocation, 1)];
        let id = parked(&store, incarnation, &orders).await;
        replayed(&store, id).await;
        assert_eq!(store.number(place).await, becomes, "order {order_id}");
        // Nothing was written, so nothing has to be looked at.
        parked(&store, incarnation, &orders).await;
        replayed(&store, id).await;
        assert_eq!(store.number(place).await, becomes);
    }
}

async fn the_list_goes_page_by_page_and_the_oldest_age_is_known(url: String) {
    let (store, incarnation, _) = open_sale(&url).await;
    assert_eq!(
        store.open_dead_letters().await.unwrap(),
        OpenDeadLetters::default()
    );
    let bodies = (0..1_200_u32).map(|number| poison("m", &number.to_be_bytes()));
    store
        .write(&batch(incarnation, bodies.collect()))
        .await
        .unwrap();
    let second = store.dead_letters(0, false).await.unwrap()[1].id;
    store.discard(second, "why").await.unwrap();
    for (resolved_too, expected) in [(false, 1_199), (true, 1_200)] {
        let mut found = Vec::new();
        loop {
            let after = found.last().map_or(0, |letter: &DeadLetter| letter.id);
            match store.dead_letters(after, resolved_too).await.unwrap() {
                page if page.is_empty() => break,
                page => found.extend(page),
            }
        }
        assert_eq!(found.len(), expected);
        let resolved: Vec<_> = found
            .iter()
            .filter(|letter| letter.resolved_at_ms.is_some())
            .collect();
        assert_eq!(resolved.len(), expected - 1_199);
        assert!(
            resolved
                .iter()
                .all(|letter| letter.resolution == "discarded: why")
        );
        assert!(
            found
                .iter()
                .all(|letter| letter.body_bytes == 4 && letter.order_id == OrderId(0))
        );
    }
    let hour_ago = "UPDATE parked SET created_at_ms = created_at_ms - 3600000";
    store.change(hour_ago).await;
    let open = store.open_dead_letters().await.unwrap();
    assert!(
        open.open == 1_199 && (3_600_000..4_000_000).contains(&open.oldest_age_ms),
        "{open:?}"
    );
    let whole = store.dead_letter(second).await.unwrap().expect("there");
    assert_eq!((whole.body.len(), whole.letter.count), (4, 1));
}
