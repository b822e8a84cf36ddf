//! Orders that administrators make while nobody listens for the sale: nothing was done, which both HTTP
//! and gRPC say.

use crate::shop::Shop;
use engines::{Registry, UserId};
use http::Method;
use std::cell::OnceCell;
use std::time::Duration;
use system::config::Config;
use system::listener::Listener;
use system::proto::order::CreateOrderRequest;
use system::proto::order::order_service_client::OrderServiceClient;
use system::roles::{self, RoleConfig};
use system::shutdown::Shutdown;
use system::tokens::{Role, Tokens};
use tonic::transport::Endpoint;
use tonic::{Code, Request};

const SALE: &str = "[[sales]]\nproduct_id = 1\nname = \"shoes\"\nprice_cents = 1\ntotal = 9\n\
    starts_at = 0\nends_at = 4102444800\n";

/// Calls `body` while an order service runs with this configuration on this listener.
async fn with_orders(config: &Config, listener: Listener, body: impl AsyncFnOnce()) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seed = folder.path().join("seed.toml");
    std::fs::write(&seed, SALE).expect("written");
    let registry = Registry::standard();
    let seeded = roles::migrate::run(&config.database, &registry, Some(&seed)).await;
    seeded.expect("seeded");
    let (stop, shutdown) = Shutdown::channel();
    let role = RoleConfig {
        config: config.clone(),
        registry,
        admin: Default::default(),
        sales: Default::default(),
        ready: Box::new(|_| Ok(())),
    };
    // Whoever connects before it is ready waits in the backlog.
    let running = Box::pin(roles::order::run(role, listener, shutdown));
    let asking = async {
        body().await;
        stop.send_replace(true);
    };
    let (ran, ()) = tokio::join!(running, asking);
    ran.expect("it ends well");
}

#[tokio::test]
async fn a_sale_that_nobody_listens_for_has_made_no_order_and_its_key_is_free_again() {
    let listener = Listener::bind("127.0.0.1:0", 1).expect("a free port");
    let url = format!("http://{}", listener.address());
    let of_orders = OnceCell::new();
    let change = |config: &mut Config| {
        config.gateway.upstreams.order.clone_from(&url);
        // No ephemeral port: nobody gets it while this runs.
        config.order.seckill_url = "http://127.0.0.1:1".to_owned();
        drop(of_orders.set(config.clone()));
    };
    let asking = async |shop: &Shop| {
        let config = of_orders.get().expect("set");
        let tokens = Tokens::new(&config.jwt).expect("a secret");
        let token = tokens.issue(UserId(9), Role::Admin, Duration::from_secs(60));
        let token = token.expect("signed");
        let asking = async || {
            // Under one key anything may be asked for, one after the other, since nothing was done.
            for quantity in [1, 2] {
                let body = format!(r#"{{"user_id":5,"product_id":1,"quantity":{quantity}}}"#);
                let mut request = shop.request(Method::POST, "/api/v1/orders", &body);
                let key = "gift".parse().expect("ASCII");
                request.headers_mut().insert("idempotency-key", key);
                let told = shop.send(request, &token).await.expect(503);
                assert!(told.headers.contains_key("retry-after"), "{told:?}");
            }
            let endpoint = Endpoint::from_shared(url.clone()).expect("an address");
            let mut orders = OrderServiceClient::new(endpoint.connect_lazy());
            let mut request = Request::new(CreateOrderRequest {
                user_id: 5,
                product_id: 1,
                quantity: 3,
                total_price: 0.0,
            });
            let metadata = request.metadata_mut();
            let bearer = format!("Bearer {token}");
            metadata.insert("authorization", bearer.parse().expect("ASCII"));
            metadata.insert("idempotency-key", "gift".parse().expect("ASCII"));
            let refused = orders
                .create_order(request)
                .await
                .expect_err("nobody sells");
            assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
            let metadata = refused.metadata();
            assert!(metadata.contains_key("retry-after"), "{refused:?}");
        };
        with_orders(config, listener, asking).await;
    };
    Shop::open_alone(change, asking).await;
}
