//! A shop of its own, with every role and an administrator.

use crate::config;
use database::{Database, NO_ARGS, PoolLimits};
use engines::UserId;
use std::net::SocketAddr;
use std::time::Duration;
use system::config::Config;
use system::proto::product::*;
use system::proto::seckill::{SeckillRequest, SeckillResponse};
use system::roles::{self, RoleConfig};
use system::shutdown::Shutdown;
use system::tokens::{Role, Tokens};
use tempfile::TempDir;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

/// Longest wait for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const RETRY: Duration = Duration::from_millis(20);
/// Unix s, long after these tests.
pub const FAR: i64 = 4_102_444_800;

/// A shop in which nothing is on sale yet.
pub struct Shop {
    config: Config,
    _folder: TempDir,
    pub admin: String,
    pub user: String,
    buyers: SocketAddr,
    product: SocketAddr,
    /// Where the services of other packages are.
    others: [(&'static str, SocketAddr); 3],
}

impl Shop {
    /// Calls `body` while everything runs, and stops everything.
    pub async fn open(body: impl AsyncFnOnce(&Self)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("shop.db");
        let mut config = config::on(format!("sqlite://{}", file.display()));
        config.incarnation.heartbeat_ms = 100;
        config.jwt.secret = "a key of more than thirty-two bytes, for tests".to_owned();
        let registry = engines::Registry::standard();
        roles::migrate::run(&config.database, &registry, None)
            .await
            .expect("migrated");
        let tokens = Tokens::new(&config.jwt).expect("a secret is set");
        let token = |role| {
            let token = tokens.issue(UserId(1), role, Duration::from_secs(600));
            format!("Bearer {}", token.expect("issued"))
        };
        let all = roles::all::bind(&config).expect("free ports");
        let addresses = all.addresses();
        let shop = Self {
            _folder: folder,
            admin: token(Role::Admin),
            user: token(Role::User),
            buyers: addresses.listen,
            product: addresses.product.expect("it serves administrators"),
            others: [
                ("/order.", addresses.order.expect("it serves orders")),
                ("/auth.", addresses.auth.expect("it serves accounts")),
                ("/user.", addresses.user.expect("it serves users")),
            ],
            config: config.clone(),
        };
        let (stop, shutdown) = Shutdown::channel();
        let role = RoleConfig {
            config,
            registry,
            admin: Default::default(),
            sales: Default::default(),
            ready: Box::new(|_| Ok(())),
        };
        let running = Box::pin(roles::all::run(role, all, shutdown));
        let trying = async {
            body(&shop).await;
            stop.send_replace(true);
        };
        let (ran, ()) = tokio::join!(running, trying);
        ran.expect("all roles end well");
    }

    pub async fn call<Q, R>(
        address: SocketAddr,
        method: &str,
        request: Request<Q>,
    ) -> Result<R, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.timeout(PATIENCE).connect().await;
        let mut client = tonic::client::Grpc::new(channel.expect("somebody listens"));
        client.ready().await.expect("it is ready");
        let codec = tonic_prost::ProstCodec::<Q, R>::default();
        let path = PathAndQuery::try_from(method).expect("a path");
        let reply = client.unary(request, path, codec).await;
        reply.map(tonic::Response::into_inner)
    }

    /// As somebody with this token; without one if it is empty.
    pub async fn ask<Q, R>(
        &self,
        method: &'static str,
        request: Q,
        token: &str,
        key: Option<&str>,
    ) -> Result<R, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let mut request = Request::new(request);
        let metadata = request.metadata_mut();
        if !token.is_empty() {
            metadata.insert("authorization", token.parse().expect("ASCII"));
        }
        if let Some(key) = key {
            metadata.insert("idempotency-key", key.parse().expect("ASCII"));
        }
        Self::call(self.product, method, request).await
    }

    /// Asks for nothing in particular, without a token.
    pub async fn ask_nothing(&self, method: &str) -> Result<(), Status> {
        let is_of = |package: &str| method.starts_with(package);
        let other = self.others.iter().find(|(package, _)| is_of(package));
        let address = match other {
            Some((_, address)) => *address,
            None if is_of("/product.") => self.product,
            None => self.buyers,
        };
        Self::call(address, method, Request::new(())).await
    }

    pub async fn create(&self, stock: i32, key: Option<&str>) -> Result<i64, Status> {
        let method = "/product.ProductService/CreateProduct";
        let created: CreateProductResponse =
            self.ask(method, shoes(stock), &self.admin, key).await?;
        assert_eq!((created.code, created.message.as_str()), (0, ""));
        Ok(created.product_id)
    }

    pub async fn update(&self, request: UpdateProductRequest) -> Result<String, Status> {
        let method = "/product.ProductService/UpdateProduct";
        let updated: UpdateProductResponse = self.ask(method, request, &self.admin, None).await?;
        assert_eq!(updated.code, 0);
        Ok(updated.message)
    }

    pub async fn deduct(
        &self,
        id: i64,
        quantity: i32,
        key: &str,
    ) -> Result<(bool, String), Status> {
        let method = "/product.ProductService/DeductStock";
        let request = DeductStockRequest {
            product_id: id,
            quantity,
        };
        let answer = self.ask(method, request, &self.admin, Some(key)).await;
        answer.map(|answer: DeductStockResponse| (answer.success, answer.message))
    }

    pub async fn add(&self, id: i64, quantity: i32, key: &str) -> Result<(bool, String), Status> {
        let method = "/product.ProductService/ReturnStock";
        let request = ReturnStockRequest {
            product_id: id,
            quantity,
        };
        let answer = self.ask(method, request, &self.admin, Some(key)).await;
        answer.map(|answer: ReturnStockResponse| (answer.success, answer.message))
    }

    /// What a buyer is told.
    pub async fn try_to_buy(
        &self,
        user_id: i64,
        product_id: i64,
    ) -> Result<SeckillResponse, Status> {
        let request = Request::new(SeckillRequest {
            user_id,
            product_id,
            quantity: 1,
            ..Default::default()
        });
        let method = "/seckill.SeckillService/ExecuteSeckill";
        Self::call(self.buyers, method, request).await
    }

    /// What a buyer is told once the sale can be asked.
    pub async fn buy(&self, user_id: i64, product_id: i64) -> SeckillResponse {
        let asking = async {
            loop {
                match self.try_to_buy(user_id, product_id).await {
                    Ok(answer) => return answer,
                    // Its row has not been read yet, or its next epoch opens.
                    Err(status) if [Code::NotFound, Code::Unavailable].contains(&status.code()) => {
                    }
                    Err(status) => panic!("{status}"),
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, asking).await;
        told.expect("the sale can be asked in time")
    }

    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        let limits = PoolLimits {
            connections_max: 1,
            statement_max: PATIENCE,
            acquire_max: PATIENCE,
            lock_wait_max: None,
            idle_transaction_max: None,
        };
        let database = Database::open(&self.config.database.url, &limits).expect("a URL");
        database.rows(sql, NO_ARGS).await.expect(sql)
    }
}

pub fn shoes(stock: i32) -> CreateProductRequest {
    CreateProductRequest {
        name: "shoes".to_owned(),
        description: "red".to_owned(),
        price: 19.99,
        stock,
        image_url: String::new(),
        seckill_start_time: 1,
        seckill_end_time: FAR,
    }
}
