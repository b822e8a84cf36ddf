//! Two instances of the product service on one database, and nobody else.

use crate::config;
use database::{Arg, Database, PoolLimits};
use engines::{Registry, UserId};
use std::time::{Duration, Instant, SystemTime};
use system::config::JwtConfig;
use system::proto::product::product_service_client::ProductServiceClient;
use system::proto::product::*;
use system::roles::{self, RoleConfig};
use system::shutdown::Shutdown;
use system::tokens::{Role, Tokens};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for a change through another instance. Without being told, an instance learns of it
/// later.
const SEEN_MAX: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(20);
pub const SECRET: &str = "a key of more than thirty-two bytes, for tests";

/// The running instances.
pub struct Readers {
    /// One and the other.
    pub products: [ProductServiceClient<Channel>; 2],
    pub admin: String,
    pub user: String,
    database: Database,
}

/// A token as it stands in metadata; it holds for so long.
pub fn token(config: &JwtConfig, role: Role, holds: Duration) -> String {
    let tokens = Tokens::new(config).expect("a secret is set");
    let token = tokens.issue(UserId(1), role, holds);
    format!("Bearer {}", token.expect("issued"))
}

pub fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_secs()).expect("soon")
}

/// A product on sale from then to then, seconds from now.
pub fn product(name: &str, from: i64, to: i64) -> CreateProductRequest {
    CreateProductRequest {
        name: name.to_owned(),
        description: "red".to_owned(),
        price: 19.99,
        stock: 10,
        image_url: "https://example.org/a.png".to_owned(),
        seckill_start_time: now_s() + from,
        seckill_end_time: now_s() + to,
    }
}

impl Readers {
    /// Calls `body` while they run on the database at `url`, and stops them.
    pub async fn open(url: &str, body: impl AsyncFnOnce(&Self)) {
        let mut config = config::on(url.to_owned());
        config.jwt.secret = SECRET.to_owned();
        config.jwt.leeway_s = 0;
        let registry = Registry::standard();
        roles::migrate::run(&config.database, &registry, None)
            .await
            .expect("migrated");
        let limits = PoolLimits {
            connections_max: 1,
            statement_max: PATIENCE,
            acquire_max: PATIENCE,
            lock_wait_max: None,
            idle_transaction_max: None,
        };
        let bound = [(); 2].map(|()| roles::product::bind(&config).expect("a free port"));
        let client = |listener: &system::listener::Listener| {
            let url = format!("http://{}", listener.address());
            let endpoint = Endpoint::from_shared(url).expect("an address");
            ProductServiceClient::new(endpoint.timeout(PATIENCE).connect_lazy())
        };
        let hour = Duration::from_secs(3_600);
        let readers = Self {
            products: [client(&bound[0]), client(&bound[1])],
            admin: token(&config.jwt, Role::Admin, hour),
            user: token(&config.jwt, Role::User, hour),
            database: Database::open(url, &limits).expect("a URL"),
        };
        let (stop, shutdown) = Shutdown::channel();
        let run = |listener| {
            let role = RoleConfig {
                config: config.clone(),
                registry: registry.clone(),
                ready: Box::new(|_| Ok(())),
                admin: Default::default(),
                sales: Default::default(),
            };
            roles::product::run(role, listener, shutdown.clone())
        };
        let [one, other] = bound;
        let serving = async { tokio::try_join!(run(one), run(other)) };
        let trying = async {
            body(&readers).await;
            stop.send_replace(true);
        };
        let (served, ()) = tokio::join!(serving, trying);
        served.expect("both end well");
    }

    /// With the token of an administrator.
    pub fn as_admin<Q>(&self, request: Q) -> Request<Q> {
        with(request, &self.admin)
    }

    /// Makes a product through the first instance; its id.
    pub async fn make(&self, product: CreateProductRequest) -> i64 {
        let made = self.products[0].clone();
        let made = { made }.create_product(self.as_admin(product)).await;
        made.expect("made").into_inner().product_id
    }

    pub async fn get(&self, instance: usize, product_id: i64) -> Result<Product, Status> {
        let mut client = self.products[instance].clone();
        let told = client.get_product(GetProductRequest { product_id }).await;
        let told = told.map(Response::into_inner)?;
        assert_eq!((told.code, told.message.as_str()), (0, ""));
        Ok(told.product.expect("a product"))
    }

    /// Ids on this page, and how many there are on all.
    pub async fn list(
        &self,
        (page, page_size, status): (i32, i32, i32),
    ) -> Result<(Vec<i64>, i32), Status> {
        let request = ListProductsRequest {
            page,
            page_size,
            status,
        };
        let told = self.products[0].clone().list_products(request).await;
        told.map(ids)
    }

    /// The same of what is on sale.
    pub async fn active(&self) -> (Vec<i64>, i32) {
        let request = ListProductsRequest::default();
        let mut client = self.products[0].clone();
        let told = client.list_active_seckill_products(request).await;
        ids(told.expect("a list"))
    }

    pub async fn delete(&self, instance: usize, product_id: i64) -> Result<(), Status> {
        let request = self.as_admin(DeleteProductRequest { product_id });
        let told = self.products[instance]
            .clone()
            .delete_product(request)
            .await?;
        assert_eq!(told.into_inner().code, 0);
        Ok(())
    }

    pub async fn run<'q>(&self, sql: &'q str, args: impl IntoIterator<Item: Into<Arg<'q>>>) {
        self.database.run(sql, args).await.expect(sql);
    }

    pub async fn numbers<'q>(
        &self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Vec<i64> {
        self.database.rows(sql, args).await.expect(sql)
    }

    /// Writes an order of one unit down, as it is in this state.
    pub async fn order(&self, order: i64, product: i64, status: i64) {
        let live = match status {
            2 | 4 => Arg::Null,
            _ => Arg::from(1_i64),
        };
        let sql = "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id,
             status, live, created_at_ms, updated_at_ms) VALUES (?, 1, ?, 1, 1, 1, ?, ?, 1, 1)";
        let args = [order.into(), product.into(), status.into(), live];
        self.run(sql, args).await;
    }
}

/// With a token, unless it is empty.
pub fn with<Q>(request: Q, token: &str) -> Request<Q> {
    let mut request = Request::new(request);
    if !token.is_empty() {
        let token = token.parse().expect("ASCII");
        request.metadata_mut().insert("authorization", token);
    }
    request
}

fn ids(told: Response<ListProductsResponse>) -> (Vec<i64>, i32) {
    let told = told.into_inner();
    assert_eq!((told.code, told.message.as_str()), (0, ""));
    let ids = told.products.iter().map(|product| product.id);
    (ids.collect(), told.total)
}

/// Asks again until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < SEEN_MAX, "{what}");
        tokio::time::sleep(RETRY).await;
    }
}
