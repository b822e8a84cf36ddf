//! The longest texts that a product may have: they go in through the gateway, whole pages of them come
//! out, and nobody but administrators may send so much.

use crate::shop::{PATIENCE, Shop};
use database::{Database, NO_ARGS, PoolLimits};
use std::cell::OnceCell;

/// The longest description, and products of a page.
const CHARACTERS: usize = 8_000;
const PAGE: usize = 100;
/// Largest body of an administrator, bytes.
const BODY_BYTES: usize = 128 * 1024;
/// A shoe, as JSON has it that is written in ASCII: no character takes more bytes.
const SHOE: &str = "\\ud83d\\udc5f";

/// A product whose sale is over, with these texts.
fn product(name: &str, description: &str, image_url: &str) -> String {
    format!(
        r#"{{"name":"{name}","description":"{description}","image_url":"{image_url}","price":19.99,"stock":1,"seckill_start_time":1,"seckill_end_time":2}}"#
    )
}

/// The page of all products; how many characters the description of each has.
async fn described(shop: &Shop) -> Vec<usize> {
    let path = format!("/api/v1/products?page_size={PAGE}");
    let page = shop.get(&path, "").await.expect(200);
    let products = page.body["products"].as_array().expect("products").iter();
    let described = products.map(|product| {
        let description = product["description"].as_str().expect("a text");
        description.chars().count()
    });
    described.collect()
}

#[tokio::test]
async fn the_longest_texts_go_in_and_come_out_and_longer_ones_are_refused() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let (admin, buyer) = (shop.login("admin").await, shop.login("testuser1").await);
            let products = "/api/v1/products";
            let (name, image) = (SHOE.repeat(128), SHOE.repeat(512));
            let longest = product(&name, &SHOE.repeat(CHARACTERS), &image);
            for _ in 0..PAGE {
                shop.post(products, &longest, &admin).await.expect(200);
            }
            assert_eq!(described(shop).await, [CHARACTERS; PAGE]);
            let one = format!("{products}/1");
            let shorter = format!(r#"{{"description":"{}"}}"#, SHOE.repeat(CHARACTERS - 1));
            shop.put(&one, &shorter, &admin).await.expect(200);
            let told = shop.get(&one, "").await.expect(200);
            let text = told.body["product"]["description"].as_str();
            assert_eq!(text.map(|it| it.chars().count()), Some(CHARACTERS - 1));

            let longer = product("x", &"x".repeat(CHARACTERS + 1), "");
            let told = shop.post(products, &longer, &admin).await.expect(400);
            assert!(
                told.message().contains("at most 8000 characters"),
                "{told:?}"
            );
            // Whatever is allowed fits; what fits nowhere is refused unread.
            let huge = product("x", &"x".repeat(BODY_BYTES), "");
            let told = shop.post(products, &huge, &admin).await.expect(413);
            assert!(told.message().contains("131072 bytes"), "{told:?}");
            // What is refused is little, so that it is sent before the connection is closed on it.
            let long = product("x", &"x".repeat(5_000), "");
            shop.post(products, &long, &buyer).await.expect(413);
            shop.post(products, &long, "").await.expect(401);
            let elsewhere = format!(r#"{{"old_password":"{}"}}"#, "x".repeat(5_000));
            let password = "/api/v1/users/me/password";
            shop.put(password, &elsewhere, &admin).await.expect(413);
        },
    )
    .await;
}

#[tokio::test]
async fn a_page_of_longer_texts_that_an_older_release_has_taken_can_still_be_read() {
    const TAKEN: usize = 16_000;
    let url = OnceCell::new();
    Shop::open(
        |config| drop(url.set(config.database.url.clone())),
        async |shop: &Shop| {
            let admin = shop.login("admin").await;
            let short = product("x", "", "");
            for _ in 0..PAGE {
                shop.post("/api/v1/products", &short, &admin)
                    .await
                    .expect(200);
            }
            let limits = PoolLimits {
                connections_max: 1,
                statement_max: PATIENCE,
                acquire_max: PATIENCE,
                lock_wait_max: None,
                idle_transaction_max: None,
            };
            let database = Database::open(url.get().expect("set"), &limits).expect("a URL");
            let text = "\u{1F45F}".repeat(TAKEN);
            let sql = format!("UPDATE products SET description = '{text}'");
            database.run(&sql, NO_ARGS).await.expect("changed");
            assert_eq!(described(shop).await, [TAKEN; PAGE]);
        },
    )
    .await;
}
