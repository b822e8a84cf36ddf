//! The gateway in front of all other roles, as whoever has `curl` sees it.

mod bad_input;
#[path = "../shops/config.rs"]
mod config;
mod counted;
mod document;
mod floods;
mod large_texts;
mod limits;
mod nobody_sells;
mod shop;
mod slow_clients;

use http::Method;
use shop::Shop;
use std::collections::BTreeSet;

#[tokio::test]
async fn a_buyer_registers_buys_waits_for_the_order_cancels_buys_again_and_pays() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let admin = shop.login("admin").await;
            let product = shop.product(2, &admin).await;
            let new = r#"{"username":"ann","password":"password123","email":"ann@example.org"}"#;
            let registered = shop
                .post("/api/v1/auth/register", new, "")
                .await
                .expect(200);
            assert_eq!(registered.body["user"]["username"], "ann");
            let again = shop
                .post("/api/v1/auth/register", new, "")
                .await
                .expect(409);
            assert!(again.message().contains("taken"), "{again:?}");
            let ann = shop.login("ann").await;
            let bought = shop.buy(product, &ann).await.expect(200);
            assert_eq!(bought.body["success"], true);
            let order = bought.number("order_id");
            let repeated = shop.buy(product, &ann).await.expect(200);
            assert_eq!(repeated.number("order_id"), order, "one order per buyer");
            let path = format!("/api/v1/orders/{order}");
            let written = shop
                .get(&format!("{path}?wait=10s"), &ann)
                .await
                .expect(200);
            assert_eq!(written.body["order"]["id"].as_i64(), Some(order));
            assert_eq!(written.body["order"]["status"], 0);
            assert_eq!(written.body["order"]["total_price"], 19.99);
            shop.post(&format!("{path}/cancel"), "", &ann)
                .await
                .expect(200);
            let second = shop.buys_again(product, &ann, order).await;

            let path = format!("/api/v1/orders/{second}");
            shop.get(&format!("{path}?wait=10s"), &ann)
                .await
                .expect(200);
            shop.post(&format!("{path}/pay"), "", &ann)
                .await
                .expect(200);
            let conflict = shop
                .post(&format!("{path}/cancel"), "", &ann)
                .await
                .expect(409);
            assert!(conflict.message().contains("is paid"), "{conflict:?}");
            let mine = shop.get("/api/v1/orders/my", &ann).await.expect(200);
            let ids = mine.body["orders"].as_array().expect("orders").iter();
            let ids: BTreeSet<_> = ids.filter_map(|one| one["id"].as_i64()).collect();
            assert_eq!(ids, BTreeSet::from([order, second]));
        },
    )
    .await;
}

#[tokio::test]
async fn who_has_no_unit_left_is_told_so_and_foreign_orders_are_nobodys() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let admin = shop.login("admin").await;
            let product = shop.product(1, &admin).await;
            let (one, two) = (shop.login("testuser1").await, shop.login("testuser2").await);
            let order = shop.buy(product, &one).await.expect(200).number("order_id");
            let refused = shop.buy(product, &two).await.expect(409);
            assert_eq!(
                (refused.message(), &refused.body["success"]),
                ("sold out", &false.into())
            );
            let path = format!("/api/v1/orders/{order}");
            shop.get(&format!("{path}?wait=10s"), &one)
                .await
                .expect(200);
            for (method, path) in [
                (Method::GET, path.clone()),
                (Method::POST, format!("{path}/cancel")),
                (Method::POST, format!("{path}/pay")),
            ] {
                let foreign = shop.send(shop.request(method, &path, ""), &two).await;
                let foreign = foreign.expect(404);
                assert_eq!(
                    foreign.message(),
                    format!("there is no order {order} of yours")
                );
            }
            shop.get(&path, &admin).await.expect(200);
            shop.post(&format!("{path}/complete"), "", &one)
                .await
                .expect(403);
            shop.post(&format!("{path}/complete"), "", &admin)
                .await
                .expect(409);
            shop.post(&format!("{path}/pay"), "", &one)
                .await
                .expect(200);
            shop.post(&format!("{path}/complete"), "", &admin)
                .await
                .expect(200);
        },
    )
    .await;
}

#[tokio::test]
async fn administrators_change_a_sale_while_it_is_on() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let admin = shop.login("admin").await;
            let product = shop.product(1, &admin).await;
            let buyers = [shop.login("testuser1").await, shop.login("testuser2").await];
            shop.buy(product, &buyers[0]).await.expect(200);
            shop.buy(product, &buyers[1]).await.expect(409);
            let path = format!("/api/v1/products/{product}/stock/return");
            let keyed = |body: &str| {
                let mut request = shop.request(Method::POST, &path, body);
                let key = "more".parse().expect("ASCII");
                request.headers_mut().insert("idempotency-key", key);
                request
            };
            shop.send(keyed(r#"{"quantity":1}"#), &buyers[0])
                .await
                .expect(403);
            for _ in 0..2 {
                let raised = shop
                    .send(keyed(r#"{"quantity":1}"#), &admin)
                    .await
                    .expect(200);
                assert_eq!(raised.message(), "the stock is 2");
            }
            shop.buy(product, &buyers[1]).await.expect(200);
            let path = format!("/api/v1/products/{product}");
            let cut = shop.put(&path, r#"{"stock":0}"#, &admin).await.expect(200);
            assert_eq!(cut.message(), "the stock is 2, not 0: so many are sold");
        },
    )
    .await;
}

#[tokio::test]
async fn an_administrator_buys_for_somebody_else_who_then_has_the_order() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let (admin, buyer) = (shop.login("admin").await, shop.login("testuser1").await);
            let product = shop.product(1, &admin).await;
            let me = shop.get("/api/v1/users/me", &buyer).await.expect(200);
            let body = format!(
                r#"{{"user_id":{},"product_id":{product},"quantity":1}}"#,
                me.body["user"]["id"]
            );
            let asking = async {
                loop {
                    let mut request = shop.request(Method::POST, "/api/v1/orders", &body);
                    let key = "gift".parse().expect("ASCII");
                    request.headers_mut().insert("idempotency-key", key);
                    let told = shop.send(request, &admin).await;
                    // Its row has not been read yet, or its first epoch opens.
                    if ![404, 503].contains(&told.status.as_u16()) {
                        return told.expect(200).number("order_id");
                    }
                    tokio::time::sleep(shop::RETRY).await;
                }
            };
            let order = tokio::time::timeout(shop::PATIENCE, asking).await;
            let path = format!(
                "/api/v1/orders/{}?wait=10s",
                order.expect("an order in time")
            );
            shop.get(&path, &buyer).await.expect(200);
        },
    )
    .await;
}

#[tokio::test]
async fn a_changed_password_ends_every_token() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let old = shop.login("testuser1").await;
            let refreshed = shop
                .post("/api/v1/auth/refresh", "", &old)
                .await
                .expect(200);
            let other = refreshed.body["token"]
                .as_str()
                .expect("a token")
                .to_owned();
            let me = shop.get("/api/v1/users/me", &other).await.expect(200);
            assert_eq!(me.body["user"]["username"], "testuser1");
            let body = r#"{"email":"one@example.org"}"#;
            let changed = shop.put("/api/v1/users/me", body, &old).await.expect(200);
            assert_eq!(changed.body["user"]["email"], "one@example.org");
            let body = r#"{"old_password":"password123","new_password":"another password"}"#;
            shop.put("/api/v1/users/me/password", body, &old)
                .await
                .expect(200);
            shop.get("/api/v1/users/me", &other).await.expect(401);
            let ended = async {
                while shop.get("/api/v1/orders/my", &old).await.status != 401 {
                    tokio::time::sleep(shop::RETRY).await;
                }
            };
            let ended = tokio::time::timeout(shop::PATIENCE, ended).await;
            ended.expect("the gateway learns of it");
        },
    )
    .await;
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request_and_a_missing_token_is_asked_for() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let mut request = shop.request(Method::GET, "/api/v1/orders/my", "");
            let id = "checkout-7".parse().expect("ASCII");
            request.headers_mut().insert("x-request-id", id);
            let told = shop.send(request, "").await.expect(401);
            assert_eq!(told.headers["x-request-id"], "checkout-7");
            assert_eq!(told.headers["www-authenticate"], "Bearer");
            let told = shop.get("/nowhere", "").await.expect(404);
            assert_eq!(told.headers["x-request-id"].len(), 16);
        },
    )
    .await;
}

#[tokio::test]
async fn everybody_sees_what_is_on_sale_and_administrators_take_it_away() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let admin = shop.login("admin").await;
            let product = shop.product(5, &admin).await;
            let path = format!("/api/v1/products/{product}");
            let one = shop.get(&path, "").await.expect(200);
            let shown = &one.body["product"];
            assert_eq!(
                (&shown["name"], &shown["price"]),
                (&"shoes".into(), &19.99.into())
            );
            assert_eq!(shown["stock"], 5);
            let on = shop.get("/api/v1/products?status=1", "").await.expect(200);
            assert_eq!(
                (on.number("total"), &on.body["products"][0]["id"]),
                (1, &product.into())
            );
            let ended = shop.get("/api/v1/products?status=2", "").await.expect(200);
            assert_eq!(ended.number("total"), 0);
            shop.get("/api/v1/products?status=3", "").await.expect(400);
            shop.get("/api/v1/products/99", "").await.expect(404);
            let buyer = shop.login("testuser1").await;
            let delete = |token: &str| {
                let request = shop.request(Method::DELETE, &path, "");
                let token = token.to_owned();
                async move { shop.send(request, &token).await }
            };
            delete(&buyer).await.expect(403);
            let on_sale = delete(&admin).await.expect(409);
            assert!(
                !on_sale.message().is_empty(),
                "it says what stands in the way"
            );
        },
    )
    .await;
}
