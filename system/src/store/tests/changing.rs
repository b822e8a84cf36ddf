//! What becomes of orders: cancels, payments and expiries, each once, and what they leave in the
//! allocations and in the outbox.

use super::writing::{SALE, open_sale, order};
use super::*;
use engines::{AllocationId, Epoch, IncarnationId, Nonce, OrderId, Term, UserId};

on_both!(
    a_cancel_gives_the_right_back_once_and_leaves_one_release,
    a_cancel_of_a_closed_allocation_moves_the_right_to_the_open_pool,
    a_cancel_of_a_lease_moves_the_right_to_the_pool,
    a_cancel_names_the_epoch_of_the_pool_it_locked_while_the_next_is_being_opened,
    of_a_cancel_and_a_payment_at_once_one_wins_and_the_other_is_told,
    what_cannot_be_is_refused_and_nothing_is_written,
    a_hundred_cancels_of_everybody_at_once_are_one_each,
    a_sale_that_cannot_be_changed_keeps_nobody_elses_orders_from_it,
    a_row_that_is_not_there_may_come_only_from_somebody_who_is_not_drained,
);

pub(super) fn cancel(order: i64) -> OrderChange {
    OrderChange {
        order: OrderId(order),
        by: Some(UserId(order + 1_000)),
        wish: OrderWish::Cancel,
    }
}

fn of(order: i64, wish: OrderWish) -> OrderChange {
    OrderChange {
        wish,
        ..cancel(order)
    }
}

/// Orders 1, 2, … of these quantities, written in the open epoch.
pub(super) async fn with_orders(
    url: &str,
    quantities: &[u32],
    copies: bool,
) -> (Store, IncarnationId, AllocationId) {
    let (store, publisher, allocation) = open_sale(url).await;
    let orders = (1..).zip(quantities);
    let orders = orders.map(|(number, quantity)| order(number, allocation, *quantity));
    let batch = WriteBatch {
        incarnation: publisher,
        orders: orders.collect(),
        copies,
        ..WriteBatch::default()
    };
    store.write(&batch).await.unwrap();
    (store, publisher, allocation)
}

pub(super) async fn ask(store: &Store, change: OrderChange) -> OrderChanged {
    store.change_orders(&[change], false).await.unwrap().answers[0]
}

impl Store {
    async fn allocation(&self, id: AllocationId) -> [i64; 2] {
        let sql = "SELECT granted, sold FROM allocations WHERE id = ?";
        self.database.row(sql, [id]).await.unwrap().unwrap()
    }

    pub(super) async fn releases(&self) -> Vec<ReleasesLeft> {
        let from = ReleaseCursor::default();
        self.release_page(from, 1_000).await.unwrap()
    }
}

async fn a_cancel_gives_the_right_back_once_and_leaves_one_release(url: String) {
    let (store, _, allocation) = with_orders(&url, &[3, 2], false).await;
    assert_eq!(store.allocation(allocation).await, [10, 5]);
    let OrderChanged::Done(Some(release)) = ask(&store, cancel(1)).await else {
        panic!("it is cancelled");
    };
    assert_eq!((release.quantity, release.epoch), (3, Epoch(1)));
    assert_eq!(
        ask(&store, cancel(1)).await,
        OrderChanged::Is(OrderState::Cancelled)
    );
    assert_eq!(store.allocation(allocation).await, [10, 2]);
    let left = store.releases().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].releases, [release]);
    assert!(left[0].term.is_none(), "no epoch is open");
    store.mark_released(&[release]).await.unwrap();
    store.mark_released(&[release]).await.unwrap();
    assert!(store.releases().await.is_empty());
    let gone = "SELECT COUNT(*) FROM orders WHERE order_id = 1 AND status = 2 AND live IS NULL AND expired = 0";
    assert_eq!(store.number(gone).await, 1);
}

async fn a_cancel_of_a_closed_allocation_moves_the_right_to_the_open_pool(url: String) {
    let (store, _, first) = with_orders(&url, &[3, 2], false).await;
    let epoch = store.claim_epoch(SALE).await.unwrap().unwrap();
    let second = store.grant(SALE, epoch).await.unwrap().unwrap();
    assert_eq!(second.granted, 5);
    let done = ask(&store, of(1, OrderWish::Expire)).await;
    let OrderChanged::Done(Some(release)) = done else {
        panic!("{done:?}");
    };
    assert_eq!(release.epoch, epoch);
    assert_eq!(store.allocation(first).await, [2, 2]);
    assert_eq!(store.allocation(second.allocation_id).await, [8, 0]);
    assert_eq!(
        ask(&store, cancel(1)).await,
        OrderChanged::Is(OrderState::Expired)
    );
}

async fn a_cancel_of_a_lease_moves_the_right_to_the_pool(url: String) {
    let (store, publisher, pool) = open_sale(&url).await;
    store
        .change("UPDATE allocations SET granted = 6 WHERE holder = 'pool'")
        .await;
    store
        .change(
            "INSERT INTO allocations (product_id, epoch, holder, granted, owner) VALUES (7, 1, 'lease-1', 4, 1)",
        )
        .await;
    let lease = store
        .number("SELECT id FROM allocations WHERE holder = 'lease-1'")
        .await;
    let lease = AllocationId(lease);
    let batch = WriteBatch {
        incarnation: publisher,
        orders: vec![order(1, lease, 3)],
        ..WriteBatch::default()
    };
    store.write(&batch).await.unwrap();
    assert!(matches!(
        ask(&store, cancel(1)).await,
        OrderChanged::Done(_)
    ));
    assert_eq!(store.allocation(lease).await, [1, 0]);
    assert_eq!(store.allocation(pool).await, [9, 0]);
}

async fn a_cancel_names_the_epoch_of_the_pool_it_locked_while_the_next_is_being_opened(
    url: String,
) {
    let (store, _, first) = with_orders(&url, &[3, 2, 1], false).await;
    let term = Term {
        sale: SALE,
        epoch: Epoch(1),
        nonce: Nonce(9),
    };
    assert!(store.open_term(&term, first).await.unwrap());
    let epoch = store.claim_epoch(SALE).await.unwrap().unwrap();
    // Claimed, not granted: the old pool is still the open one.
    let OrderChanged::Done(Some(early)) = ask(&store, cancel(1)).await else {
        panic!("it is cancelled");
    };
    assert_eq!(early.epoch, Epoch(1));
    let second = store.grant(SALE, epoch).await.unwrap().unwrap();
    assert_eq!(second.granted, 7, "its units are granted again");
    // Granted, not open: `open_epoch` is still the old one.
    let OrderChanged::Done(Some(late)) = ask(&store, cancel(2)).await else {
        panic!("it is cancelled");
    };
    assert_eq!(late.epoch, epoch);
    assert!(
        store
            .releases()
            .await
            .iter()
            .all(|left| left.term.is_none())
    );
    let opened = Term {
        epoch,
        nonce: Nonce(10),
        ..term
    };
    assert!(
        store
            .open_term(&opened, second.allocation_id)
            .await
            .unwrap()
    );
    let left = store.releases().await;
    assert!(left.iter().all(|left| left.term == Some(opened)));
    assert_eq!(store.allocation(second.allocation_id).await, [9, 0]);
    store.change("UPDATE sales SET ended = 1").await;
    assert!(store.releases().await.iter().all(|left| left.has_ended));
}

async fn of_a_cancel_and_a_payment_at_once_one_wins_and_the_other_is_told(url: String) {
    let (store, _, allocation) = with_orders(&url, &[1, 1, 1, 1], false).await;
    for number in 1..=4 {
        let (pay, cancel) = (of(number, OrderWish::Pay), cancel(number));
        let (paid, cancelled) = tokio::join!(ask(&store, pay), ask(&store, cancel));
        let state = match (paid, cancelled) {
            (OrderChanged::Done(None), OrderChanged::Is(OrderState::Paid)) => 1,
            (OrderChanged::Is(OrderState::Cancelled), OrderChanged::Done(Some(_))) => 2,
            both => panic!("order {number}: {both:?}"),
        };
        let sql = format!("SELECT status FROM orders WHERE order_id = {number}");
        assert_eq!(store.number(&sql).await, state);
    }
    let [_, sold] = store.allocation(allocation).await;
    let live = "SELECT COUNT(*) FROM orders WHERE live = 1";
    assert_eq!(sold, store.number(live).await);
    // In one batch they are taken one after the other.
    let (store, ..) = with_orders(&format!("{url}2"), &[1], false).await;
    let changes = [of(1, OrderWish::Pay), cancel(1), of(1, OrderWish::Complete)];
    let changed = store.change_orders(&changes, false).await.unwrap();
    assert_eq!(
        changed.answers,
        [
            OrderChanged::Done(None),
            OrderChanged::Is(OrderState::Paid),
            // It was not paid when it was looked at.
            OrderChanged::Is(OrderState::ToPay),
        ]
    );
}

async fn what_cannot_be_is_refused_and_nothing_is_written(url: String) {
    let (store, _, allocation) = with_orders(&url, &[1, 1], false).await;
    store
        .change("UPDATE orders SET status = 4, live = NULL WHERE order_id = 2")
        .await;
    let foreign = OrderChange {
        by: Some(UserId(1)),
        ..cancel(1)
    };
    assert_eq!(ask(&store, foreign).await, OrderChanged::NotFound);
    assert_eq!(ask(&store, cancel(2)).await, OrderChanged::NotFound, "void");
    assert_eq!(ask(&store, cancel(3)).await, OrderChanged::NoRow);
    let complete = of(1, OrderWish::Complete);
    assert_eq!(
        ask(&store, complete).await,
        OrderChanged::Is(OrderState::ToPay)
    );
    assert_eq!(
        ask(&store, of(1, OrderWish::Pay)).await,
        OrderChanged::Done(None)
    );
    for wish in [OrderWish::Pay, OrderWish::Cancel, OrderWish::Expire] {
        assert_eq!(
            ask(&store, of(1, wish)).await,
            OrderChanged::Is(OrderState::Paid)
        );
    }
    assert_eq!(ask(&store, complete).await, OrderChanged::Done(None));
    let again = ask(&store, of(1, OrderWish::Cancel)).await;
    assert_eq!(again, OrderChanged::Is(OrderState::Completed));
    for table in ["outbox", "releases"] {
        let rows = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(store.number(&rows).await, 0, "{table}");
    }
    assert_eq!(store.allocation(allocation).await, [10, 2]);
}

async fn a_hundred_cancels_of_everybody_at_once_are_one_each(url: String) {
    let (store, _, allocation) = with_orders(&url, &[1; 10], false).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        asked.spawn(async move {
            let changes: Vec<OrderChange> = (1..=10).map(cancel).collect();
            store.change_orders(&changes, false).await
        });
    }
    let mut done = 0;
    while let Some(changed) = asked.join_next().await {
        let changed = changed.unwrap().unwrap();
        done += changed
            .answers
            .iter()
            .filter(|changed| matches!(changed, OrderChanged::Done(_)))
            .count();
    }
    assert_eq!(done, 10);
    assert_eq!(store.allocation(allocation).await, [10, 0]);
    let left = store.releases().await;
    assert_eq!(left.iter().map(|row| row.releases.len()).sum::<usize>(), 10);
}

async fn a_sale_that_cannot_be_changed_keeps_nobody_elses_orders_from_it(url: String) {
    let (store, _, allocation) = with_orders(&url, &[1; 3], false).await;
    // A sale before and one behind it that have no allocation.
    for (order, sale) in [(1, SALE.0 - 1), (3, SALE.0 + 1)] {
        store
            .change(&format!(
                "UPDATE orders SET product_id = {sale} WHERE order_id = {order}"
            ))
            .await;
    }
    let changes: Vec<OrderChange> = (1..=3).map(cancel).collect();
    let changed = store.change_orders(&changes, false).await.unwrap();
    let [before, own, behind] = changed.answers[..] else {
        panic!("{changed:?}");
    };
    assert_eq!([before, behind], [OrderChanged::Unknown; 2]);
    assert!(matches!(own, OrderChanged::Done(Some(_))), "{changed:?}");
    assert_eq!(changed.failed.len(), 2, "{changed:?}");
    assert_eq!(store.allocation(allocation).await, [10, 2]);
    assert_eq!(store.releases().await.len(), 1);
}

async fn a_row_that_is_not_there_may_come_only_from_somebody_who_is_not_drained(url: String) {
    use crate::ids::WorkerId;
    use crate::order_id::Minter;
    let (store, publisher, _) = open_sale(&url).await;
    let now_ms = 1_800_000_000_000;
    let mint = |worker| Minter::new(WorkerId(worker), 0, now_ms + 10_000).mint(now_ms);
    store
        .change(&format!(
            "UPDATE incarnations SET minted_until_ms = {}, registered_at_ms = {now_ms} WHERE id = {publisher}",
            now_ms + 10_000
        ))
        .await;
    let may_come = async |order| {
        let may_come = store.may_come(&[order]).await.unwrap();
        may_come.contains(&order)
    };
    let long_before = OrderId(mint(5).unwrap().0 & ((1 << 22) - 1));
    assert!(!may_come(long_before).await, "not registered yet");
    let (own, foreign) = (mint(5).unwrap(), mint(6).unwrap());
    assert!(may_come(own).await);
    assert!(!may_come(foreign).await, "nobody is worker 6");
    // Of many at once each is judged by itself.
    let asked = [own, long_before, foreign];
    let may_come_of_all = store.may_come(&asked).await.unwrap();
    assert_eq!(may_come_of_all, [own].into());
    store
        .change("UPDATE incarnations SET minted_until_ms = 99")
        .await;
    assert!(!may_come(own).await, "not minted yet");
    store
        .change(&format!(
            "UPDATE incarnations SET minted_until_ms = {}, state = 'gone'",
            now_ms + 10_000
        ))
        .await;
    assert!(!may_come(own).await, "everything is a row");
    store
        .change(
            "INSERT INTO parked (incarnation, message_id, order_id, kind, reason, body, digest, created_at_ms)
             VALUES (1, 'm', 0, 'bytes', 'unreadable', x'00', '', 1)",
        )
        .await;
    assert!(may_come(own).await, "it may be parked");
    assert!(store.has_parked_messages().await.unwrap());
    store.change("UPDATE parked SET resolved = 1").await;
    assert!(!store.has_parked_messages().await.unwrap());
}
