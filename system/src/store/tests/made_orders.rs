//! Orders that administrators make for others: found whatever became of them, and bought by one request
//! at a time.

use super::changing::{ask, cancel, with_orders};
use super::writing::SALE;
use super::*;
use engines::OrderId;

on_both!(an_order_made_for_somebody_is_found_whatever_became_of_it,);

async fn an_order_made_for_somebody_is_found_whatever_became_of_it(url: String) {
    let (store, ..) = with_orders(&url, &[1, 2], false).await;
    let made = |key: &str| MadeOrder {
        key: key.to_owned(),
        user: cancel(1).by.unwrap(),
        sale: SALE,
        quantity: 1,
    };
    assert_eq!(store.made_order("key").await.unwrap(), None);
    // Keys that differ in their case are two.
    let turn = |number, lasts_ms| BuyingTurn { number, lasts_ms };
    let first = turn(1, 3_600_000);
    let begin = async |key| store.begin_made_order(&made(key), first).await.unwrap();
    assert!(begin("key").await);
    assert!(begin("KEY").await);
    assert!(!begin("key").await);
    // One has the turn, until it is over, or given up by whoever has it.
    let take = async |turn| store.take_buying_turn("key", turn).await.unwrap();
    assert!(!take(turn(2, 0)).await);
    store.end_buying_turn("key", turn(2, 0)).await.unwrap();
    assert!(!take(turn(2, 0)).await);
    store.end_buying_turn("key", first).await.unwrap();
    assert!(take(turn(2, 0)).await);
    assert!(take(first).await, "the one before is over");
    let known = store.made_order("key").await.unwrap().unwrap();
    assert_eq!((known.asked, known.order), (made("key"), None));

    let written = async |made: &MadeOrder, since_ms| {
        let written = store.order_since(made, since_ms).await;
        written.unwrap()
    };
    assert_eq!(written(&made("key"), 0).await, Some(OrderId(1)));
    let done = ask(&store, cancel(1)).await;
    assert!(matches!(done, OrderChanged::Done(_)), "{done:?}");
    assert_eq!(written(&made("key"), 0).await, Some(OrderId(1)));
    assert_eq!(written(&made("key"), known.since_ms).await, None, "before");
    let more = MadeOrder {
        quantity: 2,
        ..made("key")
    };
    assert_eq!(written(&more, 0).await, None);
    // It is made, even if somebody was refused at the same time; and what is known first stands.
    store.forget_made_order("key", turn(2, 0)).await.unwrap();
    assert!(store.made_order("key").await.unwrap().is_some());
    store.forget_made_order("key", first).await.unwrap();
    assert!(store.made_order("key").await.unwrap().is_none());
    for order in [OrderId(1), OrderId(2)] {
        let concluded = store.conclude_made_order(&made("key"), order).await;
        assert_eq!(concluded.unwrap(), OrderId(1));
    }
    assert!(!take(turn(2, 0)).await, "there is nothing left to buy");
    let known = store.made_order("key").await.unwrap().unwrap();
    assert_eq!(known.order, Some(OrderId(1)));
    assert_eq!(written(&made("key"), 0).await, Some(OrderId(1)));
    assert_eq!(written(&made("KEY"), 0).await, None, "it is another's");
    // Of what was refused nothing stays, and what was made stays.
    for (key, stays) in [("KEY", false), ("key", true)] {
        store
            .forget_made_order(key, turn(i64::from(!stays), 0))
            .await
            .unwrap();
        let known = store.made_order(key).await.unwrap();
        assert_eq!(known.is_some(), stays, "{key}");
    }
}
