//! Whatever bytes come: no parser of what is from outside panics, what it takes is within its bounds,
//! and what it refuses it refuses without showing a secret.

use crate::config::{Config, JwtConfig};
use crate::envelope::{self, Envelope, InvalidOrder, MAX_ORDERS_PER_MESSAGE, OrderEvent};
use crate::ids::Generation;
use crate::money::whole_cents;
use crate::proto::{auth, events, order, product, seckill, user};
use crate::tokens::{self, Role, Tokens};
use engines::{AllocationId, IncarnationId, OrderId, SaleId, UserId};
use fuzzing::{check, check_text};
use prost::Message;
use std::time::Duration;
use tonic::Code;
use tonic::metadata::{MetadataMap, MetadataValue};

const KEY: &str = "a key of more than thirty-two bytes, for tests";

fn event(order: i64) -> OrderEvent {
    OrderEvent {
        order: OrderId(order),
        user: UserId(2),
        sale: SaleId(3),
        quantity: 4,
        total_price_cents: 500,
        allocation: AllocationId(6),
        created_at_ms: 7_000,
    }
}

fn is_within_bounds(order: &OrderEvent) -> bool {
    let ids = [
        order.order.0,
        order.user.0,
        order.sale.0,
        order.created_at_ms,
    ];
    ids.iter().all(|id| *id > 0) && order.quantity > 0 && order.total_price_cents >= 0
}

#[test]
fn an_order_batch_is_read_or_refused() {
    let orders: Vec<_> = (1..4).map(event).collect();
    let batch = envelope::encode_orders(IncarnationId(8), Generation(9), &orders);
    check(&[batch], |body| {
        match envelope::decode(Some(envelope::ORDER_BATCH_TYPE), body) {
            Ok(Envelope::Orders { valid, invalid, .. }) => {
                let count = valid.len() + invalid.len();
                assert!((1..=MAX_ORDERS_PER_MESSAGE).contains(&count));
                assert!(valid.iter().all(is_within_bounds), "{valid:?}");
                // Each of the others is parked, and read again by whoever looks.
                for order in &invalid {
                    assert!(envelope::decode_order(&order.encode()).is_err());
                }
            }
            Ok(Envelope::Marker { .. }) => panic!("a marker"),
            Err(reason) => assert!(!reason.is_empty()),
        }
    });
}

#[test]
fn a_marker_is_read_or_refused() {
    check(&[envelope::encode_marker(u64::MAX)], |body| {
        let read = envelope::decode(Some(envelope::MARKER_TYPE), body);
        assert!(!matches!(read, Ok(Envelope::Orders { .. })));
    });
}

#[test]
fn a_parked_body_is_read_or_refused() {
    let raw = events::OrderCreated::decode(&*envelope::encode_order(event(1))).expect("an order");
    let broken = InvalidOrder {
        raw: events::OrderCreated { quantity: 0, ..raw },
        reason: "none".to_owned(),
    };
    let seeds = [envelope::encode_order(event(1)), broken.encode()];
    check(&seeds, |body| {
        if let Ok(order) = envelope::decode_order(body) {
            assert!(is_within_bounds(&order), "{order:?}");
            // What is read is written as what is read again.
            let again = envelope::decode_order(&envelope::encode_order(order));
            assert_eq!(again, Ok(order));
        }
    });
}

#[test]
fn a_token_is_believed_only_as_it_was_issued() {
    let config = JwtConfig {
        secret: KEY.to_owned(),
        ..JwtConfig::default()
    };
    let tokens = Tokens::new(&config).expect("a secret is set");
    let issue = |role| tokens.issue(UserId(7), role, Duration::from_secs(3_600));
    let user = issue(Role::User).expect("issued");
    let admin = issue(Role::Admin).expect("issued");
    let seeds = [&user, &admin].map(|token| format!("Bearer {token}").into_bytes());
    check(&seeds, |value| {
        let mut metadata = MetadataMap::new();
        // What cannot be sent in a header nobody has to read.
        let Ok(value) = MetadataValue::try_from(value) else {
            return;
        };
        metadata.insert("authorization", value);
        match tokens.caller(&metadata) {
            Ok(caller) => {
                let token = tokens::token_of(&metadata).expect("a token");
                assert!(token == user || token == admin, "{token}");
                assert_eq!((caller.user, caller.is_admin), (UserId(7), token == admin));
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unauthenticated);
                assert!(!status.message().contains("thirty-two"));
            }
        }
    });
}

#[test]
fn a_request_is_decoded_or_refused() {
    let bought = seckill::SeckillRequest {
        user_id: 1,
        product_id: 2,
        quantity: 3,
        ..Default::default()
    };
    let made = order::CreateOrderRequest {
        user_id: 1,
        product_id: 2,
        quantity: 3,
        total_price: 4.5,
    };
    let registered = auth::RegisterRequest {
        username: "me".to_owned(),
        password: "a password".to_owned(),
        email: "me@example.org".to_owned(),
        phone: "1".to_owned(),
    };
    let seeds = [
        bought.encode_to_vec(),
        made.encode_to_vec(),
        registered.encode_to_vec(),
    ];
    check(&seeds, |body| {
        let _ = seckill::SeckillRequest::decode(body);
        let _ = order::ListUserOrdersRequest::decode(body);
        let _ = user::UpdateUserRequest::decode(body);
        let _ = auth::RegisterRequest::decode(body);
        let _ = product::CreateProductRequest::decode(body);
        if let Ok(made) = order::CreateOrderRequest::decode(body) {
            // What is not a whole number of cents has none; what is comes back as it was.
            if let Some(cents) = whole_cents(made.total_price) {
                assert_eq!(whole_cents(cents as f64 / 100.0), Some(cents), "{made:?}");
            }
        }
    });
}

#[test]
fn a_configuration_is_read_or_refused_without_its_secrets() {
    let example = include_str!("../../seckill.example.toml");
    let seeds = [
        example,
        "[mq]\nurl = 'amqp://shop:sesame@rabbit/'\n[jwt]\nsecret = 'x'\n",
        "seckill.engine = 'sharded-slots?slots=16'\n[engines.sharded-slots]\nredis.url = 'redis://h/'",
    ];
    let registry = engines::Registry::standard();
    check_text(&seeds, |text| {
        let Ok(config) = toml::from_str::<Config>(text) else {
            return;
        };
        let _ = config.check_engines(&registry);
        let _ = config.check_production(&registry);
        let shown = format!("{config:?} {}", config.masked(&registry));
        for url in [&config.mq.url, &config.database.url, &config.redis.url] {
            let is_secret = database::has_password(url) && *url != database::masked(url);
            assert!(!is_secret || !shown.contains(url.as_str()), "{url}");
        }
    });
}
