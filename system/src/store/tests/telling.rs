//! What others are told of orders: listeners by copies, buyers by lists.

use super::changing::{ask, cancel, with_orders};
use super::writing::{open_sale, order};
use super::*;
use engines::{OrderId, UserId};

on_both!(
    copies_are_written_with_what_they_tell_and_left_until_they_are_published,
    a_dead_letter_is_copied_once_however_often_it_comes,
    orders_are_listed_newest_first_page_by_page,
);

async fn copies_are_written_with_what_they_tell_and_left_until_they_are_published(url: String) {
    let (store, ..) = with_orders(&url, &[2], true).await;
    store.change_orders(&[cancel(1)], true).await.unwrap();
    let left = store.copies_left(0, 10).await.unwrap();
    let keys: Vec<&str> = left.iter().map(|copy| copy.routing_key.as_str()).collect();
    assert_eq!(keys, ["order.create.7", "order.canceled"]);
    let created: serde_json::Value = serde_json::from_slice(&left[0].body).unwrap();
    assert_eq!(
        created,
        serde_json::json!({"order_id": 1, "user_id": 1001, "product_id": 7, "quantity": 2,
            "total_price_cents": 200, "created_at_ms": created["created_at_ms"]})
    );
    let canceled: serde_json::Value = serde_json::from_slice(&left[1].body).unwrap();
    assert_eq!(canceled["reason"], "buyer");
    store.mark_published(&[left[0].id]).await.unwrap();
    let left = store.copies_left(0, 10).await.unwrap();
    assert_eq!(left.len(), 1);
    assert!(store.copies_left(left[0].id, 10).await.unwrap().is_empty());
    assert_eq!(store.releases().await.len(), 1, "a copy is no release");
}

async fn a_dead_letter_is_copied_once_however_often_it_comes(url: String) {
    let (store, publisher, _) = open_sale(&url).await;
    for copies in [false, true, true] {
        let batch = WriteBatch {
            incarnation: publisher,
            poison: vec![Poison {
                message_id: "m".to_owned(),
                order: Poison::WHOLE_MESSAGE,
                kind: "order.batch.v9".to_owned(),
                reason: "unknown".to_owned(),
                body: b"from tomorrow".to_vec(),
            }],
            copies,
            ..WriteBatch::default()
        };
        store.write(&batch).await.unwrap();
    }
    let left = store.copies_left(0, 10).await.unwrap();
    assert_eq!(left.len(), 1);
    let key = &left[0].routing_key;
    assert!(key.starts_with("dead-letter.order.batch.v9.1."), "{key}");
    assert_eq!(left[0].body, b"from tomorrow");
}

async fn orders_are_listed_newest_first_page_by_page(url: String) {
    let (store, publisher, allocation) = open_sale(&url).await;
    // One buyer buys and cancels four times; the fifth order lives, and a sixth is void.
    let by_one = |number| crate::envelope::OrderEvent {
        user: UserId(1),
        ..order(number, allocation, 1)
    };
    for number in 1..=5 {
        let batch = WriteBatch {
            incarnation: publisher,
            orders: vec![by_one(number)],
            ..WriteBatch::default()
        };
        store.write(&batch).await.unwrap();
        if number < 5 {
            let cancel = OrderChange {
                by: Some(UserId(1)),
                ..cancel(number)
            };
            ask(&store, cancel).await;
        }
    }
    store
        .change(
            "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id,
             created_at_ms, updated_at_ms, status, live) VALUES (6, 1, 7, 1, 0, 1, 1, 1, 4, NULL)",
        )
        .await;
    let page = |before, skip| OrderPage {
        user: UserId(1),
        before: OrderId(before),
        skip,
        limit: 2,
    };
    let listed = async |before, skip| {
        let found = store.orders_of(&page(before, skip)).await.unwrap();
        found.iter().map(|view| view.order.0).collect::<Vec<_>>()
    };
    assert_eq!(listed(i64::MAX, 0).await, [5, 4]);
    assert_eq!(listed(4, 0).await, [3, 2]);
    assert_eq!(listed(i64::MAX, 3).await, [2, 1]);
    assert_eq!(store.count_orders_of(UserId(1)).await.unwrap(), 5);
    assert_eq!(store.count_orders_of(UserId(2)).await.unwrap(), 0);
    let view = store.order(OrderId(5)).await.unwrap().unwrap();
    assert_eq!(view.state, OrderState::ToPay);
    assert!(store.order(OrderId(6)).await.unwrap().is_none(), "void");
}
