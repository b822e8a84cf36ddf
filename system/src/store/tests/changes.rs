//! Products that are made and changed, and totals that change with the next epoch.

use super::writing::{SALE, open_sale, order};
use super::*;
use engines::{AllocationId, SaleId};

on_both!(
    a_total_becomes_what_is_wanted_with_the_next_epoch_and_not_before,
    a_total_never_falls_below_what_is_sold,
    what_cannot_be_taken_is_missing_from_the_latest_change,
    a_key_stands_for_one_change_for_ever,
    changes_at_the_same_time_are_all_made_and_one_key_once,
    a_change_that_cannot_be_made_leaves_no_row,
    a_product_is_made_with_its_sale_and_once_under_a_key,
    a_product_changes_as_a_whole_or_not_at_all,
    a_pause_is_in_the_row_until_it_is_over,
);

/// Unix s, long after these tests.
const FAR: i64 = 4_102_444_800;

/// [`open_sale`] with a window that is on.
async fn on_sale(url: &str) -> (Store, AllocationId) {
    let (store, publisher, allocation) = open_sale(url).await;
    let window = format!("UPDATE products SET sale_ends_at = {FAR}");
    store.change(&window).await;
    // Three are sold.
    let batch = WriteBatch {
        incarnation: publisher,
        orders: vec![order(1, allocation, 2), order(2, allocation, 1)],
        ..WriteBatch::default()
    };
    store.write(&batch).await.unwrap();
    (store, allocation)
}

async fn wish(store: &Store, delta: i64, key: &str) -> Wish {
    store.change_stock(SALE, delta, key).await.unwrap()
}

async fn wanted(store: &Store, delta: i64, key: &str) -> i64 {
    match wish(store, delta, key).await {
        Wish::Known(change) => change.wanted_total,
        refused => panic!("{refused:?}"),
    }
}

async fn applied(store: &Store, key: &str) -> Option<i64> {
    let known = store.stock_change(key).await.unwrap();
    known.expect("it is known").change.applied_total
}

async fn next_epoch(store: &Store) -> u64 {
    let epoch = store.claim_epoch(SALE).await.unwrap().unwrap();
    store.grant(SALE, epoch).await.unwrap().unwrap().granted
}

async fn is_changing(store: &Store) -> bool {
    store.sales().await.unwrap()[0].is_changing
}

async fn a_total_becomes_what_is_wanted_with_the_next_epoch_and_not_before(url: String) {
    let (store, _) = on_sale(&url).await;
    assert!(!is_changing(&store).await);
    assert_eq!(wanted(&store, 5, "up").await, 15);
    assert!(is_changing(&store).await);
    assert_eq!(store.number("SELECT total FROM sales").await, 10);
    assert_eq!(applied(&store, "up").await, None);
    assert_eq!(next_epoch(&store).await, 12);
    assert!(!is_changing(&store).await);
    assert_eq!(store.number("SELECT total FROM sales").await, 15);
    assert_eq!(applied(&store, "up").await, Some(15));
    assert_eq!(wanted(&store, -11, "down").await, 4);
    assert_eq!(next_epoch(&store).await, 1);
    assert_eq!(applied(&store, "down").await, Some(4));
    // Nothing is wanted any more.
    assert_eq!(next_epoch(&store).await, 1);
    let granted = "SELECT CAST(SUM(granted) AS SIGNED) FROM allocations";
    let granted = match store.database.kind() {
        DatabaseKind::MySql => granted,
        DatabaseKind::Sqlite => "SELECT SUM(granted) FROM allocations",
    };
    assert_eq!(store.number(granted).await, 4);
}

async fn a_total_never_falls_below_what_is_sold(url: String) {
    let (store, _) = on_sale(&url).await;
    assert_eq!(wanted(&store, -9, "down").await, 1);
    assert_eq!(next_epoch(&store).await, 0);
    assert_eq!(applied(&store, "down").await, Some(3));
    assert_eq!(store.number("SELECT total FROM sales").await, 3);
    // From what it is, not from what it was to be.
    assert_eq!(wanted(&store, 2, "up").await, 5);
    assert_eq!(next_epoch(&store).await, 2);
}

async fn what_cannot_be_taken_is_missing_from_the_latest_change(url: String) {
    let (store, _) = on_sale(&url).await;
    for (delta, key, then) in [
        (-6, "first", 4),
        (1, "second", 5),
        (-3, "third", 2),
        (-2, "fourth", 0),
    ] {
        assert_eq!(wanted(&store, delta, key).await, then);
        // The order of those that are written in the same millisecond is nobody's.
        let later = "UPDATE stock_changes SET created_at_ms = created_at_ms - 1000";
        store.change(later).await;
    }
    assert_eq!(next_epoch(&store).await, 0);
    let missing = async |key| {
        let change = store.stock_change(key).await.unwrap().unwrap().change;
        change.applied_total.unwrap() - change.wanted_total
    };
    assert_eq!(missing("fourth").await, 2);
    assert_eq!(missing("third").await, 1);
    assert_eq!((missing("second").await, missing("first").await), (0, 0));
    assert_eq!(store.number("SELECT total FROM sales").await, 3);
}

async fn a_key_stands_for_one_change_for_ever(url: String) {
    let (store, _) = on_sale(&url).await;
    for _ in 0..2 {
        assert_eq!(wanted(&store, -2, "once").await, 8);
    }
    assert_eq!(next_epoch(&store).await, 5);
    let again = wish(&store, -2, "once").await;
    assert!(
        matches!(&again, Wish::Known(change) if change.applied_total == Some(8)),
        "{again:?}"
    );
    assert!(!is_changing(&store).await);
    for (sale, delta, key) in [
        (SALE, -3, "once"),
        (SALE, 2, "once"),
        (SaleId(8), -2, "once"),
    ] {
        let used = store.change_stock(sale, delta, key).await.unwrap();
        assert!(matches!(used, Wish::KeyUsed(_)), "{used:?}");
    }
    // Keys that differ in their case are two.
    assert_eq!(wanted(&store, -2, "ONCE").await, 6);
}

async fn changes_at_the_same_time_are_all_made_and_one_key_once(url: String) {
    let (store, _) = on_sale(&url).await;
    let ask = |delta: i64, key: String| {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                match store.change_stock(SALE, delta, &key).await {
                    Ok(Wish::Known(change)) => return change,
                    Ok(refused) => panic!("{refused:?}"),
                    Err(error) if database::fault::may_be_repeated(&error) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    let mut asked = Vec::new();
    for number in 0..4 {
        asked.push(ask(1, format!("key {number}")));
        asked.push(ask(3, "the same".to_owned()));
    }
    let mut changes = Vec::new();
    for asked in asked {
        changes.push(asked.await.unwrap());
    }
    let same: Vec<_> = changes.iter().filter(|change| change.delta == 3).collect();
    assert!(same.iter().all(|change| *change == same[0]), "{same:?}");
    let wanted = "SELECT wanted_total FROM sales";
    assert_eq!(store.number(wanted).await, 10 + 4 + 3);
    assert_eq!(next_epoch(&store).await, 14);
}

async fn a_change_that_cannot_be_made_leaves_no_row(url: String) {
    let (store, _) = on_sale(&url).await;
    assert_eq!(wish(&store, -11, "k").await, Wish::OutOfRange(10));
    assert_eq!(wish(&store, TOTAL_MAX, "k").await, Wish::OutOfRange(10));
    let nobody = store.change_stock(SaleId(8), 1, "k").await.unwrap();
    assert_eq!(nobody, Wish::NoSale);
    store.change("UPDATE products SET sale_ends_at = 9").await;
    assert_eq!(wish(&store, 1, "k").await, Wish::Over);
    assert_eq!(store.number("SELECT COUNT(*) FROM stock_changes").await, 0);
    assert!(!is_changing(&store).await);
}

fn product() -> NewProduct {
    NewProduct {
        name: "hats 🎩".to_owned(),
        description: String::new(),
        price_cents: 1_999,
        image_url: String::new(),
        starts_at: 5,
        ends_at: FAR,
        total: 7,
    }
}

async fn a_product_is_made_with_its_sale_and_once_under_a_key(url: String) {
    let (store, _) = on_sale(&url).await;
    let make = async |total, key| {
        let product = NewProduct { total, ..product() };
        store.create_product(&product, key, 11).await.unwrap()
    };
    let first = make(7, Some("make")).await.unwrap();
    assert_eq!(make(7, Some("make")).await, Ok(first));
    assert!(make(8, Some("make")).await.is_err());
    for other in [
        NewProduct {
            name: "caps".to_owned(),
            ..product()
        },
        NewProduct {
            price_cents: 1_998,
            ..product()
        },
        NewProduct {
            starts_at: 6,
            ..product()
        },
    ] {
        let made = store.create_product(&other, Some("make"), 11).await;
        assert!(made.unwrap().is_err(), "{other:?}");
    }
    let used = store.change_stock(first, 7, "make").await.unwrap();
    assert!(matches!(used, Wish::KeyUsed(_)), "{used:?}");
    wanted(&store, 7, "change").await;
    assert!(make(17, Some("change")).await.is_err());
    let second = make(7, None).await.unwrap();
    assert_ne!(first, second);
    let sales = store.sales().await.unwrap();
    let made = sales.iter().find(|row| row.sale == first).unwrap();
    assert_eq!(
        (made.price_cents, made.starts_at, made.ends_at),
        (1_999, 5, FAR)
    );
    assert!(store.never_opened().await.unwrap().contains(&first));
    assert_eq!(sales.len(), 3);
}

async fn a_product_changes_as_a_whole_or_not_at_all(url: String) {
    let (store, _) = on_sale(&url).await;
    let change = async |change: ProductChange, key| {
        let changed = store.change_product(SALE, &change, key, 99).await;
        changed.unwrap()
    };
    let row = async || {
        let row = store.sales().await.unwrap()[0];
        (row.price_cents, row.starts_at, row.ends_at)
    };
    let before = row().await;
    let backwards = ProductChange {
        price_cents: Some(5),
        starts_at: Some(FAR + 1),
        ..ProductChange::default()
    };
    assert_eq!(
        change(backwards, "k1").await,
        Changed::WindowOutOfOrder(FAR + 1, FAR)
    );
    let over = ProductChange {
        price_cents: Some(5),
        ends_at: Some(6),
        total: Some(20),
        ..ProductChange::default()
    };
    assert_eq!(change(over, "k2").await, Changed::Refused(Wish::Over));
    assert_eq!(row().await, before);
    let nothing = ProductChange::default();
    let nobody = store.change_product(SaleId(8), &nothing, "k3", 99).await;
    assert_eq!(nobody.unwrap(), Changed::NoProduct);
    assert_eq!(store.number("SELECT COUNT(*) FROM stock_changes").await, 0);

    let all = ProductChange {
        name: Some("boots".to_owned()),
        description: Some("warm".to_owned()),
        price_cents: Some(5),
        image_url: Some("https://pictures/1".to_owned()),
        starts_at: Some(3),
        ends_at: Some(FAR - 1),
        total: Some(2),
    };
    let Changed::Done(Some(wanted)) = change(all, "k4").await else {
        panic!("a total is wanted");
    };
    assert_eq!((wanted.delta, wanted.wanted_total), (-8, 2));
    assert_eq!(row().await, (5, 3, FAR - 1));
    let renamed = "SELECT COUNT(*) FROM products WHERE name = 'boots' AND description = 'warm'
         AND image_url = 'https://pictures/1' AND updated_at = 99";
    assert_eq!(store.number(renamed).await, 1);
    assert_eq!(next_epoch(&store).await, 0);
    assert_eq!(applied(&store, "k4").await, Some(3));
    // The total that it has needs no epoch.
    let same = ProductChange {
        total: Some(3),
        ..ProductChange::default()
    };
    assert_eq!(change(same, "k5").await, Changed::Done(None));
    assert!(!is_changing(&store).await);
}

async fn a_pause_is_in_the_row_until_it_is_over(url: String) {
    let (store, _) = on_sale(&url).await;
    let is_paused = async || store.sales().await.unwrap()[0].is_paused;
    assert!(!is_paused().await);
    for pause in [true, true, false, false] {
        assert!(store.pause(SALE, pause).await.unwrap());
        assert_eq!(is_paused().await, pause);
    }
    assert!(!store.pause(SaleId(8), true).await.unwrap());
}
