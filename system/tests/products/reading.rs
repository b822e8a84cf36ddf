//! What readers see of products, of their changes, and of their end.

use super::readers::{Readers, now_s, product, until};
use database::{Arg, NO_ARGS};
use std::time::Instant;
use system::proto::product::*;
use tonic::Code;

/// Unix s, long after these tests.
const FAR: i64 = 4_102_444_800;

pub async fn a_product_is_read_as_it_was_made_and_with_its_stock(readers: &Readers) {
    let made = product("shoes", -60, 3_600);
    let id = readers.make(made.clone()).await;
    for instance in [0, 1] {
        let seen = readers.get(instance, id).await.expect("there");
        assert_eq!((seen.id, &seen.name), (id, &made.name));
        assert_eq!((&seen.description, seen.price), (&made.description, 19.99));
        assert_eq!((&seen.image_url, seen.stock), (&made.image_url, 10));
        assert_eq!(seen.seckill_start_time, made.seckill_start_time);
        assert_eq!(seen.seckill_end_time, made.seckill_end_time);
        assert_eq!(seen.seconds_until_start, 0);
        assert!(
            (3_500..=3_600).contains(&seen.seconds_until_end),
            "{seen:?}"
        );
        assert!((now_s() - 60..=now_s()).contains(&seen.created_at));
        assert_eq!(seen.updated_at, seen.created_at);
        assert!((0..10_000).contains(&seen.stock_age_ms), "{seen:?}");
    }
    let later = readers.make(product("boots", 3_600, 7_200)).await;
    let seen = readers.get(0, later).await.expect("there");
    assert!((3_500..=3_600).contains(&seen.seconds_until_start));
    // What orders hold is gone, whichever allocation they are counted in.
    let sql = "INSERT INTO allocations (product_id, epoch, holder, granted, sold, state) VALUES (?, ?, ?, ?, ?, ?)";
    for (epoch, holder, sold, state) in [
        (1_i64, "pool", 1_i64, "closed"),
        (2, "pool", 2, "open"),
        (2, "lease", 3, "open"),
    ] {
        let args = [
            Arg::from(id),
            epoch.into(),
            holder.into(),
            sold.into(),
            sold.into(),
            state.into(),
        ];
        readers.run(sql, args).await;
    }
    let is_seen = async || readers.get(1, id).await.expect("there").stock == 4;
    until("four are left", is_seen).await;
    assert_eq!(readers.get(1, later).await.expect("there").stock, 10);
}

pub async fn lists_have_what_is_asked_for_by_id_and_page_and_count_all_of_it(readers: &Readers) {
    let mut windows = Vec::new();
    for (name, from, to) in [
        ("over", -7_200, -3_600),
        ("on", -60, 3_600),
        ("paused", -60, 3_600),
        ("later", 3_600, 7_200),
        ("on, too", -60, 3_600),
    ] {
        windows.push(readers.make(product(name, from, to)).await);
    }
    let [over, on, paused, later, on_too] = windows[..] else {
        panic!("five of them");
    };
    let pause = "UPDATE sales SET paused = 1 WHERE product_id = ?";
    readers.run(pause, [paused]).await;
    let all = vec![over, on, paused, later, on_too];
    for (asked, expected) in [
        ((1, 10, -1), (all.clone(), 5)),
        ((0, 0, -1), (all, 5)),
        ((1, 2, -1), (vec![over, on], 5)),
        ((3, 2, -1), (vec![on_too], 5)),
        ((4, 2, -1), (vec![], 5)),
        ((i32::MAX, 100, -1), (vec![], 5)),
        ((1, 100, 0), (vec![later], 1)),
        ((1, 100, 1), (vec![on, paused, on_too], 3)),
        ((2, 2, 1), (vec![on_too], 3)),
        ((1, 100, 2), (vec![over], 1)),
    ] {
        let told = readers.list(asked).await.expect("a list");
        assert_eq!(told, expected, "{asked:?}");
    }
    let is_so = async || readers.active().await == (vec![on, on_too], 2);
    until("what is paused is not on sale", is_so).await;
    readers.delete(0, later).await.expect("deleted");
    let told = readers.list((1, 100, 0)).await.expect("a list");
    assert_eq!(told, (vec![], 0));
}

pub async fn a_change_through_one_instance_is_seen_through_both(readers: &Readers) {
    let id = readers.make(product("shoes", 3_600, 7_200)).await;
    let next = id + 1;
    for instance in [0, 1] {
        let seen = readers.get(instance, id).await.expect("there");
        assert_eq!(seen.name, "shoes");
        let none = readers.get(instance, next).await.expect_err("not yet");
        assert_eq!(none.code(), Code::NotFound);
    }
    let begun = Instant::now();
    let change = UpdateProductRequest {
        product_id: id,
        name: Some("boots".to_owned()),
        ..UpdateProductRequest::default()
    };
    let change = readers.as_admin(change);
    let changed = readers.products[0].clone().update_product(change).await;
    changed.expect("changed");
    assert_eq!(readers.get(0, id).await.expect("there").name, "boots");
    let is_seen = async || readers.get(1, id).await.expect("there").name == "boots";
    until("the other sees the change", is_seen).await;
    assert_eq!(readers.make(product("hats", 3_600, 7_200)).await, next);
    assert_eq!(readers.get(0, next).await.expect("there").name, "hats");
    let is_seen = async || readers.get(1, next).await.is_ok();
    until("the other sees what was made", is_seen).await;
    readers.delete(0, id).await.expect("deleted");
    let gone = readers.get(0, id).await.expect_err("deleted");
    assert_eq!(gone.code(), Code::NotFound);
    let is_seen = async || readers.get(1, id).await.is_err();
    until("the other sees that it was deleted", is_seen).await;
    eprintln!("three changes were seen within {:?}", begun.elapsed());
}

pub async fn a_product_is_deleted_when_nothing_stands_in_the_way(readers: &Readers) {
    let cannot = async |id: i64, because: &str| {
        let refused = readers.delete(0, id).await.expect_err("it cannot be");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        let says = format!("product {id} cannot be deleted: {because}");
        assert!(refused.message().starts_with(&says), "{refused}");
        assert!(readers.get(1, id).await.is_ok());
    };
    let on = readers.make(product("on", -60, 3_600)).await;
    cannot(on, "it is on sale until Unix second ").await;
    let soon = readers.make(product("soon", 3, 3_600)).await;
    cannot(soon, "it is on sale until Unix second ").await;
    let over = readers.make(product("over", -3_600, -1)).await;
    cannot(over, "its sale is over, and its last orders").await;
    let end = "UPDATE sales SET ended = 1 WHERE product_id = ?";
    readers.run(end, [over]).await;
    for (order, status) in [(1, 0), (2, 1), (3, 3)] {
        readers.order(order, over, status).await;
        cannot(over, "there are orders of it that are not cancelled").await;
        let cancel = "UPDATE orders SET status = 2, live = NULL WHERE order_id = ?";
        readers.run(cancel, [order]).await;
    }
    let later = readers.make(product("later", 3_600, 7_200)).await;
    for id in [over, later] {
        readers.delete(1, id).await.expect("deleted");
        for again in [readers.delete(0, id).await, readers.delete(1, id).await] {
            assert_eq!(again.expect_err("once").code(), Code::NotFound);
        }
        let change = UpdateProductRequest {
            product_id: id,
            seckill_end_time: Some(FAR),
            ..UpdateProductRequest::default()
        };
        let change = readers.as_admin(change);
        let refused = readers.products[0].clone().update_product(change).await;
        assert_eq!(refused.expect_err("gone").code(), Code::NotFound);
        let mut more = readers.as_admin(ReturnStockRequest {
            product_id: id,
            quantity: 1,
        });
        let key = format!("more-{id}").parse().expect("ASCII");
        more.metadata_mut().insert("idempotency-key", key);
        let refused = readers.products[0].clone().return_stock(more).await;
        assert_eq!(refused.expect_err("gone").code(), Code::NotFound);
    }
    // Its orders have their product, and the window of one that was still to begin is closed.
    let products = "SELECT COUNT(*) FROM products p JOIN orders o ON o.product_id = p.id";
    assert_eq!(readers.numbers(products, NO_ARGS).await, [3]);
    let closed = "SELECT sale_ends_at FROM products WHERE id = ? AND sale_starts_at < sale_ends_at";
    let ends_at = readers.numbers(closed, [later]).await;
    assert!(ends_at.len() == 1 && ends_at[0] <= now_s(), "{ends_at:?}");
}

/// Statements that read products, since the server was told to write every statement down.
async fn looks(readers: &Readers) -> i64 {
    let sql = "SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Execute'
         AND argument LIKE '%FROM products WHERE deleted_at IS NULL AND id IN%' AND argument NOT LIKE '%general_log%'";
    readers.numbers(sql, NO_ARGS).await[0]
}

/// Reads through the first instance, all at the same time; how many of them are there.
async fn read(readers: &Readers, ids: impl Iterator<Item = i64>) -> usize {
    let reading = ids.map(|id| readers.get(0, id));
    let told = futures_util::future::join_all(reading).await;
    let refused = |told: &Result<Product, _>| told.as_ref().err().map(tonic::Status::code);
    let refused: Vec<Code> = told.iter().filter_map(refused).collect();
    assert!(
        refused.iter().all(|code| *code == Code::NotFound),
        "{refused:?}"
    );
    told.len() - refused.len()
}

/// On a server, which writes down what it is asked.
pub async fn a_crowd_of_readers_costs_few_statements(readers: &Readers) {
    for sql in [
        "SET GLOBAL log_output = 'TABLE'",
        "SET GLOBAL general_log = ON",
    ] {
        readers.run(sql, NO_ARGS).await;
    }
    let id = readers.make(product("shoes", -60, 3_600)).await;
    let grant = "INSERT INTO allocations (product_id, epoch, granted) VALUES (?, 1, 10)";
    readers.run(grant, [id]).await;
    let before = looks(readers).await;
    let cold = read(readers, std::iter::repeat_n(id, 200)).await;
    assert_eq!(cold, 200);
    assert_eq!(looks(readers).await - before, 1, "one look for all of them");
    // What is bought is seen, and is no reason to look at the product.
    for sold in 1..=5 {
        let sell = "UPDATE allocations SET sold = ? WHERE product_id = ?";
        readers.run(sell, [sold, id]).await;
        let left = 10 - i32::try_from(sold).expect("few");
        let is_seen = async || readers.get(0, id).await.expect("there").stock == left;
        until("one fewer is left", is_seen).await;
    }
    let asked = looks(readers).await - before - 1;
    assert!(asked <= 3, "{asked} for purchases");
    // Nor do those cost much who ask for what was never there, and nothing when they ask again.
    let before = looks(readers).await;
    for round in 1..=4 {
        let ids = (0..500).map(|at| round * 1_000_000 + at);
        assert_eq!(read(readers, ids).await, 0);
    }
    let asked = looks(readers).await - before;
    eprintln!("{asked} statements for 2000 ids that are not there");
    assert!((4..=1_000).contains(&asked), "{asked}");
    let before = looks(readers).await;
    for _ in 0..200 {
        assert_eq!(read(readers, std::iter::once(9_000_000)).await, 0);
    }
    let asked = looks(readers).await - before;
    assert!((1..=20).contains(&asked), "{asked}");
}
