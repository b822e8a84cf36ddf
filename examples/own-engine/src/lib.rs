//! A worked example of an engine of one's own: `redis-watch` decides in the client, under WATCH, MULTI and EXEC, where
//! `lua-single-key` decides in a script. Correct and simple, and slower: whoever loses the race begins again.
//!
//! Every writer changes the sale's `meta` key, and every transaction watches it; so what was read is still true when
//! EXEC runs, or nothing is written. That one sentence keeps most bullets of the contract.

mod records;

use engines::{
    BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish, FinishKind, Finished, Guarantees,
    Hold, HoldPage, HoldQuery, Maintain, Maintained, Opened, Opening, OrderId, Params, Reserve, Result, StockEngine,
    StockView, Term, Verdict,
};
use records::{Changes, Gate, Keys, Meta, Open};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, RedisResult};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

const NAME: &str = "redis-watch";
/// Beginnings of one call. Each failure means that somebody else went on, so more are hardly ever needed.
const ATTEMPTS_MAX: usize = 200;
/// Buyers loaded by one command.
const LOAD_CHUNK: usize = 1_000;

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: true,
    survives_process_kill: true,
    // An empty Redis is noticed, because `meta` is gone. One with an older log is not: claim only what holds.
    survives_server_loss: false,
    needs_user_affinity: false,
};

/// The one line that registers it is in `main.rs`.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "one key set on one Redis, decided in the client under WATCH, MULTI and EXEC; the example of an own engine",
    needs: &["redis"],
    params: &[],
    guarantees: GUARANTEES,
    build,
};

fn build(env: EngineEnv, _params: Params) -> BuildFuture {
    Box::pin(async move {
        let url = env.redis_url.ok_or_else(|| EngineError::Config(format!("engine {NAME} needs a redis url")))?;
        let malformed = |error: RedisError| EngineError::Config(format!("engine {NAME}: {error}"));
        let client = redis::Client::open(url).map_err(malformed)?;
        let engine = RedisWatch { client, prefix: env.key_prefix, connection: Mutex::default() };
        Ok(Arc::new(engine) as Arc<dyn StockEngine>)
    })
}

#[derive(Debug)]
struct RedisWatch {
    client: redis::Client,
    prefix: String,
    /// WATCH belongs to a connection, so one call at a time has it. `None` until it is used, and after an error.
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// One call's transaction: it has the connection for itself until it ends.
struct Race<'a> {
    slot: MutexGuard<'a, Option<MultiplexedConnection>>,
    connection: MultiplexedConnection,
    keys: &'a Keys,
    attempts: usize,
}

impl Race<'_> {
    /// Begins, or begins again after somebody else was faster. What is read from here on is true when [`Self::commit`]
    /// says yes.
    async fn begin(&mut self) -> Result<()> {
        if self.attempts == ATTEMPTS_MAX {
            let context = format!("{NAME}: lost the race {ATTEMPTS_MAX} times");
            return Err(EngineError::Unavailable { context, source: None });
        }
        self.attempts += 1;
        redis::cmd("WATCH").arg(&self.keys.meta).query_async(&mut self.connection).await.map_err(not_done)
    }

    /// Whether `pipe` was written; not if `meta` has changed since the beginning.
    async fn commit(&mut self, pipe: Option<Pipeline>) -> Result<bool> {
        if let Some(pipe) = pipe {
            let written: RedisResult<Option<()>> = pipe.query_async(&mut self.connection).await;
            // EXEC was sent: without an answer nobody knows whether it ran.
            let unknown = |error| EngineError::Unknown { context: NAME.to_owned(), source: Some(Box::new(error)) };
            if written.map_err(unknown)?.is_none() {
                return Ok(false);
            }
        }
        // After an error the connection is dropped instead, with whatever it still watches.
        *self.slot = Some(self.connection.clone());
        Ok(true)
    }
}

impl RedisWatch {
    async fn race<'a>(&'a self, keys: &'a Keys) -> Result<Race<'a>> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => self.client.get_multiplexed_async_connection().await.map_err(not_done)?,
        };
        Ok(Race { slot, connection, keys, attempts: 0 })
    }

    async fn try_reserve(&self, term: &Term, batch: &[Reserve]) -> Result<Vec<Verdict>> {
        let keys = Keys::new(&self.prefix, term);
        let mut race = self.race(&keys).await?;
        loop {
            race.begin().await?;
            let Some(mut meta) = Meta::read(&mut race.connection, &keys, term).await.map_err(not_done)? else {
                race.commit(None).await?;
                return Ok(vec![Verdict::NotOpen; batch.len()]);
            };
            let users: Vec<i64> = batch.iter().map(|item| item.user.0).collect();
            let mut gates = keys.gates(&mut race.connection, &users).await.map_err(not_done)?;
            let orders: Vec<i64> = gates.values().map(|gate| gate.order).collect();
            let mut open = keys.open_holds(&mut race.connection, &orders).await.map_err(not_done)?;
            let mut changes = Changes::default();
            let mut verdicts = Vec::with_capacity(batch.len());
            for item in batch {
                verdicts.push(judge(item, &mut meta, &mut gates, &mut open, &mut changes));
            }
            if race.commit(changes.pipeline(&keys, &meta)).await? {
                return Ok(verdicts);
            }
        }
    }

    async fn try_finish(&self, term: &Term, batch: &[Finish]) -> Result<Vec<Finished>> {
        let keys = Keys::new(&self.prefix, term);
        let mut race = self.race(&keys).await?;
        loop {
            race.begin().await?;
            let Some(mut meta) = Meta::read(&mut race.connection, &keys, term).await.map_err(not_done)? else {
                race.commit(None).await?;
                return Ok(vec![Finished::NotOpen; batch.len()]);
            };
            let users: Vec<i64> = batch.iter().map(|item| item.user.0).collect();
            let mut gates = keys.gates(&mut race.connection, &users).await.map_err(not_done)?;
            let orders: Vec<i64> = batch.iter().map(|item| item.order.0).collect();
            let mut open = keys.open_holds(&mut race.connection, &orders).await.map_err(not_done)?;
            let mut changes = Changes::default();
            let mut finished = Vec::with_capacity(batch.len());
            for item in batch {
                finished.push(end(item, &mut meta, &mut gates, &mut open, &mut changes));
            }
            if race.commit(changes.pipeline(&keys, &meta)).await? {
                return Ok(finished);
            }
        }
    }

    async fn mark(&self, term: &Term, untouched_for_ms: u64, orders: &[OrderId]) -> Result<Option<HoldPage>> {
        let keys = Keys::new(&self.prefix, term);
        let ids: Vec<i64> = orders.iter().map(|order| order.0).collect();
        let mut race = self.race(&keys).await?;
        loop {
            race.begin().await?;
            let Some(meta) = Meta::read(&mut race.connection, &keys, term).await.map_err(not_done)? else {
                race.commit(None).await?;
                return Ok(None);
            };
            let (mut changes, mut page) = (Changes::default(), HoldPage::default());
            for (order, mut hold) in keys.open_holds(&mut race.connection, &ids).await.map_err(not_done)? {
                // R8: the age is tested in the step that sets the mark, or EXEC writes nothing.
                if !hold.marked && hold.age_ms(meta.now_ms) >= untouched_for_ms {
                    hold.marked = true;
                    changes.hold(order, Some(hold.clone()));
                }
                if hold.marked {
                    page.holds.push(hold.listed(order, meta.now_ms));
                }
            }
            if race.commit(changes.pipeline(&keys, &meta)).await? {
                return Ok(Some(page));
            }
        }
    }

    async fn list(&self, term: &Term, untouched_for_ms: u64, cursor: u64, limit: u32) -> Result<Option<HoldPage>> {
        let keys = Keys::new(&self.prefix, term);
        let mut race = self.race(&keys).await?;
        let meta = Meta::read(&mut race.connection, &keys, term).await.map_err(not_done)?;
        let (next, found) = keys.scan(&mut race.connection, cursor, limit).await.map_err(not_done)?;
        race.commit(None).await?;
        let Some(meta) = meta else { return Ok(None) };
        let listed = found.into_iter().map(|(order, hold)| hold.listed(order, meta.now_ms));
        let holds = listed.filter(|hold| hold.age_ms >= untouched_for_ms).collect();
        Ok(Some(HoldPage { holds, next: (next != 0).then_some(next) }))
    }
}

fn judge(
    item: &Reserve,
    meta: &mut Meta,
    gates: &mut HashMap<i64, Gate>,
    open: &mut HashMap<i64, Open>,
    changes: &mut Changes,
) -> Verdict {
    if item.expires_at_ms < meta.now_ms {
        return Verdict::Expired; // R7: its caller may have given up.
    }
    if let Some(gate) = gates.get(&item.user.0) {
        return again(item, *gate, open.get_mut(&gate.order), meta.now_ms, changes);
    }
    let Some(rest) = meta.remaining.checked_sub(u64::from(item.quantity)) else {
        return Verdict::SoldOut { remaining: meta.remaining };
    };
    meta.remaining = rest;
    meta.open_units += u64::from(item.quantity);
    let (gate, hold) = (Gate { order: item.order.0, quantity: item.quantity }, Open::granted(item, meta.now_ms));
    changes.gate(item.user.0, Some(gate));
    changes.hold(item.order.0, Some(hold.clone()));
    gates.insert(item.user.0, gate);
    open.insert(item.order.0, hold);
    Verdict::GRANTED
}

fn end(
    item: &Finish,
    meta: &mut Meta,
    gates: &mut HashMap<i64, Gate>,
    open: &mut HashMap<i64, Open>,
    changes: &mut Changes,
) -> Finished {
    let gate = gates.get(&item.user.0).copied().filter(|gate| gate.order == item.order.0);
    let Some(gate) = gate else { return Finished::AlreadyDone };
    let was_open = open.remove(&gate.order).is_some();
    if item.kind == FinishKind::Settle && !was_open {
        return Finished::AlreadyDone;
    }
    if was_open {
        meta.open_units -= u64::from(gate.quantity);
        changes.hold(gate.order, None);
    }
    if item.kind == FinishKind::Release {
        meta.remaining += u64::from(gate.quantity);
        gates.remove(&item.user.0);
        changes.gate(item.user.0, None);
    }
    Finished::Done
}

/// A buyer who has a live order: the same order again, touched while it is open.
fn again(item: &Reserve, gate: Gate, open: Option<&mut Open>, now_ms: i64, changes: &mut Changes) -> Verdict {
    let settled = open.is_none();
    if let Some(hold) = open {
        if hold.marked {
            return Verdict::Busy;
        }
        hold.touch(now_ms, item.incarnation.0);
        changes.hold(gate.order, Some(hold.clone()));
    }
    Verdict::Duplicate(Hold { order: OrderId(gate.order), quantity: gate.quantity, settled, allocation: None })
}

#[async_trait::async_trait]
impl StockEngine for RedisWatch {
    fn info(&self) -> EngineInfo {
        EngineInfo { name: NAME.to_owned(), parameters: Vec::new(), guarantees: GUARANTEES }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        let keys = Keys::new(&self.prefix, &opening.term);
        let mut race = self.race(&keys).await?;
        let mut is_loaded = false;
        loop {
            race.begin().await?;
            let newest = Meta::newest(&mut race.connection, &keys, &opening.term).await.map_err(not_done)?;
            let (opened, pipe) = match newest {
                Some((_, true)) => (Opened::AlreadyOpen, None),
                Some((newest, _)) if newest >= opening.term.epoch.0 => (Opened::Stale { newest: Epoch(newest) }, None),
                _ => (Opened::Opened, Some(keys.begin(&opening.term, opening.granted))),
            };
            // The gate's key holds epoch and nonce, so nobody reads it before `meta` names them: half an opening is none.
            for buyers in opening.buyers.chunks(LOAD_CHUNK).filter(|_| pipe.is_some() && !is_loaded) {
                keys.load(&mut race.connection, buyers).await.map_err(not_done)?;
            }
            is_loaded |= pipe.is_some();
            if race.commit(pipe).await? {
                return Ok(opened);
            }
        }
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        if batch.iter().any(|item| item.quantity == 0) {
            let none = || EngineError::Config("a reserve of 0 units; at least 1 is needed".to_owned());
            return batch.iter().map(|_| Err(none())).collect();
        }
        match self.try_reserve(term, batch).await {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(error) => error.for_each(batch.len()),
        }
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        match self.try_finish(term, batch).await {
            Ok(finished) => finished.into_iter().map(Ok).collect(),
            Err(error) => error.for_each(batch.len()),
        }
    }

    async fn holds(&self, term: &Term, query: &HoldQuery) -> Result<HoldPage> {
        let page = match query {
            HoldQuery::List { untouched_for_ms, cursor, limit } => {
                self.list(term, *untouched_for_ms, *cursor, *limit).await?
            }
            HoldQuery::Mark { untouched_for_ms, orders } => self.mark(term, *untouched_for_ms, orders).await?,
        };
        page.ok_or_else(|| EngineError::Unavailable {
            context: format!("holds of sale {}: epoch {} is not open", term.sale, term.epoch),
            source: None,
        })
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let keys = Keys::new(&self.prefix, term);
        let mut race = self.race(&keys).await?;
        let view = Meta::view(&mut race.connection, &keys, term).await.map_err(not_done)?;
        race.commit(None).await?;
        Ok(view)
    }

    async fn maintain(&self, task: &Maintain) -> Result<Maintained> {
        let Maintain::CheckServer { allow_volatile } = task else { return Ok(Maintained::default()) };
        let mut connection = self.client.get_multiplexed_async_connection().await.map_err(not_done)?;
        let mut settings = Vec::new();
        for (name, needed) in [("appendonly", "yes"), ("maxmemory-policy", "noeviction")] {
            let mut ask = redis::cmd("CONFIG");
            let pair: Vec<String> = ask.arg("GET").arg(name).query_async(&mut connection).await.map_err(not_done)?;
            let value = pair.get(1).cloned().unwrap_or_default();
            if value != needed && !allow_volatile {
                return Err(EngineError::Config(format!("redis has {name} = {value}; {NAME} needs {needed}")));
            }
            settings.push((format!("redis.{name}"), value));
        }
        Ok(Maintained { actions: 0, settings })
    }
}

/// Nothing was written.
fn not_done(error: RedisError) -> EngineError {
    EngineError::Unavailable { context: NAME.to_owned(), source: Some(Box::new(error)) }
}
