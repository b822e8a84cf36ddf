//! A worked example of an engine of one's own: `redis-watch` decides in Rust, between WATCH and
//! EXEC, what `lua-single-key` decides in a script inside Redis. Read `Sale` for the decisions,
//! then `RedisWatch` for the rest.
//!
//! Every writer changes a sale's `meta` key, and every call watches it from before its first read
//! until EXEC. So EXEC succeeds only if all that was read is still true, and each call is one
//! atomic step, however many round trips it takes. Every call also asks which server it is talking
//! to: a sale that was opened in another life of it is not open, lost-server-noticed (R13).

mod sale;

use engines::helpers::redis_server;
use engines::{
    BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish, Finished,
    Guarantees, HoldKey, HoldPage, HoldPageQuery, OpenHold, Opened, Opening, PAGE_MAX, Params,
    Reserve, Result, SaleId, SettingSpec, StockEngine, StockView, Term, Upkeep, Verdict,
};
use redis::{AsyncConnectionConfig, RedisError, aio::MultiplexedConnection};
use sale::{META_FIELDS, Sale, is_old, listed};
use serde::de::DeserializeOwned;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

const NAME: &str = "redis-watch";
/// Attempts of one call. Each lost one means that another client's call went through, so the sale
/// itself moves on.
const ATTEMPTS_MAX: usize = 1_000;
/// Longest wait for an answer; an opening loads all its buyers in one transaction.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

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
        survives_server_loss: true,  // See `Sale::life`.
        needs_user_affinity: false,
        needs_one_engine_per_process: false,
        settles_own_holds: false,
    },
    is_unsafe: false,
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

/// Users and orders whose gates and holds a call has to read.
type Ids = (Vec<i64>, Vec<i64>);

#[derive(Debug)]
struct RedisWatch {
    client: redis::Client,
    prefix: String,
    /// WATCH belongs to a connection, so one call at a time has it. It is taken out and put back by
    /// who succeeds: a call that fails, or is dropped half-way, loses it, and nobody inherits its
    /// WATCH.
    link: Mutex<Option<MultiplexedConnection>>,
}

impl RedisWatch {
    /// Refuses a server that brings more back with its data than it should.
    async fn connect(&self) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
        let connected = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let mut redis = connected.map_err(not_done)?;
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut redis)
            .await
            .map_err(not_done)?;
        match redis_server::too_old_because(&info) {
            Some(reason) => Err(EngineError::Config(format!("{NAME}: {reason}"))),
            None => Ok(redis),
        }
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
                .query_async(&mut link)
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

    async fn read(
        &self,
        link: &mut MultiplexedConnection,
        sale: SaleId,
        (users, orders): &Ids,
    ) -> Result<Sale> {
        let (base, mut pipe) = (self.base(sale), redis::pipe());
        let meta = format!("{base}:meta");
        pipe.cmd("WATCH")
            .arg(&meta)
            .ignore()
            .cmd("HMGET")
            .arg(&meta)
            .arg(META_FIELDS)
            .cmd("TIME")
            .cmd("INFO")
            .arg("server")
            .arg("replication");
        let (meta, time, info): (_, _, String) = pipe.query_async(link).await.map_err(not_done)?;
        let mut sale = Sale::new(&base, meta, time, life(&info)?);
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
            .cmd("TIME")
            .cmd("INFO")
            .arg("server")
            .arg("replication");
        pipe.cmd("HSCAN")
            .arg(format!("{base}:holds"))
            .arg(cursor)
            .arg("COUNT")
            .arg(limit.max(1));
        let (meta, time, info, (next, found)): (_, _, String, _) =
            pipe.query_async(&mut link).await.map_err(not_done)?;
        let sale = Sale::new(&base, meta, time, life(&info)?);
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
            server: sale.life,
        })
    }
}

/// Nothing to tend and nothing to hand back: no unit is ever anywhere but in the sale.
#[async_trait::async_trait]
impl Upkeep for RedisWatch {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        let mut redis = self.connect().await?;
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
    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        self.transact(sale, Ids::default(), |sale| sale.retire(epoch))
            .await
    }
}

/// Those fields of a hash that are there.
async fn fields<T: DeserializeOwned>(
    link: &mut MultiplexedConnection,
    key: String,
    ids: &[i64],
) -> Result<HashMap<i64, T>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let texts = redis::cmd("HMGET")
        .arg(key)
        .arg(ids)
        .query_async(link)
        .await;
    let texts: Vec<Option<String>> = texts.map_err(not_done)?;
    ids.iter()
        .zip(texts)
        .filter_map(|(id, text)| Some(parsed(&text?).map(|value| (*id, value))))
        .collect()
}

fn life(info: &str) -> Result<String> {
    redis_server::life(info)
        .ok_or_else(|| EngineError::Protocol(format!("{NAME}: redis does not tell who it is")))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| EngineError::Protocol(format!("{NAME}: {text:?} in redis: {error}")))
}

/// It went wrong before EXEC, so nothing was written.
fn not_done(error: RedisError) -> EngineError {
    EngineError::Unavailable {
        context: format!("{NAME}: {error}"),
        source: Some(error.into()),
    }
}
