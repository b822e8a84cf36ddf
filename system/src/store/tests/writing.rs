//! The consumer's transaction, its ladder, and what publishers say of themselves.

use super::*;
use crate::envelope::OrderEvent;
use crate::ids::{Generation, WorkerId};
use crate::store::types::Written;
use engines::{AllocationId, Epoch, IncarnationId, Nonce, OrderId, SaleId, Term, UserId};
use std::sync::{Arc, Mutex};

on_both!(
    a_batch_is_written_once_however_often_it_comes,
    what_the_guard_refuses_is_parked_void_and_counted_and_the_rest_is_written,
    two_poisons_with_one_message_id_are_both_kept,
    a_hundred_that_are_parked_together_are_one_line,
    a_publisher_leaves_its_address_and_its_beats,
    only_a_publisher_that_has_not_beaten_since_is_fenced_for_its_silence,
    a_term_is_open_until_the_next_is_claimed,
);

pub(super) const SALE: SaleId = SaleId(7);

/// Ten units.
pub(super) fn sale() -> SeedSale {
    SeedSale {
        product_id: SALE,
        name: "shoes".to_owned(),
        price_cents: 100,
        total: 10,
        starts_at: 0,
        ends_at: 9,
    }
}

/// A sale of ten units with its first epoch granted, and a publisher.
pub(crate) async fn open_sale(url: &str) -> (Store, IncarnationId, AllocationId) {
    let store = migrated(url).await;
    let sale = sale();
    for _ in 0..2 {
        store.create_sale(&sale, 0).await.unwrap();
    }
    let epoch = store.claim_epoch(SALE).await.unwrap().unwrap();
    let snapshot = store.grant(SALE, epoch).await.unwrap().unwrap();
    assert_eq!((snapshot.granted, snapshot.buyers.len()), (10, 0));
    let publisher = register(&store).await.unwrap();
    (store, publisher, snapshot.allocation_id)
}

async fn register(store: &Store) -> Option<IncarnationId> {
    let publisher = Publisher {
        lease_ms: 3_000,
        deadline_ms: 1_500,
        address: "127.0.0.1:50053".to_owned(),
        label: "canary".to_owned(),
    };
    let registered = store.register(WorkerId(5), &publisher, 99).await;
    registered.unwrap()
}

pub(crate) fn order(number: i64, allocation: AllocationId, quantity: u32) -> OrderEvent {
    OrderEvent {
        order: OrderId(number),
        user: UserId(number + 1_000),
        sale: SALE,
        quantity,
        total_price_cents: i64::from(quantity) * 100,
        allocation,
        created_at_ms: 1,
    }
}

pub(super) fn ids(written: &Written) -> Vec<OrderId> {
    let live = written.live.iter();
    live.map(|order| order.order).collect()
}

async fn a_batch_is_written_once_however_often_it_comes(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let orders: Vec<_> = [1, 2, 2, 3].map(|id| order(id, allocation, 1)).into();
    let mut batch = WriteBatch {
        incarnation,
        orders,
        markers: vec![u64::MAX],
        ..WriteBatch::default()
    };
    let first = store.write(&batch).await.unwrap();
    assert_eq!(ids(&first), [OrderId(1), OrderId(2), OrderId(3)]);
    assert_eq!(first.fresh, 3);
    let marked = store.marker_session(u64::MAX).await.unwrap();
    assert_eq!(marked, Some(first.session));
    // Redelivered to the next consumer, with one more behind it.
    batch.orders.push(order(4, allocation, 1));
    let again = store.write(&batch).await.unwrap();
    assert_eq!(ids(&again), [4, 1, 2, 3].map(OrderId), "what is new first");
    assert_eq!(again.fresh, 1);
    assert_eq!(store.number("SELECT sold FROM allocations").await, 4);
    assert_eq!(store.number("SELECT COUNT(*) FROM parked").await, 0);
    let marked = store.marker_session(u64::MAX).await.unwrap();
    assert_eq!(marked, Some(first.session), "it keeps its first record");
}

async fn what_the_guard_refuses_is_parked_void_and_counted_and_the_rest_is_written(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let poison = || Poison {
        message_id: "m1".to_owned(),
        order: OrderId(0),
        kind: "💥".repeat(100),
        reason: "unreadable".to_owned(),
        body: b"foobar".to_vec(),
    };
    let batch = WriteBatch {
        incarnation,
        orders: vec![
            order(1, allocation, 4),
            order(2, allocation, 11),
            order(3, allocation, 6),
        ],
        poison: vec![poison()],
        ..WriteBatch::default()
    };
    let written = store.write(&batch).await.unwrap();
    assert_eq!(ids(&written), [OrderId(1), OrderId(3)]);
    assert_eq!(written.fresh, 2);
    assert_eq!(store.number("SELECT sold FROM allocations").await, 10);
    let void = "SELECT COUNT(*) FROM orders WHERE order_id = 2 AND status = 4 AND live IS NULL";
    assert_eq!(store.number(void).await, 1);
    // The same again: what is void stays void, and the message was seen twice.
    let again = store.write(&batch).await.unwrap();
    assert_eq!(ids(&again), [OrderId(1), OrderId(3)]);
    assert_eq!(again.fresh, 0);
    let sql = "SELECT order_id, kind, count FROM parked ORDER BY order_id";
    let parked: Vec<(OrderId, String, i64)> = store.database.rows(sql, NO_ARGS).await.unwrap();
    let expected = [
        (OrderId(0), "💥".repeat(64), 2),
        (OrderId(2), "order".to_owned(), 1),
    ];
    assert_eq!(parked, expected);
    let parked = store
        .parked_of(incarnation, ParkedOf::default())
        .await
        .unwrap();
    assert_eq!((parked.messages, parked.queue_is_in_doubt), (2, false));
    assert_eq!(parked.orders, [OrderId(2)].into());
    // The orders are read again as soon as there is another, and not before.
    let known = ParkedOf {
        orders: [OrderId(8)].into(),
        ..parked
    };
    let parked = store.parked_of(incarnation, known).await.unwrap();
    assert_eq!(parked.orders, [OrderId(8)].into());
    let another = WriteBatch {
        incarnation,
        orders: vec![order(4, allocation, 11)],
        ..WriteBatch::default()
    };
    store.write(&another).await.unwrap();
    let parked = store.parked_of(incarnation, parked).await.unwrap();
    assert_eq!(parked.orders, [OrderId(2), OrderId(4)].into());
}

async fn two_poisons_with_one_message_id_are_both_kept(url: String) {
    let (store, incarnation, _) = open_sale(&url).await;
    let poison = |body: &str| Poison {
        message_id: "the same".to_owned(),
        order: Poison::WHOLE_MESSAGE,
        kind: "order.create".to_owned(),
        reason: "unreadable".to_owned(),
        body: body.as_bytes().to_vec(),
    };
    let batch = WriteBatch {
        incarnation,
        poison: vec![poison("one"), poison("two"), poison("one")],
        ..WriteBatch::default()
    };
    store.write(&batch).await.unwrap();
    let kept = "SELECT COUNT(*) * 10 + SUM(count) FROM parked WHERE body IN (X'6f6e65', X'74776f')";
    let cast = format!("SELECT CAST(({kept}) AS SIGNED)");
    assert_eq!(
        store.number(&cast).await,
        23,
        "two bodies, seen three times"
    );
    let twice = "SELECT count FROM parked WHERE body = X'6f6e65'";
    assert_eq!(store.number(twice).await, 2);
}

/// Takes the log of this thread.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn a_hundred_that_are_parked_together_are_one_line(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let poison = |number: usize| Poison {
        message_id: format!("seckill-{number}"),
        order: Poison::WHOLE_MESSAGE,
        kind: "order.create".to_owned(),
        reason: "unreadable".to_owned(),
        body: number.to_be_bytes().to_vec(),
    };
    let batch = WriteBatch {
        incarnation,
        // Each for more than there is.
        orders: (1..=100).map(|id| order(id, allocation, 11)).collect(),
        poison: (0..100).map(poison).collect(),
        ..WriteBatch::default()
    };
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::ERROR)
        .with_writer(move || writer.clone())
        .finish();
    let telling = tracing::subscriber::set_default(subscriber);
    store.write(&batch).await.unwrap();
    drop(telling);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("parked"))
        .collect();
    assert_eq!(
        lines.len(),
        2,
        "one line of each kind: {} lines",
        lines.len()
    );
    assert!(
        lines.iter().all(|line| line.contains("count=100")),
        "{text}"
    );
    assert_eq!(store.number("SELECT COUNT(*) FROM parked").await, 200);
}

async fn a_publisher_leaves_its_address_and_its_beats(url: String) {
    let (store, id, _) = open_sale(&url).await;
    assert_eq!(register(&store).await, None, "the worker id is held");
    let (first, second) = (Generation(1), Generation(2));
    assert!(store.confirm_binding(id, first, "q").await.unwrap());
    for _ in 0..3 {
        assert!(store.heartbeat(id, first, 100).await.unwrap());
    }
    assert!(!store.heartbeat(id, second, 100).await.unwrap());
    let sql = "SELECT beats, deadline_ms, address, label FROM incarnations";
    let row: Option<(i64, i64, String, String)> = store.database.row(sql, NO_ARGS).await.unwrap();
    let (address, label) = ("127.0.0.1:50053".to_owned(), "canary".to_owned());
    assert_eq!(row, Some((3, 1_500, address, label)));
    let life = Life {
        id,
        generation: first,
        acknowledged: first,
        is_live: true,
        has_queue: true,
        beats: 3,
        lease_ms: 3_000,
    };
    assert_eq!(store.lives().await.unwrap(), [life]);
    assert_eq!(store.longest_deadline_ms().await.unwrap(), 1_500);
    store.fence_live().await.unwrap();
    assert_eq!(store.acknowledge(id).await.unwrap(), (second, true));
    assert_eq!(store.lives().await.unwrap()[0].acknowledged, second);
    store.hand_back(id, 101).await.unwrap();
    let fenced = store.fenced_for_sure(10).await.unwrap();
    assert_eq!((fenced[0].id, fenced[0].generation), (id, Generation(3)));
    assert_eq!(store.suspect_lost_queue(id).await.unwrap(), Some(true));
    assert_eq!(store.suspect_lost_queue(id).await.unwrap(), Some(false));
    store.unsuspect_queue(id).await.unwrap();
    store.retire(id).await.unwrap();
    // Its queue may rightly be gone: drained is stored before that.
    assert_eq!(store.suspect_lost_queue(id).await.unwrap(), None);
    assert!(store.lives().await.unwrap().is_empty());
    assert_eq!(store.longest_deadline_ms().await.unwrap(), 0);
    let used = store.worker_ids().await.unwrap();
    assert_eq!(
        (used[0].worker, used[0].minted_until_ms, used[0].is_held),
        (WorkerId(5), 101, false)
    );
    assert_eq!(store.queues_to_delete(10).await.unwrap(), [id]);
    store.queue_deleted(id).await.unwrap();
    assert!(store.queues(10).await.unwrap().is_empty());
}

/// Whoever fences by silence has read the beats a while ago.
async fn only_a_publisher_that_has_not_beaten_since_is_fenced_for_its_silence(url: String) {
    let (store, id, _) = open_sale(&url).await;
    let first = Generation(1);
    assert!(store.confirm_binding(id, first, "q").await.unwrap());
    let silent = store.lives().await.unwrap()[0];
    assert!(store.heartbeat(id, first, 100).await.unwrap());
    assert!(!store.fence_silent(&silent).await.unwrap());
    let silent = store.lives().await.unwrap()[0];
    assert!(store.fence_silent(&silent).await.unwrap());
    assert!(!store.heartbeat(id, first, 100).await.unwrap());
    let fenced = store.fenced_for_sure(10).await.unwrap();
    assert_eq!((fenced[0].id, fenced[0].generation), (id, Generation(2)));
    assert!(!store.fence_silent(&silent).await.unwrap());
    assert_eq!(store.acknowledge(id).await.unwrap(), (Generation(2), false));
}

async fn a_term_is_open_until_the_next_is_claimed(url: String) {
    let (store, incarnation, allocation) = open_sale(&url).await;
    let term = Term {
        sale: SALE,
        epoch: Epoch(1),
        nonce: Nonce(u64::MAX - 1),
    };
    assert!(store.open_term(&term, allocation).await.unwrap());
    let open = store.sales().await.unwrap()[0].open.unwrap();
    assert_eq!((open.term, open.allocation_id), (term, allocation));
    let batch = WriteBatch {
        incarnation,
        orders: vec![order(1, allocation, 4)],
        ..WriteBatch::default()
    };
    store.write(&batch).await.unwrap();
    let (turn, epochs) = store.take_turn().await.unwrap();
    assert_eq!(epochs, 1);
    let epoch = store.claim_epoch(SALE).await.unwrap().unwrap();
    assert_eq!(store.sales().await.unwrap()[0].open, None);
    assert!(!store.open_term(&term, allocation).await.unwrap());
    let snapshot = store.grant(SALE, epoch).await.unwrap().unwrap();
    assert_eq!(snapshot.granted, 6);
    let buyers = snapshot.buyers.iter();
    let buyers: Vec<_> = buyers.map(|buyer| (buyer.order, buyer.quantity)).collect();
    assert_eq!(buyers, [(OrderId(1), 4)]);
    turn.unwrap().give_back().await;
}
