//! What a client can do wrong, on every route: the right status, what is wrong, and nothing done.

use crate::shop::Shop;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

#[tokio::test]
async fn every_route_says_what_is_wrong_with_its_input() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let user = shop.login("testuser1").await;
            let admin = shop.login("admin").await;
            let (post, get, put) = (Method::POST, Method::GET, Method::PUT);
            let buy = "/api/v1/seckill/execute";
            let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
            let large = format!(r#"{{"product_id":1,"x":"{}"}}"#, "x".repeat(5_000));
            for (method, path, body, token, status, text) in [
                (&post, buy, "", &user, 400, "the body"),
                (&post, buy, "{", &user, 400, "the body"),
                (&post, buy, "[]", &user, 400, "must be an object"),
                (&post, buy, &*deep, &user, 400, "nested deeper than 8"),
                (&post, buy, "{}", &user, 400, "product_id is missing"),
                (
                    &post,
                    buy,
                    r#"{"product_id":"1"}"#,
                    &user,
                    400,
                    "product_id must be a whole number",
                ),
                (&post, buy, r#"{"product_id":1.5}"#, &user, 400, "got 1.5"),
                (
                    &post,
                    buy,
                    r#"{"product_id":9223372036854775808}"#,
                    &user,
                    400,
                    "got 9223372036854775808",
                ),
                (
                    &post,
                    buy,
                    r#"{"product_id":1,"product_id":2}"#,
                    &user,
                    400,
                    "product_id\" is given twice",
                ),
                (
                    &post,
                    buy,
                    r#"{"product_id":1,"user_id":2}"#,
                    &user,
                    400,
                    "user_id",
                ),
                (
                    &post,
                    buy,
                    r#"{"product_id":1,"quantity":0}"#,
                    &user,
                    400,
                    "quantity must be 1 to 100, got 0",
                ),
                (
                    &post,
                    buy,
                    r#"{"product_id":1,"quantity":-1}"#,
                    &user,
                    400,
                    "quantity must be 1 to 100, got -1",
                ),
                (
                    &post,
                    buy,
                    r#"{"product_id":1,"quantity":101}"#,
                    &user,
                    400,
                    "quantity must be 1 to 100, got 101",
                ),
                (
                    &post,
                    buy,
                    r#"{"product_id":99}"#,
                    &user,
                    404,
                    "no product 99 is on sale",
                ),
                (
                    &post,
                    buy,
                    r#"{"product_id":-1}"#,
                    &user,
                    404,
                    "no product -1 is on sale",
                ),
                (&post, buy, &*large, &user, 413, "4096 bytes"),
                (
                    &post,
                    buy,
                    r#"{"product_id":1}"#,
                    &String::new(),
                    401,
                    "a token is needed",
                ),
                (
                    &post,
                    buy,
                    r#"{"product_id":1}"#,
                    &"x.y.z".to_owned(),
                    401,
                    "malformed",
                ),
                (&get, buy, "", &user, 405, "cannot be done here"),
                (
                    &get,
                    "/api/v1/orders/0",
                    "",
                    &user,
                    400,
                    "positive whole number",
                ),
                (
                    &get,
                    "/api/v1/orders/x",
                    "",
                    &user,
                    400,
                    "positive whole number",
                ),
                (
                    &get,
                    "/api/v1/orders/99",
                    "",
                    &user,
                    404,
                    "no order 99 of yours",
                ),
                (
                    &get,
                    "/api/v1/orders/99?wait=1h",
                    "",
                    &user,
                    400,
                    "at most 10s",
                ),
                (&get, "/api/v1/orders/99?wiat=1s", "", &user, 400, "wiat"),
                (
                    &get,
                    "/api/v1/orders/my?page=-1",
                    "",
                    &user,
                    400,
                    "must not be negative",
                ),
                (
                    &get,
                    "/api/v1/orders/my?page_size=101",
                    "",
                    &user,
                    400,
                    "page_size must be 1 to 100",
                ),
                (
                    &get,
                    "/api/v1/orders/my?page=x",
                    "",
                    &user,
                    400,
                    "the query",
                ),
                (
                    &get,
                    "/api/v1/orders/my?user_id=1000",
                    "",
                    &user,
                    404,
                    "another user",
                ),
                (&post, "/api/v1/orders/99/cancel", "", &user, 404, ""),
                (
                    &post,
                    "/api/v1/orders/-1/pay",
                    "",
                    &user,
                    400,
                    "positive whole number",
                ),
                (
                    &post,
                    "/api/v1/orders",
                    r#"{"user_id":1,"product_id":1,"quantity":1}"#,
                    &user,
                    403,
                    "administrators",
                ),
                (
                    &post,
                    "/api/v1/orders",
                    r#"{"user_id":1,"product_id":1,"quantity":1}"#,
                    &admin,
                    400,
                    "idempotency-key",
                ),
                (
                    &post,
                    "/api/v1/auth/login",
                    r#"{"username":"testuser1","password":"wrong password"}"#,
                    &String::new(),
                    401,
                    "no such username and password",
                ),
                (
                    &post,
                    "/api/v1/auth/login",
                    r#"{"username":"testuser1"}"#,
                    &String::new(),
                    400,
                    "password",
                ),
                (
                    &post,
                    "/api/v1/auth/register",
                    r#"{"username":"a","password":"password123"}"#,
                    &String::new(),
                    400,
                    "3 to 32",
                ),
                (&get, "/api/v1/users/2147483647", "", &user, 404, ""),
                (
                    &put,
                    "/api/v1/users/me",
                    r#"{"username":"x"}"#,
                    &user,
                    400,
                    "username",
                ),
                (
                    &put,
                    "/api/v1/users/me/password",
                    r#"{"old_password":"wrong password","new_password":"password124"}"#,
                    &user,
                    403,
                    "old_password is wrong",
                ),
                (&post, "/api/v1/products", "{}", &user, 400, "name"),
                (
                    &put,
                    "/api/v1/products/1",
                    r#"{"stock":1}"#,
                    &user,
                    403,
                    "administrators",
                ),
                (
                    &put,
                    "/api/v1/products/1",
                    r#"{"stock":-1}"#,
                    &admin,
                    400,
                    "stock",
                ),
                (&get, "/api/v2", "", &user, 404, "nothing here"),
            ] {
                let told = shop
                    .send(shop.request(method.clone(), path, body), token)
                    .await;
                let told = told.expect(status);
                assert!(
                    told.message().contains(text),
                    "{method} {path} {body}: {told:?}"
                );
            }
        },
    )
    .await;
}

#[tokio::test]
async fn what_is_no_json_and_what_is_too_long_is_refused() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let user = shop.login("testuser1").await;
            let request = |kind: &str, length: usize| {
                let request =
                    Request::post(format!("http://{}/api/v1/seckill/execute", shop.gateway))
                        .header("content-type", kind)
                        .header("x-long", "x".repeat(length));
                request.body(Full::<Bytes>::from("{}")).expect("a request")
            };
            let told = shop.send(request("text/plain", 1), &user).await.expect(415);
            assert!(told.message().contains("application/json"));
            let json = "application/json; charset=utf-8";
            shop.send(request(json, 1), &user).await.expect(400);
            let long = shop.send(request(json, 20_000), &user).await.expect(431);
            assert!(long.message().contains("16384 bytes"), "{long:?}");
            let path = format!("/api/v1/orders/my?{}", "x".repeat(5_000));
            shop.get(&path, &user).await.expect(414);
            let huge = "x".repeat(5_000);
            let told = shop.get("/api/v1/orders/my", &huge).await.expect(401);
            assert!(
                told.message().contains("longer than 4096 bytes"),
                "{told:?}"
            );
        },
    )
    .await;
}
