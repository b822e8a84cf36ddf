//! A worked example of an engine of one's own: `redis-watch` decides in Rust, between WATCH and
//! EXEC, what `lua-single-key` decides in a script inside Redis. Read `Sale` for the decisions,
//! then `RedisWatch` for the rest.
//!
//! Every writer changes a sale's `meta` key, and every call watches it from before its first read
//! until EXEC. So EXEC succeeds only if all that was read is still true, and each call is one
//! atomic step, however many round trips it takes.

use engines::{
    BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish, FinishKind,
    Finished, Guarantees, Hold, HoldKey, HoldPage, HoldPageQuery, IncarnationId, OpenHold, Opened,
    Opening, OrderId, PAGE_MAX, Params, Reserve, Result, SaleId, SettingSpec, StockEngine,
    StockView, Term, Upkeep, UserId, Verdict,
};
use redis::{AsyncConnectionConfig, InfoDict, Pipeline, RedisError, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

const NAME: &str = "redis-watch";
/// Attempts of one call. Each lost one means that another client's call went through, so the sale
/// itself moves on.
const ATTEMPTS_MAX: usize = 1_000;
/// Longest wait for an answer; an opening loads all its buyers in one transaction.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Incarnations remembered per hold; a buyer of one more is told "busy", so that none is ever
/// forgotten (R8).
const INCARNATIONS_MAX: usize = 64;
const META_FIELDS: &[&str] = &["epoch", "nonce", "run", "remaining", "open_units"];

/// What a `main` registers: `Registry::standard().register(own_engine::FACTORY)`.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "the example of an engine of one's own: one key set on one Redis, optimistic WATCH, MULTI and EXEC, no script",
    needs: &["redis"],
    params: &[],
    settings: &[SettingSpec::REDIS_URL],
    migrations: &[],
    guarantees: Guarantees {
        keeps_stock: true,
        survives_process_kill: true, // Everything is in Redis; this process keeps nothing but a connection.
        survives_server_loss: true,  // See `Link`.
        needs_user_affinity: false,
        needs_one_engine_per_process: false,
        settles_own_holds: false,
    },
    build,
};

fn build(env: EngineEnv, _params: Params) -> BuildFuture {
    Box::pin(async move {
        let client = redis::Client::open(env.required(NAME, "redis.url")?)
            .map_err(|error| EngineError::Config(format!("{NAME}: {error}")))?;
        let engine = RedisWatch {
            client,
            prefix: env.key_prefix,
            link: Mutex::default(),
        };
        Ok(Arc::new(engine) as Arc<dyn StockEngine>)
    })
}

/// In the hash `<sale>:gate`, by user: order and quantity of who may not buy again.
type Gate = (OrderId, u32);

/// In the hash `<sale>:holds`, by order: granted and not settled. A settled order has a gate and
/// none of these.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    user: UserId,
    quantity: u32,
    touched_at_ms: i64,
    touched_by: Vec<IncarnationId>,
    marked: bool,
}

fn listed(order: i64, held: Held, now_ms: i64) -> OpenHold {
    OpenHold {
        order: OrderId(order),
        user: held.user,
        quantity: held.quantity,
        touched_at_ms: held.touched_at_ms,
        age_ms: u64::try_from(now_ms - held.touched_at_ms).unwrap_or(0),
        touched_by: held.touched_by,
        marked: held.marked,
    }
}

fn is_old(hold: &OpenHold, age: Duration) -> bool {
    u128::from(hold.age_ms) >= age.as_millis()
}

/// [`META_FIELDS`] of the hash `<sale>:meta`; all absent before the first opening.
type Meta = (
    Option<u32>,
    Option<u64>,
    Option<String>,
    Option<u64>,
    Option<u64>,
);

/// What one call has read of a sale, and what it wants written. Nothing here waits: these are the
/// decisions.
struct Sale {
    base: String,
    /// The open term, and the life of the server in which it was opened; `run` is the present one.
    opened: Option<(Epoch, u64, String)>,
    remaining: u64,
    open_units: u64,
    gates: HashMap<i64, Gate>,
    holds: HashMap<i64, Held>,
    now_ms: i64,
    run: String,
    writes: Pipeline,
}

impl Sale {
    fn new(
        base: &str,
        (epoch, nonce, run, remaining, open_units): Meta,
        time: (i64, i64),
        link: &Link,
    ) -> Self {
        Self {
            base: base.to_owned(),
            opened: epoch.map(|epoch| (Epoch(epoch), nonce.unwrap_or(0), run.unwrap_or_default())),
            remaining: remaining.unwrap_or(0),
            open_units: open_units.unwrap_or(0),
            gates: HashMap::new(),
            holds: HashMap::new(),
            now_ms: time.0 * 1_000 + time.1 / 1_000,
            run: link.run.clone(),
            writes: redis::pipe().atomic().clone(),
        }
    }

    /// Nothing before `open`, nothing under another term, nothing from what an earlier life of the
    /// server left.
    fn is_open(&self, term: &Term) -> bool {
        let is_it = |(epoch, nonce, run): &_| {
            (epoch, nonce, run) == (&term.epoch, &term.nonce.0, &self.run)
        };
        self.opened.as_ref().is_some_and(is_it)
    }

    /// Everything is loaded in the one transaction that also opens, so there is no half-finished
    /// opening.
    fn open(&mut self, opening: &Opening) -> Opened {
        if self.is_open(&opening.term) {
            return Opened::AlreadyOpen;
        }
        // The same term of an earlier life of the server is stale too: a new attempt takes a new
        // epoch (R13).
        if let Some((newest, ..)) = self
            .opened
            .as_ref()
            .filter(|(epoch, ..)| *epoch >= opening.term.epoch)
        {
            return Opened::Stale { newest: *newest };
        }
        self.write("UNLINK", "gate");
        self.write("UNLINK", "holds");
        self.write("HSET", "meta")
            .arg("epoch")
            .arg(opening.term.epoch.0);
        self.writes
            .arg("nonce")
            .arg(opening.term.nonce.0)
            .arg("run")
            .arg(&self.run);
        opening
            .buyers
            .iter()
            .for_each(|buyer| self.put_gate(buyer.user, (buyer.order, buyer.quantity)));
        (self.remaining, self.open_units) = (opening.granted, 0);
        Opened::Opened
    }

    fn reserve(&mut self, term: &Term, item: &Reserve) -> Result<Verdict> {
        if item.quantity == 0 {
            return Err(EngineError::Config(
                "a reserve of 0 units; at least 1 is needed".to_owned(),
            ));
        }
        if !self.is_open(term) {
            return Ok(Verdict::NotOpen);
        }
        if self.now_ms > item.expires_at_ms {
            return Ok(Verdict::Expired); // R7: its caller may have given up.
        }
        if let Some(gate) = self.gates.get(&item.user.0).copied() {
            return Ok(self.reserve_again(item, gate));
        }
        if !item.may_sell {
            return Ok(Verdict::NoOrder);
        }
        let Some(rest) = self.remaining.checked_sub(u64::from(item.quantity)) else {
            return Ok(Verdict::SoldOut {
                remaining: self.remaining,
            });
        };
        self.remaining = rest;
        self.open_units += u64::from(item.quantity);
        self.put_gate(item.user, (item.order, item.quantity));
        let (user, touched_by) = (item.user, vec![item.incarnation]);
        let held = Held {
            user,
            quantity: item.quantity,
            touched_at_ms: self.now_ms,
            touched_by,
            marked: false,
        };
        self.put_hold(item.order, held);
        Ok(Verdict::GRANTED)
    }

    /// A user with a live order gets that order; while its hold is open, the call touches it (R8).
    fn reserve_again(&mut self, item: &Reserve, (order, quantity): Gate) -> Verdict {
        let settled = !self.holds.contains_key(&order.0);
        if let Some(mut held) = self.holds.get(&order.0).cloned() {
            if !held.touched_by.contains(&item.incarnation) {
                held.touched_by.push(item.incarnation);
            }
            if held.marked || held.touched_by.len() > INCARNATIONS_MAX {
                return Verdict::Busy;
            }
            held.touched_at_ms = self.now_ms;
            self.put_hold(order, held);
        }
        Verdict::Duplicate(Hold {
            order,
            quantity,
            settled,
            allocation: None,
        })
    }

    /// Quantities come from gate and hold, never from the caller, so what comes back is what was
    /// taken.
    fn finish(&mut self, term: &Term, item: &Finish) -> Finished {
        if !self.is_open(term) {
            return Finished::NotOpen;
        }
        let mut finished = Finished::AlreadyDone;
        let gate = self
            .gates
            .get(&item.user.0)
            .filter(|gate| gate.0 == item.order)
            .copied();
        // The gate goes with the units: whoever finds it gone, or another order's, gives nothing
        // back.
        if let (FinishKind::Release, Some((_, quantity))) = (item.kind, gate) {
            self.remaining += u64::from(quantity);
            self.gates.remove(&item.user.0);
            self.write("HDEL", "gate").arg(item.user.0);
            finished = Finished::Done;
        }
        // An order without a gate has no hold either, so a settle that comes after the release
        // finds nothing.
        if let Some(held) = self.holds.remove(&item.order.0) {
            self.open_units -= u64::from(held.quantity);
            self.write("HDEL", "holds").arg(item.order.0);
            finished = Finished::Done;
        }
        finished
    }

    /// Tests the age and sets the mark; a touch in between changes `meta`, and EXEC does nothing.
    fn mark(&mut self, key: &HoldKey, age: Duration) -> Option<OpenHold> {
        let held = self.holds.get(&key.order.0);
        let mut held = held.filter(|held| held.user == key.user)?.clone();
        if !held.marked && is_old(&listed(key.order.0, held.clone(), self.now_ms), age) {
            held.marked = true;
            self.put_hold(key.order, held.clone());
        }
        held.marked.then(|| listed(key.order.0, held, self.now_ms))
    }

    fn put_gate(&mut self, user: UserId, gate: Gate) {
        self.write("HSET", "gate").arg(user.0).arg(json(&gate));
        self.gates.insert(user.0, gate);
    }

    fn put_hold(&mut self, order: OrderId, held: Held) {
        self.write("HSET", "holds").arg(order.0).arg(json(&held));
        self.holds.insert(order.0, held);
    }

    /// Adds a command on one of the sale's keys to what EXEC will do.
    fn write(&mut self, command: &str, part: &str) -> &mut Pipeline {
        self.writes
            .cmd(command)
            .arg(format!("{}:{part}", self.base))
    }

    /// A refusal leaves no trace; but its EXEC, too, proves that what it was decided on was of one
    /// moment.
    fn into_transaction(mut self) -> Pipeline {
        if self.writes.is_empty() {
            return self.writes.cmd("PING").clone();
        }
        self.write("HSET", "meta");
        self.writes
            .arg("remaining")
            .arg(self.remaining)
            .arg("open_units")
            .arg(self.open_units);
        self.writes
    }
}

/// Users and orders whose gates and holds a call has to read.
type Ids = (Vec<i64>, Vec<i64>);

/// A connection, and `run_id` of the server behind it. It ends with that life of the server, so all
/// that it reads was read in that life; a sale opened in another one, brought back perhaps from an
/// older AOF, is not open.
#[derive(Debug)]
struct Link {
    redis: MultiplexedConnection,
    run: String,
}

#[derive(Debug)]
struct RedisWatch {
    client: redis::Client,
    prefix: String,
    /// WATCH belongs to a connection, so one call at a time has it. It is taken out and put back by
    /// who succeeds: a call that fails, or is dropped half-way, loses it, and nobody inherits its
    /// WATCH.
    link: Mutex<Option<Link>>,
}

impl RedisWatch {
    async fn connect(&self) -> Result<Link> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
        let connected = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let mut redis = connected.map_err(not_done)?;
        let info: InfoDict = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut redis)
            .await
            .map_err(not_done)?;
        let run = info
            .get("run_id")
            .ok_or_else(|| EngineError::Protocol("redis tells no run_id".to_owned()))?;
        Ok(Link { redis, run })
    }

    /// The keys of a sale, which the braces keep in one hash slot, begin with this.
    fn base(&self, sale: SaleId) -> String {
        format!("{{{}watch:{sale}}}", self.prefix)
    }

    /// Reads, decides, and writes if nobody wrote meanwhile; otherwise it begins again.
    async fn transact<T>(
        &self,
        sale: SaleId,
        ids: Ids,
        mut decide: impl FnMut(&mut Sale) -> T,
    ) -> Result<T> {
        let mut slot = self.link.lock().await;
        let mut link = if let Some(link) = slot.take() {
            link
        } else {
            self.connect().await?
        };
        for _ in 0..ATTEMPTS_MAX {
            let mut sale = self.read(&mut link, sale, &ids).await?;
            let answer = decide(&mut sale);
            // Without an answer to EXEC nobody knows whether it ran.
            let unknown = |error: RedisError| EngineError::Unknown {
                context: error.to_string(),
                source: None,
            };
            if let Some(()) = sale
                .into_transaction()
                .query_async(&mut link.redis)
                .await
                .map_err(unknown)?
            {
                *slot = Some(link);
                return Ok(answer);
            }
        }
        Err(EngineError::Unavailable {
            context: format!("{NAME}: lost the race {ATTEMPTS_MAX} times"),
            source: None,
        })
    }

    async fn read(&self, link: &mut Link, sale: SaleId, (users, orders): &Ids) -> Result<Sale> {
        let (base, mut pipe) = (self.base(sale), redis::pipe());
        let meta = format!("{base}:meta");
        pipe.cmd("WATCH")
            .arg(&meta)
            .ignore()
            .cmd("HMGET")
            .arg(&meta)
            .arg(META_FIELDS)
            .cmd("TIME");
        let (meta, time) = pipe.query_async(&mut link.redis).await.map_err(not_done)?;
        let mut sale = Sale::new(&base, meta, time, link);
        sale.gates = fields(link, format!("{base}:gate"), users).await?;
        let orders: Vec<i64> = sale
            .gates
            .values()
            .map(|gate| gate.0.0)
            .chain(orders.iter().copied())
            .collect();
        sale.holds = fields(link, format!("{base}:holds"), &orders).await?;
        Ok(sale)
    }

    /// The sale and a page of its holds, both of one moment. Nothing is watched, because nothing is
    /// written.
    async fn look(
        &self,
        sale: SaleId,
        cursor: u64,
        limit: u32,
    ) -> Result<(Sale, u64, Vec<(i64, String)>)> {
        let mut slot = self.link.lock().await;
        let mut link = if let Some(link) = slot.take() {
            link
        } else {
            self.connect().await?
        };
        let (base, mut pipe) = (self.base(sale), redis::pipe());
        pipe.atomic()
            .cmd("HMGET")
            .arg(format!("{base}:meta"))
            .arg(META_FIELDS)
            .cmd("TIME");
        pipe.cmd("HSCAN")
            .arg(format!("{base}:holds"))
            .arg(cursor)
            .arg("COUNT")
            .arg(limit.max(1));
        let (meta, time, (next, found)) =
            pipe.query_async(&mut link.redis).await.map_err(not_done)?;
        let sale = Sale::new(&base, meta, time, &link);
        *slot = Some(link);
        Ok((sale, next, found))
    }
}

#[async_trait::async_trait]
impl StockEngine for RedisWatch {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: NAME.to_owned(),
            parameters: Vec::new(),
            guarantees: FACTORY.guarantees,
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        self.transact(opening.term.sale, Ids::default(), |sale| sale.open(opening))
            .await
    }

    /// One transaction per batch; within it item by item, each seeing what those before it did.
    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let ids = (batch.iter().map(|item| item.user.0).collect(), Vec::new());
        let decide = |sale: &mut Sale| batch.iter().map(|item| sale.reserve(term, item)).collect();
        self.transact(term.sale, ids, decide)
            .await
            .unwrap_or_else(|error| error.for_each(batch.len()))
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        let ids = batch.iter().map(|item| (item.user.0, item.order.0)).unzip();
        let decide = |sale: &mut Sale| {
            batch
                .iter()
                .map(|item| Ok(sale.finish(term, item)))
                .collect()
        };
        self.transact(term.sale, ids, decide)
            .await
            .unwrap_or_else(|error| error.for_each(batch.len()))
    }

    /// HSCAN promises what the pages must: every field that stays there for the whole listing is in
    /// some page.
    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let limit = page.limit.clamp(1, PAGE_MAX);
        let (sale, next, found) = self.look(term.sale, page.cursor, limit).await?;
        if !sale.is_open(term) {
            return Err(EngineError::not_open(term));
        }
        let open = |(order, text): (i64, String)| Ok(listed(order, parsed(&text)?, sale.now_ms));
        let mut holds = found.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        holds.retain(|hold| is_old(hold, page.age));
        Ok(HoldPage {
            holds,
            next: (next != 0).then_some(next),
        })
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        let ids = (Vec::new(), holds.iter().map(|hold| hold.order.0).collect());
        let decide = |sale: &mut Sale| {
            let is_open = sale.is_open(term);
            is_open.then(|| {
                holds
                    .iter()
                    .filter_map(|hold| sale.mark(hold, age))
                    .collect()
            })
        };
        let marked = self.transact(term.sale, ids, decide).await?;
        marked.ok_or_else(|| EngineError::not_open(term))
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let (sale, ..) = self.look(term.sale, 0, 1).await?;
        Ok(StockView {
            remaining: i64::try_from(sale.remaining).unwrap_or(i64::MAX),
            open_units: sale.open_units,
            epoch: sale.opened.as_ref().map(|(epoch, ..)| *epoch),
            is_open: sale.is_open(term),
            owners: Vec::new(),
            clock_ms: sale.now_ms,
            server: sale.run,
        })
    }
}

/// Nothing to tend and nothing to hand back: no unit is ever anywhere but in the sale.
#[async_trait::async_trait]
impl Upkeep for RedisWatch {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        let mut redis = self.connect().await?.redis;
        let mut settings = Vec::new();
        for (name, needed) in [("appendonly", "yes"), ("maxmemory-policy", "noeviction")] {
            let answer = redis::cmd("CONFIG")
                .arg("GET")
                .arg(name)
                .query_async(&mut redis)
                .await;
            let (_, value): (String, String) = answer.map_err(not_done)?;
            if value != needed && !allow_volatile {
                let why = format!(
                    "redis has {name} = {value}; {NAME} needs {needed}; --allow-volatile accepts that"
                );
                return Err(EngineError::Config(why));
            }
            settings.push((format!("redis.{name}"), value));
        }
        Ok(settings)
    }

    /// Whoever has read the sale and is about to write finds `meta` changed, and reads it again.
    async fn retire(&self, sale: SaleId) -> Result<()> {
        let mut redis = self.connect().await?.redis;
        let base = self.base(sale);
        let keys = ["meta", "gate", "holds"].map(|part| format!("{base}:{part}"));
        let unknown = |error: RedisError| EngineError::Unknown {
            context: error.to_string(),
            source: None,
        };
        let mut unlink = redis::cmd("UNLINK");
        let unlinked = unlink.arg(&keys).query_async(&mut redis);
        unlinked.await.map_err(unknown)
    }
}

/// Those fields of a hash that are there.
async fn fields<T: DeserializeOwned>(
    link: &mut Link,
    key: String,
    ids: &[i64],
) -> Result<HashMap<i64, T>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let texts = redis::cmd("HMGET")
        .arg(key)
        .arg(ids)
        .query_async(&mut link.redis)
        .await;
    let texts: Vec<Option<String>> = texts.map_err(not_done)?;
    ids.iter()
        .zip(texts)
        .filter_map(|(id, text)| Some(parsed(&text?).map(|value| (*id, value))))
        .collect()
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| EngineError::Protocol(format!("{NAME}: {text:?} in redis: {error}")))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a record of numbers")
}

/// It went wrong before EXEC, so nothing was written.
fn not_done(error: RedisError) -> EngineError {
    EngineError::Unavailable {
        context: format!("{NAME}: {error}"),
        source: Some(error.into()),
    }
}
