//! The world of one test: a database, keys and queues of its own on the shared servers, the roles
//! as processes, what the buyers were told, and the audit of all of it.

use crate::inspect::{self, Stock};
use crate::load::{self, Answer, Crowd, Load, Told};
use crate::program::program;
use crate::queue_type;
use crate::sale::{self, PRODUCT, audit_passes};
use crate::turn::{self, Turn};
use crate::wait::until;
use loadgen::data::Element;
use scenarios::audit::EngineStock;
use scenarios::stack::{Role, RoleSpec, Stack};
use scenarios::testing;
use scenarios::usage::proc;
use servers::RedisServer;
use sqlx::MySqlPool;
use sqlx::mysql::MySqlPoolOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// User ids of single buyers begin here, so that they are never among those of a crowd.
pub const SOMEBODY: i64 = 1_000_000;

/// Longest time after its last heartbeat during which a service says yes; ms.
pub const LEASE_MS: i64 = 1_500;
/// Short times, so that the tests do not wait long for them. The lease is still several heartbeats
/// long, because two busy cores keep a process waiting now and then.
const TIMES: [(&str, &str); 6] = [
    ("SECKILL__INCARNATION__HEARTBEAT_MS", "150"),
    ("SECKILL__INCARNATION__MARGIN_MS", "300"),
    ("SECKILL__SECKILL__PUBLISH_TIMEOUT_MS", "700"),
    ("SECKILL__RECONCILER__INTERVAL_MS", "100"),
    ("SECKILL__RECONCILER__GRACE_MS", "1200"),
    ("SECKILL__LOG__LEVEL", "info"),
];
/// A buyer's patience; a role is restarted well within it.
pub const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub struct World {
    pub stack: &'static Stack,
    pub database: MySqlPool,
    pub told: Told,
    pub settings: Vec<(String, String)>,
    /// The system's binary, of roles that start from now on.
    pub program: PathBuf,
    /// After which the audit lets an unpaid order expire.
    pub time_to_pay_ms: Option<i64>,
    database_url: String,
    name: String,
    total: i64,
    address: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    spawned: AtomicU32,
    _turn: Turn,
}

/// Whether roles can be told to die at a failpoint; if not, prints that the test is ignored.
pub fn has_failpoints() -> bool {
    if !cfg!(debug_assertions) {
        eprintln!("ignored: failpoints are in debug builds only");
    }
    cfg!(debug_assertions)
}

impl World {
    /// A migrated database with one sale of `total` units and nothing running, perhaps beside other
    /// worlds: the shared servers are to be left alone. `None` where the test cannot run.
    pub async fn start(name: &str, total: i64) -> Option<Self> {
        let database_url = testing::stack()?.database_url(name);
        Self::start_in(Turn::beside().await, name, total, (database_url, program())).await
    }

    /// As [`Self::start`], with the tables and the roles of another binary.
    pub async fn start_with(program: PathBuf, name: &str, total: i64) -> Option<Self> {
        let database_url = testing::stack()?.database_url(name);
        Self::start_in(Turn::beside().await, name, total, (database_url, program)).await
    }

    /// As [`Self::start`], without any other world: the shared servers may be made to stand still.
    pub async fn start_alone(name: &str, total: i64) -> Option<Self> {
        let database_url = testing::stack()?.database_url(name);
        Self::start_in(Turn::alone().await, name, total, (database_url, program())).await
    }

    /// As [`Self::start`], in a database of the server of `root_url`, which may be killed.
    pub async fn start_at(root_url: &str, name: &str, total: i64) -> Option<Self> {
        let database_url = format!("{root_url}/{name}");
        Self::start_in(Turn::beside().await, name, total, (database_url, program())).await
    }

    async fn start_in(
        turn: Turn,
        name: &str,
        total: i64,
        (database_url, program): (String, PathBuf),
    ) -> Option<Self> {
        let stack = testing::stack()?;
        turn::only_one_is_called(name);
        let pairs = [
            ("SECKILL__DATABASE__URL", database_url.clone()),
            ("SECKILL__REDIS__URL", stack.redis_url()),
            ("SECKILL__REDIS__PREFIX", format!("{name}:")),
            ("SECKILL__MQ__URL", stack.amqp_url()),
            ("SECKILL__MQ__PREFIX", format!("{name}.")),
            ("SECKILL__MQ__QUEUE_TYPE", queue_type::from_environment()),
            ("SECKILL__SECKILL__LISTEN", "127.0.0.1:0".to_owned()),
            ("SECKILL__SECKILL__ENGINE", "lua-single-key".to_owned()),
            ("SECKILL__ORDER__LISTEN", "127.0.0.1:0".to_owned()),
            ("SECKILL__INCARNATION__LEASE_MS", LEASE_MS.to_string()),
        ];
        let times = TIMES.map(|(key, value)| (key, value.to_owned()));
        let settings = pairs
            .into_iter()
            .chain(times)
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        // Nothing is connected yet: the database is made by `migrate`.
        let options = MySqlPoolOptions::new().max_connections(2);
        let database = options.connect_lazy(&database_url).expect("a database URL");
        let world = Self {
            stack,
            database,
            told: Told::default(),
            settings,
            database_url,
            name: name.to_owned(),
            total,
            address: None,
            admin: None,
            program,
            time_to_pay_ms: None,
            spawned: AtomicU32::new(0),
            _turn: turn,
        };
        let seed = stack.scratch().join(format!("{name}.toml"));
        std::fs::write(&seed, sale::seed(total)).expect("the scratch folder can be written");
        world
            .run(&["migrate", "--seed", &seed.display().to_string()])
            .await
            .expect("migrated");
        Some(world)
    }

    /// Changes a setting for roles that start from now on.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        let value = value.to_string();
        match self.settings.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.settings.push((key.to_owned(), value)),
        }
    }

    /// A Redis that no other world uses, for roles that start from now on; it may be emptied.
    pub async fn own_redis(&mut self) -> RedisServer {
        let redis = RedisServer::start().await.expect("the stack has one too");
        self.set("SECKILL__REDIS__URL", redis.url());
        redis
    }

    fn spec(&self, args: &[&str], more: &[(&str, &str)]) -> RoleSpec {
        let number = self.spawned.fetch_add(1, Ordering::Relaxed);
        let mut env = self.settings.clone();
        env.extend(
            more.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        RoleSpec {
            name: format!("{}-{number}-{}", self.name, args[0]),
            program: self.program.clone(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env,
        }
    }

    /// Runs a role that ends by itself, and returns what it printed.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        self.stack.run_to_end(&self.spec(args, &[])).await
    }

    pub async fn role(&self, name: &str) -> Role {
        self.spawn(name, &[]).await
    }

    /// A role that aborts at a failpoint, `name` or `name:nth`.
    pub async fn armed(&self, name: &str, failpoint: &str) -> Role {
        self.spawn(name, &[("SECKILL_FAILPOINT", failpoint)]).await
    }

    async fn spawn(&self, name: &str, more: &[(&str, &str)]) -> Role {
        let spec = self.spec(&[name], more);
        self.stack.spawn_role(&spec).await.expect("the role starts")
    }

    /// Starts the service. Later ones listen on the address of the first one.
    pub async fn seckill(&mut self) -> Role {
        let role = self.role("seckill").await;
        self.listens(&role);
        role
    }

    /// As [`Self::seckill`], armed.
    pub async fn armed_seckill(&mut self, failpoint: &str) -> Role {
        let role = self.armed("seckill", failpoint).await;
        self.listens(&role);
        role
    }

    /// One more beside the first, on a port of its own.
    pub async fn second_seckill(&self) -> Role {
        self.second(&[]).await
    }

    /// As [`Self::second_seckill`], armed.
    pub async fn second_armed_seckill(&self, failpoint: &str) -> Role {
        self.second(&[("SECKILL_FAILPOINT", failpoint)]).await
    }

    async fn second(&self, more: &[(&str, &str)]) -> Role {
        let elsewhere = [("SECKILL__SECKILL__LISTEN", "127.0.0.1:0")];
        self.spawn("seckill", &[&elsewhere, more].concat()).await
    }

    fn listens(&mut self, role: &Role) {
        let address = role.listen().expect("the service listens");
        self.address = Some(address);
        self.admin = role.admin();
        self.set("SECKILL__SECKILL__LISTEN", address);
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("the service was started before")
    }

    /// Where the service that was started last answers operators.
    fn admin(&self) -> SocketAddr {
        self.admin.expect("the service was started before")
    }

    /// Waits for an armed role to die at its failpoint.
    pub async fn crashed(&self, role: &mut Role) {
        let (name, pid) = (role.name().to_owned(), role.pid());
        until(&format!("{name} dies at its failpoint"), async || {
            let has_ended = proc::stat(pid).is_none_or(|stat| stat.has_ended());
            has_ended.then_some(()).ok_or("alive".into())
        })
        .await;
        role.kill().await.expect("reaped");
    }

    pub async fn stock(&self) -> Result<Stock, String> {
        inspect::stock(self.admin(), PRODUCT).await
    }

    /// Waits until the service can sell in an epoch of at least `epoch`, and returns its stock.
    pub async fn open(&self, epoch: i32) -> Stock {
        until("the sale is open", async || match self.stock().await {
            Ok(stock) if stock.open && stock.epoch >= epoch => Ok(stock),
            Ok(stock) => Err(format!("{stock:?}")),
            Err(why) => Err(why),
        })
        .await
    }

    pub async fn buy(&self, user_id: i64, quantity: i32) -> Answer {
        self.buy_at(self.address(), user_id, quantity, PATIENCE)
            .await
    }

    /// A purchase from one of several services, or with another patience.
    pub async fn buy_at(
        &self,
        address: SocketAddr,
        user_id: i64,
        quantity: i32,
        patience: Duration,
    ) -> Answer {
        let element = Element {
            user_id,
            product_id: PRODUCT,
            quantity,
        };
        load::buy(address, element, patience, self.told.clone()).await
    }

    pub fn load(&self, crowd: Crowd) -> Load {
        self.load_at(self.address(), crowd)
    }

    /// At one of several services.
    pub fn load_at(&self, address: SocketAddr, crowd: Crowd) -> Load {
        Load::start(address, PRODUCT, crowd, self.told.clone())
    }

    /// Waits until this many more orders of the load are accepted.
    pub async fn sells(&self, load: &Load, more: u64) {
        load.sells(more).await;
    }

    /// The log of every role that was started in this world so far.
    pub fn logs(&self) -> String {
        let logs = std::fs::read_dir(self.stack.scratch().join("logs")).expect("the logs");
        let of_this_world = logs.map(|log| log.expect("a log").path()).filter(|log| {
            let name = log.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{}-", self.name))
        });
        of_this_world
            .map(|log| {
                String::from_utf8_lossy(&std::fs::read(&log).expect("readable")).into_owned()
            })
            .collect()
    }

    /// One number from the database.
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&self.database)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Waits until a number from the database is the wanted one.
    pub async fn until_number(&self, sql: &str, wanted: i64) {
        until(sql, async || match self.number(sql).await {
            found if found == wanted => Ok(()),
            found => Err(format!("{found}, not {wanted}")),
        })
        .await;
    }

    pub async fn sql(&self, sql: &str) {
        sqlx::raw_sql(sql)
            .execute(&self.database)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Waits until no hold is open any more. Then every accepted order has its row and is settled.
    pub async fn quiet(&self) -> Stock {
        self.quiet_at(self.admin()).await
    }

    /// The same of one of several services, where each knows its own holds only; `admin` is where it
    /// answers operators.
    pub async fn quiet_at(&self, admin: SocketAddr) -> Stock {
        until("no hold is open", async || {
            match inspect::stock(admin, PRODUCT).await {
                Ok(stock) if stock.open && stock.open_units == 0 => Ok(stock),
                Ok(stock) => Err(format!("{stock:?}")),
                Err(why) => Err(why),
            }
        })
        .await
    }

    /// Waits until no hold is open, with service, consumer and reconciler running, and audits.
    pub async fn audit(&self) {
        let stock = self.quiet().await;
        let log = self.stack.scratch().join(format!(
            "{}-{}.log",
            self.name,
            self.spawned.load(Ordering::Relaxed)
        ));
        let engine_stock = EngineStock {
            product_id: PRODUCT,
            remaining: stock.remaining,
            open_units: stock.open_units,
        };
        audit_passes(
            self.database_url.clone(),
            log,
            &self.told,
            (self.total, self.time_to_pay_ms),
            vec![engine_stock],
        )
        .await;
    }

    /// Name of the exchange of this world's order events.
    pub fn orders_exchange(&self) -> String {
        format!("{}.seckill.orders", self.name)
    }

    /// Name of the exchange of this world to which listeners bind.
    pub fn exchange(&self) -> String {
        format!("{}.seckill.exchange", self.name)
    }

    /// Name of a queue of this world.
    pub fn queue(&self, incarnation: i64) -> String {
        format!("{}.order.create.q.{incarnation}", self.name)
    }
}
