//! The embedded stack under crashes: every role in one process on one SQLite file, killed at random
//! moments under load and at its failpoints. Each round ends with the audit. `CRASH_ROUNDS` and
//! `CRASH_SEED` have the same meaning as in the other crash tests.

#[path = "embedded/cancels.rs"]
mod cancels;
#[path = "embedded/churn.rs"]
mod churn;
#[path = "crash/churning.rs"]
mod churning;
#[path = "embedded/disturbed.rs"]
mod disturbed;
#[path = "crash/inspect.rs"]
mod inspect;
#[path = "crash/load.rs"]
#[allow(dead_code)]
mod load;
#[path = "embedded/openings.rs"]
mod openings;
#[path = "crash/order_client.rs"]
#[allow(dead_code)]
mod order_client;
#[path = "crash/repetitions.rs"]
mod repetitions;
#[path = "crash/sale.rs"]
mod sale;
#[path = "crash/wait.rs"]
mod wait;

use load::{Crowd, Load, Told};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sale::{PRODUCT, audit_passes};
use scenarios::stack::{Role, RoleSpec, Stack, StackKind, StackOptions};
use scenarios::testing;
use sqlx::{Connection, SqliteConnection};
use std::path::PathBuf;
use std::time::Duration;
use wait::until;

const TOTAL: i64 = 200_000;
const KILL_WITHIN_MS: u64 = 600;
/// Longest time from a kill until the next process sells.
const SELLS_AGAIN_WITHIN: Duration = Duration::from_secs(8);

struct EmbeddedWorld {
    stack: Stack,
    program: PathBuf,
    engine: &'static str,
    told: Told,
    started: u32,
    lease_ms: u64,
    /// `None`: nothing expires while a test lasts.
    time_to_pay_s: Option<i64>,
    /// Besides what all tests have.
    settings: Vec<(&'static str, &'static str)>,
}

impl EmbeddedWorld {
    async fn new(engine: &'static str) -> Self {
        let options = StackOptions {
            kind: StackKind::Embedded,
            ..testing::options()
        };
        let stack = Stack::start(&options).await.expect("it needs nothing");
        let program = scenarios::bench::system_binary::build().expect("the system builds");
        let mut world = Self {
            stack,
            program,
            engine,
            told: Told::default(),
            started: 0,
            lease_ms: 1_500,
            time_to_pay_s: None,
            settings: Vec::new(),
        };
        let seed = world.stack.scratch().join("seed.toml");
        std::fs::write(&seed, sale::seed(TOTAL)).expect("the scratch folder can be written");
        let migrate = world.spec(&["migrate", "--seed", &seed.display().to_string()], None);
        world.stack.run_to_end(&migrate).await.expect("migrated");
        world
    }

    fn spec(&mut self, args: &[&str], failpoint: Option<&str>) -> RoleSpec {
        self.started += 1;
        let mut env = vec![
            (
                "SECKILL__DATABASE__URL".to_owned(),
                self.stack.database_url("sale"),
            ),
            (
                "SECKILL__SECKILL__ENGINE".to_owned(),
                self.engine.to_owned(),
            ),
            (
                "SECKILL__SECKILL__LISTEN".to_owned(),
                "127.0.0.1:0".to_owned(),
            ),
            (
                "SECKILL__ORDER__LISTEN".to_owned(),
                "127.0.0.1:0".to_owned(),
            ),
            (
                "SECKILL__PRODUCT__LISTEN".to_owned(),
                "127.0.0.1:0".to_owned(),
            ),
            ("SECKILL__AUTH__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("SECKILL__USER__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            (
                "SECKILL__GATEWAY__LISTEN".to_owned(),
                "127.0.0.1:0".to_owned(),
            ),
            (
                "SECKILL__INCARNATION__LEASE_MS".to_owned(),
                self.lease_ms.to_string(),
            ),
            (
                "SECKILL__INCARNATION__HEARTBEAT_MS".to_owned(),
                (self.lease_ms / 10).to_string(),
            ),
            (
                "SECKILL__INCARNATION__MARGIN_MS".to_owned(),
                "300".to_owned(),
            ),
            (
                "SECKILL__SECKILL__PUBLISH_TIMEOUT_MS".to_owned(),
                "700".to_owned(),
            ),
            (
                "SECKILL__RECONCILER__INTERVAL_MS".to_owned(),
                "100".to_owned(),
            ),
            (
                "SECKILL__RECONCILER__GRACE_MS".to_owned(),
                "1200".to_owned(),
            ),
        ];
        env.extend(self.time_to_pay_s.map(|time_to_pay_s| {
            let name = "SECKILL__ORDER__TIME_TO_PAY_S".to_owned();
            (name, time_to_pay_s.to_string())
        }));
        let own = self.settings.iter();
        env.extend(own.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        env.extend(failpoint.map(|name| ("SECKILL_FAILPOINT".to_owned(), name.to_owned())));
        let name = format!("{}-{}", args[0], self.started);
        RoleSpec {
            name,
            program: self.program.clone(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env,
        }
    }

    /// Starts every role in one process, and waits until the sale is open.
    async fn all(&mut self, failpoint: Option<&str>) -> Role {
        let spec = self.spec(&["all"], failpoint);
        let role = self.stack.spawn_role(&spec).await.expect("it starts");
        let admin = role.admin().expect("it listens");
        until("the sale is open", async || {
            match inspect::stock(admin, PRODUCT).await {
                Ok(stock) if stock.open => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        role
    }

    fn load(&self, role: &Role, crowd: Crowd) -> Load {
        Load::start(
            role.listen().expect("it listens"),
            PRODUCT,
            crowd,
            self.told.clone(),
        )
    }

    async fn database(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.stack.database_url("sale"))
            .await
            .expect("the file is there")
    }

    async fn sql(&self, statement: &str) {
        sqlx::raw_sql(statement)
            .execute(&mut self.database().await)
            .await
            .expect(statement);
    }

    async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&mut self.database().await)
            .await
            .expect(query)
    }

    /// Repairs what is left open, without a service.
    async fn repair(&mut self) {
        let once = self.spec(&["all", "--once"], None);
        let summary = self
            .stack
            .run_to_end(&once)
            .await
            .expect("nothing is left to repair");
        assert!(summary.contains("\"left\":0"), "{summary}");
    }

    /// Repairs what is left open, and audits.
    async fn audit(&mut self) {
        self.repair().await;
        let log = self
            .stack
            .scratch()
            .join(format!("told-{}.log", self.started));
        let database_url = self.stack.database_url("sale");
        let sale = (TOTAL, self.time_to_pay_s.map(|seconds| seconds * 1_000));
        audit_passes(database_url, log, &self.told, sale, Vec::new()).await;
    }
}

async fn killed_at_random_moments(engine: &'static str) {
    let (rounds, seed) = repetitions::from_environment();
    let mut random = SmallRng::seed_from_u64(seed);
    let mut world = EmbeddedWorld::new(engine).await;
    for round in 1..=rounds {
        let crowd = Crowd {
            seed: seed + round,
            users: 100_000,
            concurrency: 32,
        };
        for _ in 0..2 {
            let mut all = world.all(None).await;
            let load = world.load(&all, crowd);
            load.sells(50).await;
            // The moment itself is random, so there is no condition to wait for.
            tokio::time::sleep(Duration::from_millis(
                random.random_range(0..KILL_WITHIN_MS),
            ))
            .await;
            all.kill().await.expect("killed");
            load.finish().await;
        }
        world.audit().await;
    }
    world.stack.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn preallocated_loses_and_doubles_nothing_when_the_one_process_is_killed() {
    killed_at_random_moments("preallocated?block=500").await;
}

#[tokio::test]
async fn database_row_loses_and_doubles_nothing_when_the_one_process_is_killed() {
    killed_at_random_moments("database-row").await;
}

#[tokio::test]
async fn the_process_may_die_at_any_step_of_a_publish_a_write_or_a_reserve() {
    if !cfg!(debug_assertions) {
        return eprintln!("ignored: failpoints are in debug builds only");
    }
    let mut world = EmbeddedWorld::new("preallocated?block=500").await;
    let failpoints = [
        "queue.before_commit:20",
        "queue.after_commit:20",
        "consumer.before_commit:10",
        "consumer.after_commit:10",
        "consumer.after_ack:10",
        "seckill.after_reserve:30",
        "seckill.after_publish:30",
    ];
    for (failpoint, seed) in failpoints.into_iter().zip(1..) {
        let mut all = world.all(Some(failpoint)).await;
        let load = world.load(
            &all,
            Crowd {
                seed,
                users: 100_000,
                concurrency: 16,
            },
        );
        until(failpoint, async || {
            match inspect::stock(all.admin().expect("it listens"), PRODUCT).await {
                Ok(stock) => Err(format!("alive: {stock:?}")),
                Err(_) => Ok(()),
            }
        })
        .await;
        all.kill().await.expect("reaped");
        load.finish().await;
        world.audit().await;
    }
    world.stack.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn what_a_crash_leaves_in_the_queue_of_an_incarnation_that_is_gone_is_removed_and_delays_nothing()
 {
    if !cfg!(debug_assertions) {
        return eprintln!("ignored: failpoints are in debug builds only");
    }
    let mut world = EmbeddedWorld::new("database-row").await;
    let mut all = world.all(Some("consumer.before_commit:1")).await;
    let load = world.load(
        &all,
        Crowd {
            seed: 1,
            users: 1_000,
            concurrency: 16,
        },
    );
    until("the consumer dies", async || {
        match inspect::stock(all.admin().expect("it listens"), PRODUCT).await {
            Ok(stock) => Err(format!("alive: {stock:?}")),
            Err(_) => Ok(()),
        }
    })
    .await;
    all.kill().await.expect("reaped");
    load.finish().await;
    world
        .sql("CREATE TABLE kept AS SELECT * FROM queue_messages")
        .await;
    world.audit().await;
    // The incarnation is gone and its orders have rows. Now it is made to look as if the deletion
    // of its acknowledged messages and of its queue had been lost.
    assert!(world.number("SELECT COUNT(*) FROM kept").await > 0);
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM incarnations WHERE state <> 'gone' OR queue <> ''")
            .await,
        0
    );
    world
        .sql("UPDATE incarnations SET queue = 'left' WHERE id IN (SELECT incarnation FROM kept)")
        .await;
    world.sql("INSERT INTO queue_bindings (incarnation, generation) SELECT DISTINCT incarnation, 0 FROM kept").await;
    world
        .sql("INSERT INTO queue_messages SELECT * FROM kept")
        .await;
    world.audit().await;
    assert_eq!(
        world
            .number("SELECT COUNT(*) FROM incarnations WHERE queue <> ''")
            .await,
        0
    );
    assert_eq!(world.number("SELECT COUNT(*) FROM queue_messages").await, 0);
    world.stack.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn a_sale_with_many_orders_opens_again_though_its_grant_outlasts_the_lease() {
    let mut world = EmbeddedWorld::new("preallocated").await;
    world.lease_ms = 500;
    world
        .all(None)
        .await
        .stop()
        .await
        .expect("stopped in order");
    world.repair().await;
    world
        .sql(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 190000)
             INSERT INTO orders (order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live,
             created_at_ms, updated_at_ms)
             SELECT i, i, 1, 1, 9900, 1, 0, 1, 1, 1 FROM n; UPDATE allocations SET granted = 190000, sold = 190000",
        )
        .await;
    // No heartbeat gets through while the epoch is granted, and still it is given to the process
    // that lives.
    let _all = world.all(None).await;
    world.stack.stop().await.expect("an orderly end");
}
