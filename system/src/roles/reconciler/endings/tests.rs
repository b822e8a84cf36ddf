//! Many sales that are opened, sold and ended, with real servers and without the roles around them:
//! what is left in the engine, what a pass costs afterwards, and what opens again.

use super::*;
use crate::back_off::BackOff;
use crate::config::Config;
use crate::repair::Drainer;
use crate::roles;
use crate::roles::reconciler::turns::Turns;
use crate::roles::reconciler::watch::Watch;
use crate::store::Store;
use database::{Database, NO_ARGS, PoolLimits};
use engines::{
    Finish, FinishKind, IncarnationId, Nonce, Opened, Opening, OrderId, Registry, Reserve,
    StockEngine, Term, UserId, Verdict,
};
use servers::{DatabaseServer, RedisServer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Units of each sale, and its buyers, of whom each gets one.
const UNITS: i64 = 2;
/// Longest publish deadline and margin of these tests, ms.
const SHORT_MS: u64 = 5;
/// The columns of a product that these tests fill.
const PRODUCTS: &str =
    "(id, name, description, price_cents, sale_starts_at, sale_ends_at, created_at, updated_at)";
/// Unix s, long after these tests.
const FAR: i64 = 4_102_444_800;

struct World {
    redis: RedisServer,
    _server: DatabaseServer,
    database: Database,
    store: Store,
    engine: Arc<dyn StockEngine>,
    drainer: Drainer,
    watch: Watch,
}

impl World {
    /// Sales 1 to `sales`, none of them open.
    async fn start(sales: i64) -> Option<Self> {
        let (redis, server) = (RedisServer::start().await?, DatabaseServer::start().await?);
        let mut config = Config::default();
        config.database.url = server.create_database().await;
        config.redis.url = redis.url();
        let registry = Registry::standard();
        let store = Store::migrate(&config.database, &registry).await.unwrap();
        let limits = PoolLimits {
            connections_max: 2,
            statement_max: Duration::from_secs(30),
            acquire_max: Duration::from_secs(30),
            lock_wait_max: None,
            idle_transaction_max: None,
        };
        let this = Self {
            database: Database::open(&config.database.url, &limits).unwrap(),
            engine: roles::build_engine(&config, &registry).await.unwrap(),
            drainer: Drainer::new(store.clone(), &config),
            watch: Watch::start(store.clone(), SHORT_MS),
            store,
            redis,
            _server: server,
        };
        let rows = |row: &dyn Fn(i64) -> String| {
            let rows: Vec<String> = (1..=sales).map(row).collect();
            rows.join(", ")
        };
        let products = rows(&|id| format!("({id}, 'thing', '', 1, 0, {FAR}, 0, 0)"));
        this.sql(&format!(
            "INSERT INTO products {PRODUCTS} VALUES {products}"
        ))
        .await;
        let totals = rows(&|id| format!("({id}, {UNITS})"));
        this.sql(&format!(
            "INSERT INTO sales (product_id, total) VALUES {totals}"
        ))
        .await;
        Some(this)
    }

    async fn sql(&self, sql: &str) {
        let mut tx = self.database.begin().await.unwrap();
        let ran = tx.connection().run(sql, NO_ARGS).await;
        ran.unwrap_or_else(|error| panic!("{}: {error}", &sql[..sql.len().min(200)]));
        tx.commit().await.unwrap();
    }

    fn opener(&self) -> Opener<'_> {
        Opener {
            store: &self.store,
            engine: self.engine.as_ref(),
            drainer: &self.drainer,
            watch: &self.watch,
            margin_ms: SHORT_MS,
            timeout_ms: 1_000,
        }
    }

    async fn open_missing(&self) -> u64 {
        let opened = self
            .opener()
            .open_missing(&mut Turns::default(), &mut BackOff::default())
            .await;
        opened.unwrap().epochs_opened
    }

    /// Sells everything: the engine's part, and the rows as the consumer writes them.
    async fn sell_out(&self) {
        let (mut rows, mut order) = (Vec::new(), 0);
        for row in self.store.sales().await.unwrap() {
            let open = row.open.unwrap();
            let batch = (1..=UNITS).map(|user| {
                order += 1;
                rows.push(format!(
                    "({order}, {user}, {}, 1, 1, {}, 0, 1, 1, 1)",
                    row.sale, open.allocation_id
                ));
                Reserve {
                    user: UserId(user),
                    order: OrderId(order),
                    quantity: 1,
                    expires_at_ms: i64::MAX >> 12,
                    incarnation: IncarnationId(1),
                    may_sell: true,
                }
            });
            let batch: Vec<Reserve> = batch.collect();
            for verdict in self.engine.reserve(&open.term, &batch).await {
                assert_eq!(verdict.unwrap(), Verdict::GRANTED);
            }
            let settled = batch.iter().map(|item| Finish {
                user: item.user,
                order: item.order,
                kind: FinishKind::Settle,
            });
            let settled: Vec<Finish> = settled.collect();
            for finished in self.engine.finish(&open.term, &settled).await {
                finished.unwrap();
            }
        }
        let columns = "order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
             created_at_ms, updated_at_ms";
        let rows = rows.join(", ");
        self.sql(&format!("INSERT INTO orders ({columns}) VALUES {rows}"))
            .await;
        self.sql("UPDATE allocations SET sold = granted").await;
    }

    async fn advance(&self, endings: &mut Endings) -> Pass {
        let (opener, mut back_off) = (self.opener(), BackOff::default());
        let advanced = endings.advance(&opener, SHORT_MS, &mut back_off).await;
        advanced.unwrap()
    }

    /// Goes on until so many sales have ended.
    async fn end_all(&self, sales: u64) {
        let (mut endings, mut ended, started) = (Endings::new(), 0, Instant::now());
        while ended < sales {
            ended += self.advance(&mut endings).await.sales_ended;
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "{ended} of {sales} have ended"
            );
            tokio::time::sleep(Duration::from_millis(SHORT_MS)).await;
        }
    }

    /// Names and bytes of all keys.
    async fn keys(&self) -> Vec<(String, u64)> {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let names: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut redis)
            .await
            .unwrap();
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            let usage = redis::cmd("MEMORY")
                .arg("USAGE")
                .arg(&name)
                .query_async(&mut redis)
                .await;
            keys.push((name, usage.unwrap()));
        }
        keys
    }

    /// So many more sales that ended long ago that reading all of them is not the shortest way.
    async fn add_ended(&self, after: i64) {
        let ids = after + 1..after + 3_000;
        let products: Vec<String> = ids
            .clone()
            .map(|id| format!("({id}, 'thing', '', 1, 0, 1, 0, 0)"))
            .collect();
        let products = products.join(", ");
        self.sql(&format!(
            "INSERT INTO products {PRODUCTS} VALUES {products}"
        ))
        .await;
        let ended: Vec<String> = ids.map(|id| format!("({id}, 1, 1)")).collect();
        let ended = ended.join(", ");
        self.sql(&format!(
            "INSERT INTO sales (product_id, total, ended) VALUES {ended}"
        ))
        .await;
        type Line = (String, String, String, String);
        let sql = "ANALYZE TABLE products, sales";
        self.database.rows::<Line>(sql, NO_ARGS).await.unwrap();
    }

    /// Steps that the server has taken through rows and keys, for anybody.
    async fn steps(&self) -> u64 {
        let sql = "SHOW GLOBAL STATUS LIKE 'Handler_read%'";
        let counts: Vec<(String, String)> = self.database.rows(sql, NO_ARGS).await.unwrap();
        let counts = counts.iter().map(|(_, count)| count.parse::<u64>());
        counts.map(Result::unwrap).sum()
    }
}

async fn sales_that_ended_leave_a_note_and_cost_nothing(sales: i64) {
    let Some(world) = World::start(sales).await else {
        return;
    };
    assert_eq!(world.open_missing().await, sales.unsigned_abs());
    world.sell_out().await;
    let (before, first) = (world.keys().await, world.store.sales().await.unwrap()[0]);
    // The term, and the gate; the holds are settled.
    assert_eq!(before.len() as i64, 2 * sales);
    world.sql("UPDATE products SET sale_ends_at = 1").await;
    world.end_all(sales.unsigned_abs()).await;

    let after = world.keys().await;
    assert_eq!(after.len() as i64, sales, "one note of each sale");
    for (name, bytes) in after {
        assert!(
            name.ends_with(":meta") && bytes <= 200,
            "{name}: {bytes} bytes"
        );
    }
    let delayed = Opening {
        term: Term {
            nonce: Nonce(1),
            ..first.open.unwrap().term
        },
        granted: UNITS.unsigned_abs(),
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    let opened = world.engine.open(&delayed).await.unwrap();
    assert_eq!(opened, Opened::Stale { newest: Epoch(2) });

    assert!(world.store.sales().await.unwrap().is_empty());
    world.add_ended(sales).await;
    let mut endings = Endings::new();
    // To look at the counters costs something, too.
    let (earlier, before) = (world.steps().await, world.steps().await);
    assert_eq!(world.advance(&mut endings).await, Pass::default());
    assert_eq!(world.open_missing().await, 0);
    let steps = world.steps().await - before - (before - earlier);
    assert!(
        steps < 20,
        "a pass over {sales} ended sales took {steps} steps"
    );

    let asked = [UserId(1), UserId(UNITS + 1)];
    let past = world.store.past_sale(first.sale, &asked).await.unwrap();
    let past = past.unwrap();
    assert!(past.has_ended && past.orders.len() == 1);
    assert_eq!(past.orders[&UserId(1)], OrderId(1));
    assert!(
        world
            .store
            .past_sale(SaleId(1_000_000), &asked)
            .await
            .unwrap()
            .is_none()
    );

    // Its window moves, and there is one unit more.
    world
        .sql("UPDATE sales SET total = total + 1 WHERE product_id = 1")
        .await;
    world
        .sql(&format!(
            "UPDATE products SET sale_ends_at = {FAR} WHERE id = 1"
        ))
        .await;
    world.advance(&mut endings).await;
    assert_eq!(world.open_missing().await, 1);
    let open = world.store.sales().await.unwrap()[0].open.unwrap();
    let stock = world.engine.stock(&open.term).await.unwrap();
    assert_eq!((open.term.epoch, stock.remaining), (Epoch(3), 1));
    assert!(stock.is_open);
}

#[tokio::test]
async fn a_hundred_sales_that_ended_leave_a_note_each_and_cost_nothing() {
    sales_that_ended_leave_a_note_and_cost_nothing(100).await;
}

#[tokio::test]
#[ignore = "nightly: opens, sells and ends a thousand sales one by one"]
async fn a_thousand_sales_that_ended_leave_a_note_each_and_cost_nothing() {
    sales_that_ended_leave_a_note_and_cost_nothing(1_000).await;
}

/// Two reconcilers, and one of them stalled with an opening under way.
#[tokio::test]
async fn an_opening_that_was_overtaken_by_the_end_cannot_be_completed() {
    let Some(world) = World::start(1).await else {
        return;
    };
    let sale = SaleId(1);
    let epoch = world.store.claim_epoch(sale).await.unwrap().unwrap();
    let snapshot = world.store.grant(sale, epoch).await.unwrap().unwrap();
    let nonce = Nonce(7);
    let term = Term { sale, epoch, nonce };
    world.sql("UPDATE products SET sale_ends_at = 1").await;
    world.end_all(1).await;
    let opening = Opening {
        term,
        granted: snapshot.granted,
        buyers: snapshot.buyers,
        publishers: Vec::new(),
    };
    let opened = world.engine.open(&opening).await.unwrap();
    assert_eq!(opened, Opened::Stale { newest: Epoch(2) });
    let is_open = world.store.open_term(&term, snapshot.allocation_id).await;
    assert!(!is_open.unwrap());
}

#[tokio::test]
async fn a_sale_with_an_open_hold_does_not_end() {
    let Some(world) = World::start(1).await else {
        return;
    };
    world.open_missing().await;
    let open = world.store.sales().await.unwrap()[0].open.unwrap();
    let request = Reserve {
        user: UserId(1),
        order: OrderId(1),
        quantity: 1,
        expires_at_ms: i64::MAX >> 12,
        incarnation: IncarnationId(1),
        may_sell: true,
    };
    world.engine.reserve(&open.term, &[request]).await;
    world.sql("UPDATE products SET sale_ends_at = 1").await;
    let mut endings = Endings::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(20 * SHORT_MS) {
        let pass = world.advance(&mut endings).await;
        assert_eq!((pass.left, pass.sales_ended), (1, 0));
    }
    assert!(world.store.sales().await.unwrap()[0].open.is_some());
    let finish = Finish {
        user: request.user,
        order: request.order,
        kind: FinishKind::Release,
    };
    world.engine.finish(&open.term, &[finish]).await;
    world.end_all(1).await;
}
