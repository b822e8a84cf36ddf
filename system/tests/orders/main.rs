//! The order service as its clients meet it, in front of the whole system in this process: an order
//! is cancelled, paid, listed, made for somebody else, and refused, each with its status and a
//! sentence.

#[path = "../shops/config.rs"]
mod config;
mod shop;

use engines::UserId;
use shop::{PRODUCT, Shop, with};
use std::time::Duration;
use system::config::{Config, JwtConfig};
use system::proto::order::{CompleteOrderRequest, CreateOrderRequest, ListUserOrdersRequest};
use system::tokens::{Role, Tokens};
use tonic::{Code, Status};

/// Engines with their stock in a server (a table here) and in the process.
const ENGINES: [&str; 2] = ["database-row", "preallocated"];
const SECRET: &str = "not a secret at all, only for tests of tokens";

fn is(status: Result<(), Status>, code: Code, says: &str) {
    let status = status.expect_err(says);
    assert_eq!((status.code(), status.message()), (code, says));
}

#[tokio::test]
async fn who_cancels_can_buy_again_at_once_and_the_units_are_sold_once() {
    for engine in ENGINES {
        let mut shop = Shop::open(engine, |_| ()).await;
        let first = shop.buy(1).await.expect("there are four");
        for user in 2..=4 {
            shop.buy(user).await.expect("there are four");
        }
        assert_eq!(shop.buy(5).await, Err("sold out".to_owned()), "{engine}");
        shop.cancel(first, 1).await.expect("it is theirs");
        let (second, took) = shop.buy_again(1, first).await;
        println!("{engine}: bought again {took:?} after the cancel");
        is(
            shop.cancel(first, 1).await,
            Code::FailedPrecondition,
            &format!("order {first} is cancelled already"),
        );
        shop.cancel(second, 1).await.expect("it is theirs");
        let (fifth, _) = shop.buy_again(5, 0).await;
        // Until its release has run, a cancelled order is what a retry is told.
        let mut told = shop.buy(1).await;
        while told == Ok(second) {
            told = shop.buy(1).await;
        }
        assert_eq!(told, Err("sold out".to_owned()), "{engine}");
        assert_eq!(shop.written(fifth).await.status, 0);
        assert_eq!(shop.get(first).await.expect("a row").status, 2);
        shop.close().await;
    }
}

#[tokio::test]
async fn a_paid_order_is_not_cancelled_and_a_cancelled_one_is_not_paid() {
    let mut shop = Shop::open("preallocated", |_| ()).await;
    let (paid, cancelled) = (shop.buy(1).await.unwrap(), shop.buy(2).await.unwrap());
    shop.pay(paid, 1).await.expect("it is theirs");
    shop.cancel(cancelled, 2).await.expect("it is theirs");
    is(
        shop.cancel(paid, 1).await,
        Code::FailedPrecondition,
        &format!("order {paid} is paid: it cannot be cancelled"),
    );
    is(
        shop.pay(cancelled, 2).await,
        Code::FailedPrecondition,
        &format!("order {cancelled} is cancelled: it cannot be paid"),
    );
    is(
        shop.pay(paid, 1).await,
        Code::FailedPrecondition,
        &format!("order {paid} is paid already"),
    );
    let order = shop.get(paid).await.expect("a row");
    assert_eq!((order.status, order.total_price), (1, 12.5));
    shop.close().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_is_wrong() {
    let mut shop = Shop::open("preallocated", |_| ()).await;
    let order = shop.buy(1).await.unwrap();
    let nowhere = |id: i64| format!("there is no order {id} of yours");
    // Once its row is there, it is somebody else's; an id that nobody has minted is unknown.
    shop.pay(order, 1).await.expect("it is theirs");
    is(shop.cancel(order, 2).await, Code::NotFound, &nowhere(order));
    is(shop.pay(77, 1).await, Code::NotFound, &nowhere(77));
    is(
        shop.cancel(-1, 1).await,
        Code::InvalidArgument,
        "order_id must be positive, got -1",
    );
    is(
        shop.cancel(order, -3).await,
        Code::InvalidArgument,
        "user_id must be positive, got -3",
    );
    is(
        shop.cancel(order, 0).await,
        Code::InvalidArgument,
        "user_id must be positive, got 0",
    );
    is(shop.get(77).await.map(drop), Code::NotFound, &nowhere(77));
    let made = shop
        .orders
        .create_order(CreateOrderRequest::default())
        .await;
    is(
        made.map(drop),
        Code::PermissionDenied,
        "administrators need a token, and jwt.secret is not set",
    );
    shop.close().await;
}

#[tokio::test]
async fn with_tokens_everybody_sees_and_changes_their_own_and_administrators_all() {
    let jwt = JwtConfig {
        secret: SECRET.to_owned(),
        ..JwtConfig::default()
    };
    let tokens = Tokens::new(&jwt).expect("a secret");
    let token = |user, role| {
        let token = tokens.issue(UserId(user), role, Duration::from_secs(60));
        (
            "authorization",
            format!("Bearer {}", token.expect("signed")),
        )
    };
    let mut shop = Shop::open("database-row", |config: &mut Config| {
        config.jwt = jwt.clone()
    })
    .await;
    let order = shop.buy(1).await.unwrap();
    let without = shop.cancel(order, 1).await.expect_err("no token");
    assert_eq!(without.code(), Code::Unauthenticated);
    use system::proto::order::{GetOrderRequest, PayOrderRequest};
    let get = GetOrderRequest { order_id: order };
    let seen = async |shop: &mut Shop, user, role| {
        let request = with(get, &[token(user, role)]);
        shop.orders.get_order(request).await.map(drop)
    };
    // The row may take a moment.
    let own = PayOrderRequest {
        order_id: order,
        user_id: 0,
    };
    let foreign = with(own, &[token(2, Role::User)]);
    let nowhere = format!("there is no order {order} of yours");
    is(
        shop.orders.pay_order(foreign).await.map(drop),
        Code::NotFound,
        &nowhere,
    );
    let paid = with(own, &[token(1, Role::User)]);
    shop.orders.pay_order(paid).await.expect("their own");
    seen(&mut shop, 1, Role::User).await.expect("their own");
    seen(&mut shop, 9, Role::Admin).await.expect("anybody's");
    is(
        seen(&mut shop, 2, Role::User).await,
        Code::NotFound,
        &nowhere,
    );

    let complete = CompleteOrderRequest { order_id: order };
    let as_user = with(complete, &[token(1, Role::User)]);
    is(
        shop.orders.complete_order(as_user).await.map(drop),
        Code::PermissionDenied,
        "this is for administrators only",
    );
    let as_admin = with(complete, &[token(9, Role::Admin)]);
    shop.orders
        .complete_order(as_admin)
        .await
        .expect("it is paid");

    // Orders made for somebody else go through the same sale, once for each key.
    let create = CreateOrderRequest {
        user_id: 5,
        product_id: PRODUCT,
        quantity: 2,
        total_price: 25.0,
    };
    let make = |create: CreateOrderRequest, key: &str| {
        let key = ("idempotency-key", key.to_owned());
        with(create, &[token(9, Role::Admin), key])
    };
    let made = shop
        .orders
        .create_order(make(create, "a"))
        .await
        .expect("made");
    let again = shop
        .orders
        .create_order(make(create, "a"))
        .await
        .expect("the same");
    assert_eq!(made.into_inner(), again.into_inner());
    for (wrong, key, code) in [
        (
            CreateOrderRequest {
                quantity: 1,
                total_price: 0.0,
                ..create
            },
            "a",
            Code::FailedPrecondition,
        ),
        (
            CreateOrderRequest {
                total_price: 20.0,
                ..create
            },
            "b",
            Code::InvalidArgument,
        ),
        (
            CreateOrderRequest {
                product_id: 99,
                ..create
            },
            "c",
            Code::NotFound,
        ),
        (
            CreateOrderRequest {
                quantity: 0,
                ..create
            },
            "d",
            Code::InvalidArgument,
        ),
        (create, "", Code::InvalidArgument),
        // Of four units one is left.
        (
            CreateOrderRequest {
                user_id: 6,
                ..create
            },
            "e",
            Code::FailedPrecondition,
        ),
    ] {
        let refused = shop.orders.create_order(make(wrong, key)).await;
        let refused = refused.expect_err(key);
        assert_eq!(refused.code(), code, "{key}: {refused}");
    }
    let list = ListUserOrdersRequest {
        user_id: 5,
        ..ListUserOrdersRequest::default()
    };
    let of_another = with(list, &[token(1, Role::User)]);
    let refused = shop
        .orders
        .list_user_orders(of_another)
        .await
        .expect_err("not theirs");
    assert_eq!(refused.code(), Code::NotFound);
    let mut listed = 0;
    for _ in 0..500 {
        let own = with(list, &[token(5, Role::User)]);
        let answer = shop.orders.list_user_orders(own).await.expect("their own");
        listed = answer.into_inner().total;
        if listed == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(listed, 1);
    shop.close().await;
}
