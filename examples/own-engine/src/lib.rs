//! A worked example of an engine of one's own: `redis-watch` decides in Rust, between WATCH and EXEC, what
//! `lua-single-key` decides in a script inside Redis. Read `Sale` for the decisions, then `RedisWatch` for the rest.
//!
//! Every writer changes a sale's `meta` key, and every call watches it from before its first read until EXEC. So EXEC
//! succeeds only if all that was read is still true, and each call is one atomic step, however many round trips it takes.

use engines::{
    BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish, FinishKind, Finished, Guarantees,
    Hold, HoldPage, HoldQuery, IncarnationId, Maintain, Maintained, OpenHold, Opened, Opening, OrderId, Params, Reserve,
    Result, SaleId, StockEngine, StockView, Term, UserId, Verdict,
};
use redis::{AsyncConnectionConfig, InfoDict, Pipeline, RedisError, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

const NAME: &str = "redis-watch";
/// Attempts of one call. Each lost one means that another client's call went through, so the sale itself moves on.
const ATTEMPTS_MAX: usize = 1_000;
/// Longest wait for an answer or a connection. An opening loads all its buyers in one transaction.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Incarnations remembered per hold; a buyer of one more is told "busy", so that none is ever forgotten (R8).
const INCARNATIONS_MAX: usize = 64;
const META_FIELDS: &[&str] = &["epoch", "nonce", "run", "remaining", "open_units"];

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: true,
    survives_process_kill: true, // Everything is in Redis; this process keeps nothing but a connection.
    survives_server_loss: true,  // See `Link::run`.
    needs_user_affinity: false,
};

/// What a `main` registers: `Registry::standard().register(own_engine::FACTORY)`.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "the example of an engine of one's own: one key set on one Redis, optimistic WATCH, MULTI and EXEC, no script",
    needs: &["redis"],
    params: &[],
    guarantees: GUARANTEES,
    build,
};

fn build(env: EngineEnv, _params: Params) -> BuildFuture {
    Box::pin(async move {
        let url = env.redis_url.ok_or_else(|| EngineError::Config(format!("engine {NAME} needs a redis url")))?;
        let client = redis::Client::open(url).map_err(|error| EngineError::Config(format!("engine {NAME}: {error}")))?;
        let engine = RedisWatch { client, prefix: env.key_prefix, link: Mutex::default() };
        Ok(Arc::new(engine) as Arc<dyn StockEngine>)
    })
}

/// In the hash `gate`, by user: who may not buy again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Gate {
    order: i64,
    quantity: u32,
}

/// In the hash `holds`, by order: granted and not settled. A settled order has a gate and none of these.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    user: i64,
    quantity: u32,
    touched_at_ms: i64,
    touched_by: Vec<i64>,
    marked: bool,
}

impl Held {
    fn age_ms(&self, now_ms: i64) -> u64 {
        u64::try_from(now_ms - self.touched_at_ms).unwrap_or(0)
    }

    fn listed(self, order: i64, now_ms: i64) -> OpenHold {
        OpenHold {
            order: OrderId(order),
            user: UserId(self.user),
            quantity: self.quantity,
            touched_at_ms: self.touched_at_ms,
            age_ms: self.age_ms(now_ms),
            touched_by: self.touched_by.into_iter().map(IncarnationId).collect(),
            marked: self.marked,
        }
    }
}

/// [`META_FIELDS`] as Redis answers them; all absent before the first opening.
type MetaRow = (Option<u32>, Option<u64>, Option<String>, Option<u64>, Option<u64>);

/// What one call has read of a sale, and what it wants written. Nothing here waits: these are the decisions.
struct Sale {
    keys: Keys,
    /// The open term, and the server's life in which it was opened.
    opened: Option<(Epoch, u64, String)>,
    remaining: u64,
    open_units: u64,
    gates: HashMap<i64, Gate>,
    holds: HashMap<i64, Held>,
    now_ms: i64,
    /// The server's present life.
    run: String,
    writes: Pipeline,
}

impl Sale {
    fn new(keys: Keys, (epoch, nonce, opened_in, remaining, open_units): MetaRow, time: (i64, i64), run: &str) -> Self {
        Self {
            keys,
            opened: epoch.map(|epoch| (Epoch(epoch), nonce.unwrap_or(0), opened_in.unwrap_or_default())),
            remaining: remaining.unwrap_or(0),
            open_units: open_units.unwrap_or(0),
            gates: HashMap::new(),
            holds: HashMap::new(),
            now_ms: time.0 * 1_000 + time.1 / 1_000,
            run: run.to_owned(),
            writes: redis::pipe().atomic().clone(),
        }
    }

    /// Nothing before `open`, nothing under another term, nothing from what an earlier life of the server left.
    fn is_open(&self, term: &Term) -> bool {
        self.opened.as_ref().is_some_and(|opened| *opened == (term.epoch, term.nonce.0, self.run.clone()))
    }

    /// Everything is loaded in the one transaction that also opens, so there is no half-finished opening.
    fn open(&mut self, opening: &Opening) -> Opened {
        if self.is_open(&opening.term) {
            return Opened::AlreadyOpen;
        }
        // The same term of an earlier life of the server is stale too: a new attempt takes a new epoch (R13).
        if let Some((newest, ..)) = self.opened.as_ref().filter(|(epoch, ..)| *epoch >= opening.term.epoch) {
            return Opened::Stale { newest: *newest };
        }
        self.writes.cmd("UNLINK").arg(&self.keys.gate).arg(&self.keys.holds).ignore();
        self.writes.cmd("HSET").arg(&self.keys.meta).arg("epoch").arg(opening.term.epoch.0);
        self.writes.arg("nonce").arg(opening.term.nonce.0).arg("run").arg(&self.run).ignore();
        for buyer in &opening.buyers {
            self.put_gate(buyer.user.0, Gate { order: buyer.order.0, quantity: buyer.quantity });
        }
        (self.remaining, self.open_units) = (opening.granted, 0);
        Opened::Opened
    }

    fn reserve(&mut self, item: &Reserve) -> Result<Verdict> {
        if item.quantity == 0 {
            return Err(EngineError::Config("a reserve of 0 units; at least 1 is needed".to_owned()));
        }
        if self.now_ms > item.expires_at_ms {
            return Ok(Verdict::Expired); // R7: its caller may have given up.
        }
        if let Some(gate) = self.gates.get(&item.user.0).copied() {
            return Ok(self.reserve_again(item, gate));
        }
        let Some(rest) = self.remaining.checked_sub(u64::from(item.quantity)) else {
            return Ok(Verdict::SoldOut { remaining: self.remaining });
        };
        self.remaining = rest;
        self.open_units += u64::from(item.quantity);
        self.put_gate(item.user.0, Gate { order: item.order.0, quantity: item.quantity });
        let (user, touched_by) = (item.user.0, vec![item.incarnation.0]);
        let held = Held { user, quantity: item.quantity, touched_at_ms: self.now_ms, touched_by, marked: false };
        self.put_hold(item.order.0, held);
        Ok(Verdict::GRANTED)
    }

    /// A user with a live order gets that order; while its hold is open, the call touches it (R8).
    fn reserve_again(&mut self, item: &Reserve, gate: Gate) -> Verdict {
        let held = self.holds.get(&gate.order).cloned();
        let settled = held.is_none();
        if let Some(mut held) = held {
            let is_new = !held.touched_by.contains(&item.incarnation.0);
            if held.marked || (is_new && held.touched_by.len() == INCARNATIONS_MAX) {
                return Verdict::Busy;
            }
            if is_new {
                held.touched_by.push(item.incarnation.0);
            }
            held.touched_at_ms = self.now_ms;
            self.put_hold(gate.order, held);
        }
        Verdict::Duplicate(Hold { order: OrderId(gate.order), quantity: gate.quantity, settled, allocation: None })
    }

    /// Quantities come from gate and hold, never from the caller, so what comes back is what was taken.
    fn finish(&mut self, item: &Finish) -> Finished {
        let is_release = item.kind == FinishKind::Release;
        if is_release {
            // The gate goes with the units: whoever finds it gone, or another order's, gives nothing back.
            let Some(gate) = self.gates.get(&item.user.0).copied().filter(|gate| gate.order == item.order.0) else {
                return Finished::AlreadyDone;
            };
            self.remaining += u64::from(gate.quantity);
            self.gates.remove(&item.user.0);
            self.writes.cmd("HDEL").arg(&self.keys.gate).arg(item.user.0).ignore();
        }
        if let Some(held) = self.holds.remove(&item.order.0) {
            self.open_units -= u64::from(held.quantity);
            self.writes.cmd("HDEL").arg(&self.keys.holds).arg(item.order.0).ignore();
            return Finished::Done;
        }
        if is_release { Finished::Done } else { Finished::AlreadyDone }
    }

    /// Tests the age and sets the mark; a touch in between changes `meta`, and EXEC does nothing.
    fn mark(&mut self, order: OrderId, untouched_for_ms: u64) -> Option<OpenHold> {
        let mut held = self.holds.get(&order.0)?.clone();
        if !held.marked && held.age_ms(self.now_ms) >= untouched_for_ms {
            held.marked = true;
            self.put_hold(order.0, held.clone());
        }
        held.marked.then(|| held.listed(order.0, self.now_ms))
    }

    fn put_gate(&mut self, user: i64, gate: Gate) {
        self.writes.cmd("HSET").arg(&self.keys.gate).arg(user).arg(json(&gate)).ignore();
        self.gates.insert(user, gate);
    }

    fn put_hold(&mut self, order: i64, held: Held) {
        self.writes.cmd("HSET").arg(&self.keys.holds).arg(order).arg(json(&held)).ignore();
        self.holds.insert(order, held);
    }

    /// A refusal leaves no trace; but its EXEC, too, proves that what it was read from was of one moment.
    fn into_transaction(mut self) -> Pipeline {
        if self.writes.is_empty() {
            self.writes.cmd("PING").ignore();
        } else {
            self.writes.cmd("HSET").arg(&self.keys.meta).arg("remaining").arg(self.remaining);
            self.writes.arg("open_units").arg(self.open_units).ignore();
        }
        self.writes
    }
}

/// A connection, and `run_id` of the server it was made to. It ends with that life of the server, so whatever comes
/// through it is of that life; a sale opened in another one, perhaps brought back from an older AOF, is not open.
#[derive(Debug)]
struct Link {
    redis: MultiplexedConnection,
    run: String,
}

#[derive(Debug)]
struct RedisWatch {
    client: redis::Client,
    prefix: String,
    /// WATCH belongs to the connection, so one call at a time has it. A call takes it out and puts it back when it is
    /// done: one that fails or is dropped half-way loses it, and nobody inherits its WATCH.
    link: Mutex<Option<Link>>,
}

impl RedisWatch {
    async fn connect(&self) -> Result<Link> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_connection_timeout(Some(ANSWER_WITHIN));
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut redis = connected.map_err(not_done)?;
        let info: InfoDict = redis::cmd("INFO").arg("server").query_async(&mut redis).await.map_err(not_done)?;
        let nameless = || EngineError::Config(format!("{NAME} needs a redis that tells its run_id"));
        Ok(Link { run: info.get("run_id").ok_or_else(nameless)?, redis })
    }

    /// Reads, decides, writes if nobody else wrote meanwhile, and otherwise begins again.
    async fn call<T>(&self, sale: SaleId, ids: Ids, mut decide: impl FnMut(&mut Sale) -> T) -> Result<T> {
        let mut slot = self.link.lock().await;
        let mut link = if let Some(link) = slot.take() { link } else { self.connect().await? };
        for _ in 0..ATTEMPTS_MAX {
            let mut sale = self.read(&mut link, sale, &ids).await?;
            let answer = decide(&mut sale);
            match sale.into_transaction().query_async::<Option<()>>(&mut link.redis).await {
                Ok(Some(())) => {
                    *slot = Some(link);
                    return Ok(answer);
                }
                Ok(None) => {}
                // EXEC may have been sent, and nobody knows whether it ran.
                Err(error) => return Err(EngineError::Unknown { context: NAME.into(), source: Some(error.into()) }),
            }
        }
        *slot = Some(link);
        Err(EngineError::Unavailable { context: format!("{NAME}: lost the race {ATTEMPTS_MAX} times"), source: None })
    }

    async fn read(&self, link: &mut Link, sale: SaleId, ids: &Ids) -> Result<Sale> {
        let base = self.base(sale);
        let mut pipe = redis::pipe();
        pipe.cmd("WATCH").arg(key(&base, "meta")).ignore();
        pipe.cmd("HMGET").arg(key(&base, "meta")).arg(META_FIELDS).cmd("TIME");
        let (row, time): (MetaRow, Time) = pipe.query_async(&mut link.redis).await.map_err(not_done)?;
        let mut sale = Sale::new(base, row, time, &link.run);
        sale.gates = fields(link, key(&sale.base, "gate"), ids.users.clone()).await?;
        let orders = sale.gates.values().map(|gate| gate.order).chain(ids.orders.iter().copied()).collect();
        sale.holds = fields(link, key(&sale.base, "holds"), orders).await?;
        Ok(sale)
    }
