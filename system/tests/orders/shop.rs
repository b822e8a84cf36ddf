//! Every role in this process, on a SQLite file, with one sale that is on.

use crate::config;
use std::time::{Duration, Instant};
use system::config::Config;
use system::proto::order::order_service_client::OrderServiceClient;
use system::proto::order::{CancelOrderRequest, GetOrderRequest, Order, PayOrderRequest};
use system::proto::seckill::SeckillRequest;
use system::proto::seckill::seckill_service_client::SeckillServiceClient;
use system::roles::{self, RoleConfig};
use system::shutdown::Shutdown;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);
pub const PRODUCT: i64 = 1;
/// Units of the sale, and what one costs, cents.
const TOTAL: i64 = 4;
const PRICE_CENTS: i64 = 1_250;

/// The running system.
pub struct Shop {
    pub orders: OrderServiceClient<Channel>,
    seckill: SeckillServiceClient<Channel>,
    stop: watch::Sender<bool>,
    running: JoinHandle<anyhow::Result<()>>,
    _folder: TempDir,
}

impl Shop {
    pub async fn open(engine: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("shop.db");
        let mut config = config::on(format!("sqlite://{}", file.display()));
        config.seckill.engine = engine.parse().expect("a name");
        config.order.time_to_pay_s = 0;
        change(&mut config);
        let seed = folder.path().join("seed.toml");
        let sale = format!(
            "[[sales]]\nproduct_id = {PRODUCT}\nname = \"shoes\"\nprice_cents = {PRICE_CENTS}\ntotal = {TOTAL}\n\
             starts_at = 0\nends_at = 4102444800\n"
        );
        std::fs::write(&seed, sale).expect("written");
        let registry = engines::Registry::standard();
        roles::migrate::run(&config.database, &registry, Some(&seed))
            .await
            .expect("migrated");
        let listeners = roles::all::bind(&config).expect("free ports");
        let addresses = listeners.addresses();
        let (stop, shutdown) = Shutdown::channel();
        let (sender, ready) = oneshot::channel();
        let role = RoleConfig {
            config,
            registry,
            admin: Default::default(),
            sales: Default::default(),
            ready: Box::new(move |_| {
                let _ = sender.send(());
                Ok(())
            }),
        };
        let running = tokio::spawn(roles::all::run(role, listeners, shutdown));
        if ready.await.is_err() {
            panic!("{:?}", running.await);
        }
        let connect = async |address: std::net::SocketAddr| {
            let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
            endpoint.connect().await.expect("somebody listens")
        };
        let order = addresses.order.expect("it serves orders");
        Self {
            orders: OrderServiceClient::new(connect(order).await),
            seckill: SeckillServiceClient::new(connect(addresses.listen).await),
            stop,
            running,
            _folder: folder,
        }
    }

    pub async fn close(self) {
        self.stop.send_replace(true);
        self.running.await.expect("no panic").expect("it ends well");
    }

    /// What a buyer of one unit is told, once the sale is open.
    pub async fn buy(&mut self, user_id: i64) -> Result<i64, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = SeckillRequest {
                user_id,
                product_id: PRODUCT,
                quantity: 1,
                ..Default::default()
            };
            match self.seckill.execute_seckill(request).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    return match answer.success {
                        true => Ok(answer.order_id),
                        false => Err(answer.message),
                    };
                }
                Err(status) if Instant::now() > deadline => panic!("{status}"),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    pub async fn cancel(&mut self, order_id: i64, user_id: i64) -> Result<(), Status> {
        let request = CancelOrderRequest { order_id, user_id };
        self.orders.cancel_order(request).await.map(drop)
    }

    pub async fn pay(&mut self, order_id: i64, user_id: i64) -> Result<(), Status> {
        let request = PayOrderRequest { order_id, user_id };
        self.orders.pay_order(request).await.map(drop)
    }

    pub async fn get(&mut self, order_id: i64) -> Result<Order, Status> {
        let answer = self.orders.get_order(GetOrderRequest { order_id }).await?;
        Ok(answer.into_inner().order.expect("an order"))
    }

    /// The order once its row is there.
    pub async fn written(&mut self, order_id: i64) -> Order {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.get(order_id).await {
                Ok(order) => return order,
                Err(status) if Instant::now() > deadline => panic!("{status}"),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Buys until the answer is another order than `old`; how long that took.
    pub async fn buy_again(&mut self, user_id: i64, old: i64) -> (i64, Duration) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.buy(user_id).await {
                Ok(order) if order != old => return (order, began.elapsed()),
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        panic!("user {user_id} cannot buy again");
    }
}

/// `request` with this metadata.
pub fn with<T>(request: T, metadata: &[(&'static str, String)]) -> Request<T> {
    let mut request = Request::new(request);
    for (key, value) in metadata {
        let value = value.parse().expect("visible ASCII");
        request.metadata_mut().insert(*key, value);
    }
    request
}
