//! Repeats of a request under one key, whatever became of the order before: one seckill service of
//! one buyer that loses answers, and rows that come and go between any two steps.

use super::*;
use crate::clock::unix_ms;
use crate::order_id::last_minted_by;
use crate::proto::seckill::SeckillResponse;
use crate::proto::seckill::seckill_service_server::{SeckillService, SeckillServiceServer};
use crate::store::SeedSale;
use crate::store::tests::{migrated, on_both};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tonic::Response;
use tonic::transport::server::TcpIncoming;

on_both!(
    a_repeat_is_told_of_the_order_that_is_cancelled_while_it_looks_for_it,
    a_repeat_buys_what_was_never_bought_and_nothing_else_whenever_the_first_dies,
    of_two_repeats_at_once_one_buys,
    what_was_refused_may_be_asked_for_again_and_what_cannot_be_known_is_waited_for,
    an_order_that_the_buyer_has_under_no_key_is_the_one_and_nothing_is_bought,
);

const USER: UserId = UserId(5);
const SALE: SaleId = SaleId(7);
/// Short, because turns last as long as three of them.
const PUBLISH_TIMEOUT_MS: u64 = 100;
/// Longest wait for the end of a turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happens to one call of the seckill service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Before it, the row of the order comes, and its buyer cancels it and may buy again.
    Cancelled,
    /// It is done, the same happens, and then it is answered.
    CancelledThen,
    /// It is done, and its answer is lost.
    Lost,
    /// It is done, and not answered.
    Silent,
    /// It comes to nobody.
    Never,
    /// It is refused.
    SoldOut,
    /// It is turned away.
    Away,
}

/// What the seckill service knows.
#[derive(Debug, Default)]
struct Gate {
    /// What its buyer has.
    held: Option<OrderId>,
    bought: Vec<OrderId>,
    /// What happens to the next calls; nothing special to any after them.
    calls: VecDeque<Call>,
    /// What came later than it might have been done.
    late: usize,
    /// Calls that hang.
    hanging: usize,
}

#[derive(Clone)]
struct Seckill {
    gate: Arc<Mutex<Gate>>,
    store: Store,
}

impl Seckill {
    async fn is_cancelled(&self) {
        let held = self.gate.lock().unwrap().held.take();
        let Some(order) = held else {
            return;
        };
        let row = format!(
            "INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
             created_at_ms, updated_at_ms) VALUES ({order}, {USER}, {SALE}, 1, 100, 1, 2, NULL, 1, 1)"
        );
        self.store.change(&row).await;
    }

    async fn hangs(&self) {
        self.gate.lock().unwrap().hanging += 1;
        std::future::pending().await
    }

    fn done(&self, request: &SeckillRequest) -> Option<OrderId> {
        let mut gate = self.gate.lock().unwrap();
        if gate.held.is_some() || request.only_look {
            return gate.held;
        }
        assert!(request.not_after_ms > 0, "a purchase ends with its turn");
        if unix_ms() > request.not_after_ms {
            gate.late += 1;
            return None;
        }
        let order = OrderId(last_minted_by(unix_ms()).0 + 1 + gate.bought.len() as i64);
        gate.bought.push(order);
        gate.held = Some(order);
        gate.held
    }
}

#[tonic::async_trait]
impl SeckillService for Seckill {
    async fn execute_seckill(
        &self,
        request: Request<SeckillRequest>,
    ) -> Result<Response<SeckillResponse>, Status> {
        let request = request.into_inner();
        assert_eq!((request.user_id, request.product_id), (USER.0, SALE.0));
        let call = self.gate.lock().unwrap().calls.pop_front();
        match call {
            Some(Call::Cancelled) => self.is_cancelled().await,
            Some(Call::Never) => self.hangs().await,
            Some(Call::SoldOut) => return Ok(Response::new(answer(None))),
            Some(Call::Away) => return Err(Status::unavailable("no lease")),
            _ => {}
        }
        let order = self.done(&request);
        match call {
            Some(Call::CancelledThen) => self.is_cancelled().await,
            Some(Call::Lost) => return Err(Status::cancelled("lost")),
            Some(Call::Silent) => self.hangs().await,
            _ => {}
        }
        Ok(Response::new(answer(order)))
    }
}

fn answer(order: Option<OrderId>) -> SeckillResponse {
    SeckillResponse {
        success: order.is_some(),
        message: order.map_or_else(|| "no".to_owned(), |_| String::new()),
        order_id: order.map_or(0, |order| order.0),
    }
}

struct Shop {
    maker: Maker,
    seckill: Seckill,
}

impl Shop {
    async fn open(url: &str) -> Self {
        let store = migrated(url).await;
        let sale = SeedSale {
            product_id: SALE,
            name: "shoes".to_owned(),
            price_cents: 100,
            total: 10,
            starts_at: 0,
            ends_at: 9,
        };
        store.create_sale(&sale, 0).await.unwrap();
        let seckill = Seckill {
            gate: Arc::default(),
            store,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::default();
        config.seckill.publish_timeout_ms = PUBLISH_TIMEOUT_MS;
        config.order.seckill_url = format!("http://{}", listener.local_addr().unwrap());
        let served = tonic::transport::Server::builder()
            .add_service(SeckillServiceServer::new(seckill.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(served);
        Self {
            maker: Maker::new(&config).unwrap(),
            seckill,
        }
    }

    fn will(&self, calls: impl IntoIterator<Item = Call>) {
        self.seckill.gate.lock().unwrap().calls.extend(calls);
    }

    /// Asks until the turn of whoever asked before is over.
    async fn made(&self, key: &str) -> OrderId {
        let asked = std::time::Instant::now();
        loop {
            match self.make(key).await {
                Ok(order) => return order,
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable, "{status}");
                    assert!(asked.elapsed() < PATIENCE, "{status}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// The row comes and goes, if there is an order.
    async fn is_cancelled(&self) {
        self.seckill.is_cancelled().await;
    }

    /// Asks, and dies when its call hangs.
    async fn dies(&self, key: &str) {
        let hanging = || self.seckill.gate.lock().unwrap().hanging;
        let before = hanging();
        let hangs = async {
            while hanging() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            made = self.make(key) => panic!("it lives: {made:?}"),
            () = hangs => {}
        }
    }

    fn bought(&self) -> Vec<OrderId> {
        self.seckill.gate.lock().unwrap().bought.clone()
    }

    async fn make(&self, key: &str) -> Result<OrderId, Status> {
        let mut request = Request::new(CreateOrderRequest {
            user_id: USER.0,
            product_id: SALE.0,
            quantity: 1,
            total_price: 0.0,
        });
        let key = key.parse().unwrap();
        request.metadata_mut().insert(IDEMPOTENCY_KEY, key);
        self.maker.make(&self.seckill.store, 1, request).await
    }
}

async fn a_repeat_is_told_of_the_order_that_is_cancelled_while_it_looks_for_it(url: String) {
    let shop = Shop::open(&url).await;
    shop.will([Call::Lost, Call::Cancelled]);
    let lost = shop.make("key").await.expect_err("lost");
    assert_eq!(lost.code(), Code::DeadlineExceeded, "{lost}");
    let first = shop.bought()[0];
    assert_eq!(shop.make("key").await.unwrap(), first);
    assert_eq!(shop.bought(), [first]);
}

async fn a_repeat_buys_what_was_never_bought_and_nothing_else_whenever_the_first_dies(url: String) {
    let shop = Shop::open(&url).await;
    for (first, then, key) in [
        (Call::Never, None, "not-bought"),
        (Call::Silent, None, "held"),
        (Call::Silent, Some(Call::Cancelled), "cancelled-at-the-look"),
        (Call::Silent, Some(Call::CancelledThen), "behind-the-look"),
    ] {
        let before = shop.bought().len();
        shop.will([first]);
        shop.dies(key).await;
        shop.will(then);
        let order = shop.made(key).await;
        shop.is_cancelled().await;
        // It stands, whatever becomes of it.
        assert_eq!(shop.make(key).await.unwrap(), order, "{key}");
        assert_eq!(shop.bought()[before..], [order], "{key}");
    }
    // The row came and went before anybody looked.
    let before = shop.bought().len();
    shop.will([Call::Silent]);
    shop.dies("gone").await;
    shop.is_cancelled().await;
    let order = shop.make("gone").await.unwrap();
    assert_eq!(shop.bought()[before..], [order]);
    // A turn that was taken by a repeat, which died in it.
    let before = shop.bought().len();
    shop.will([Call::Away, Call::Away]);
    for _ in 0..2 {
        let away = shop.make("again").await.expect_err("away");
        assert_eq!(
            (away.code(), away.message()),
            (Code::Unavailable, "no lease")
        );
    }
    // It looks, and buys.
    let held = shop.seckill.gate.lock().unwrap().held;
    assert_eq!(held, None);
    shop.will([Call::CancelledThen, Call::Silent]);
    shop.dies("again").await;
    shop.will([Call::Cancelled]);
    let order = shop.made("again").await;
    assert_eq!(shop.bought()[before..], [order]);
    assert_eq!(shop.seckill.gate.lock().unwrap().late, 0);
}

async fn of_two_repeats_at_once_one_buys(url: String) {
    let shop = Shop::open(&url).await;
    for round in 0..5 {
        let key = format!("key {round}").replace(' ', "-");
        let before = shop.bought().len();
        shop.will([Call::Never]);
        shop.dies(&key).await;
        // Whichever call comes when: the row comes and goes between any two of them.
        shop.will([Call::CancelledThen; 4]);
        let (one, other) = tokio::join!(shop.made(&key), shop.made(&key));
        assert_eq!(one, other);
        assert_eq!(shop.bought()[before..], [one]);
        shop.is_cancelled().await;
        shop.seckill.gate.lock().unwrap().calls.clear();
    }
}

async fn what_was_refused_may_be_asked_for_again_and_what_cannot_be_known_is_waited_for(
    url: String,
) {
    let shop = Shop::open(&url).await;
    shop.will([Call::SoldOut]);
    let refused = shop.make("key").await.expect_err("sold out");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let known = shop.seckill.store.made_order("key").await.unwrap();
    assert_eq!(known, None, "the key is free");
    // A repeat that is refused frees it, too: nothing was bought under it, and nothing can be.
    shop.will([Call::Away, Call::SoldOut, Call::SoldOut]);
    shop.make("key").await.expect_err("away");
    let refused = shop.make("key").await.expect_err("sold out");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let known = shop.seckill.store.made_order("key").await.unwrap();
    assert_eq!(known, None, "the key is free");
    // While the first request may still be bought, nobody else buys.
    shop.will([Call::Never]);
    shop.dies("key").await;
    let waits = shop.make("key").await.expect_err("not its turn");
    assert_eq!(waits.code(), Code::Unavailable, "{waits}");
    assert!(waits.metadata().get("retry-after").is_some(), "{waits:?}");
    assert!(shop.bought().is_empty());
    // Nor does the first when its turn is over.
    let order = shop.made("key").await;
    assert_eq!(shop.bought(), [order]);
}

async fn an_order_that_the_buyer_has_under_no_key_is_the_one_and_nothing_is_bought(url: String) {
    let shop = Shop::open(&url).await;
    let own = OrderId(last_minted_by(unix_ms() - 60_000).0 + 1);
    shop.seckill.gate.lock().unwrap().held = Some(own);
    shop.will([Call::Lost]);
    shop.make("key").await.expect_err("lost");
    assert_eq!(shop.make("key").await.unwrap(), own);
    shop.is_cancelled().await;
    assert_eq!(shop.make("key").await.unwrap(), own);
    assert!(shop.bought().is_empty());
}
