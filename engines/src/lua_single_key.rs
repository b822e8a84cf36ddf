//! `lua-single-key`: one set of keys per sale in one hash slot of one Redis, one script call per
//! batch.
//!
//! The script (`lua_single_key.lua`) is the engine; this file packs its records, names its keys and
//! reads its answers. Every opening has a script of its own, which only [`StockEngine::open`] loads
//! (R13).

#[cfg(test)]
mod tests;

use crate::helpers::{clock::millis, redis_server, retire::RETIRE};
use crate::registry::{BuildFuture, EngineFactory};
use crate::{
    EngineEnv, EngineError, EngineInfo, Epoch, Finish, FinishKind, Finished, Guarantees, Hold,
    HoldKey, HoldPage, HoldPageQuery, IncarnationId, OpenHold, Opened, Opening, OrderId, PAGE_MAX,
    Params, Reserve, Result, SaleId, SettingSpec, StockEngine, StockView, Term, Upkeep, UserId,
    Verdict,
};
use redis::{InfoDict, Value, aio::ConnectionManager};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const NAME: &str = "lua-single-key";
const SCRIPT: &str = include_str!("lua_single_key.lua");

/// Records in one call; a longer batch becomes several calls. The script relies on it.
const RECORDS_PER_CALL_MAX: usize = 1_000;
/// Terms whose key names and script hash are remembered; beyond it they are computed again.
const KNOWN_TERMS_MAX: usize = 1_024;
/// Largest stock: the script counts in doubles.
const UNITS_MAX: u64 = 1 << 53;

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "one hash-tagged key set on one Redis, one Lua script per batch; the Go project's mechanism, done right",
    needs: &["redis"],
    params: &[],
    settings: &[SettingSpec::REDIS_URL],
    migrations: &[],
    guarantees: GUARANTEES,
    build,
};

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: true,
    survives_process_kill: true,
    survives_server_loss: true,
    needs_user_affinity: false,
    needs_one_engine_per_process: false,
    settles_own_holds: false,
};

fn build(env: EngineEnv, _params: Params) -> BuildFuture {
    Box::pin(async move {
        let redis = redis_server::connect(env.required(NAME, "redis.url")?)?;
        let engine = LuaSingleKey {
            redis,
            script: SCRIPT.into(),
            prefix: env.key_prefix,
            known: Mutex::default(),
        };
        Ok(Arc::new(engine) as Arc<dyn StockEngine>)
    })
}

struct LuaSingleKey {
    redis: ConnectionManager,
    /// [`SCRIPT`], except in tests that break it.
    script: Arc<str>,
    prefix: String,
    known: Mutex<HashMap<Term, Arc<Target>>>,
}

impl std::fmt::Debug for LuaSingleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LuaSingleKey")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Script hash and keys of one term.
#[derive(Debug)]
struct Target {
    script_sha1: String,
    meta: String,
    gate: String,
    holds: String,
}

impl Target {
    fn evalsha(&self, operation: &str) -> redis::Cmd {
        let mut command = redis::cmd("EVALSHA");
        command
            .arg(&self.script_sha1)
            .arg(3)
            .arg(&self.meta)
            .arg(&self.gate)
            .arg(&self.holds)
            .arg(operation);
        command
    }
}

impl LuaSingleKey {
    /// The script of one opening: the common text behind a line that no other opening has.
    fn script_text(&self, term: &Term) -> String {
        format!(
            "local EPOCH, NONCE = '{}', '{:016x}'\n{}",
            term.epoch, term.nonce.0, self.script
        )
    }

    /// The keys of a sale, which the braces keep in one hash slot, begin with this.
    fn base(&self, sale: SaleId) -> String {
        format!("{{{}sale:{sale}}}", self.prefix)
    }

    fn meta_key(&self, sale: SaleId) -> String {
        format!("{}:meta", self.base(sale))
    }

    fn target(&self, term: &Term) -> Arc<Target> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = known.get(term) {
            return Arc::clone(target);
        }
        if known.len() == KNOWN_TERMS_MAX {
            known.clear();
        }
        let base = self.base(term.sale);
        let target = Arc::new(Target {
            script_sha1: redis::Script::new(&self.script_text(term))
                .get_hash()
                .to_owned(),
            meta: self.meta_key(term.sale),
            gate: format!("{base}:{}:gate", term.epoch),
            holds: format!("{base}:{}:holds", term.epoch),
        });
        known.insert(*term, Arc::clone(&target));
        target
    }

    /// Runs the script; `None` means that it, or its data, is not there any more: the term is not
    /// open.
    async fn call(&self, context: &str, command: &redis::Cmd) -> Result<Option<Value>> {
        match command.query_async::<Value>(&mut self.redis.clone()).await {
            Ok(Value::BulkString(answer)) if answer == b"N" => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(error) if redis_server::is_no_script(&error) => Ok(None),
            Err(error) => Err(redis_server::classify(context, error)),
        }
    }

    async fn begin(&self, term: &Term, loader: &str) -> Result<Option<Opened>> {
        let target = self.target(term);
        let mut pipe = redis::pipe();
        pipe.atomic()
            .cmd("SCRIPT")
            .arg("LOAD")
            .arg(self.script_text(term))
            .ignore();
        pipe.add_command(target.evalsha("begin").arg(loader).clone());
        let (answer,): (Value,) = pipe
            .query_async(&mut self.redis.clone())
            .await
            .map_err(|error| redis_server::classify("starting to open a sale", error))?;
        let parts: Vec<Value> = redis::from_redis_value(answer).map_err(|_| protocol("begin"))?;
        match (parts.first().and_then(bytes), parts.get(1)) {
            (Some(b"begun"), _) => Ok(None),
            (Some(b"open"), _) => Ok(Some(Opened::AlreadyOpen)),
            (Some(b"stale"), Some(Value::Int(newest))) => {
                let newest = u32::try_from(*newest).map_err(|_| protocol("begin"))?;
                Ok(Some(Opened::Stale {
                    newest: Epoch(newest),
                }))
            }
            _ => Err(protocol("begin")),
        }
    }

    async fn reserve_call(
        &self,
        target: &Target,
        batch: &[Reserve],
    ) -> Result<Vec<Result<Verdict>>> {
        let mut records = Vec::with_capacity(batch.len() * 37);
        for item in batch {
            records.extend_from_slice(&item.user.0.to_le_bytes());
            records.extend_from_slice(&item.order.0.to_le_bytes());
            records.extend_from_slice(&item.quantity.to_le_bytes());
            records.extend_from_slice(&(item.expires_at_ms as f64).to_le_bytes());
            records.extend_from_slice(&item.incarnation.0.to_le_bytes());
            records.push(u8::from(item.may_sell));
        }
        let answer = self
            .call("reserving", target.evalsha("reserve").arg(records))
            .await?;
        let Some(answer) = answer else {
            return Ok(batch.iter().map(|_| Ok(Verdict::NotOpen)).collect());
        };
        read_verdicts(&answer, batch.len()).ok_or_else(|| protocol("reserve"))
    }

    async fn finish_call(
        &self,
        target: &Target,
        batch: &[Finish],
    ) -> Result<Vec<Result<Finished>>> {
        let mut records = Vec::with_capacity(batch.len() * 17);
        for item in batch {
            records.extend_from_slice(&item.user.0.to_le_bytes());
            records.extend_from_slice(&item.order.0.to_le_bytes());
            records.push(u8::from(item.kind == FinishKind::Release));
        }
        let answer = self
            .call(
                "settling and releasing",
                target.evalsha("finish").arg(records),
            )
            .await?;
        let Some(answer) = answer else {
            return Ok(batch.iter().map(|_| Ok(Finished::NotOpen)).collect());
        };
        let letters = bytes(&answer)
            .filter(|letters| letters.len() == batch.len())
            .ok_or_else(|| protocol("finish"))?;
        Ok(letters
            .iter()
            .map(|letter| {
                Ok(if *letter == b'D' {
                    Finished::Done
                } else {
                    Finished::AlreadyDone
                })
            })
            .collect())
    }
}

#[async_trait::async_trait]
impl StockEngine for LuaSingleKey {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: NAME.to_owned(),
            parameters: Vec::new(),
            guarantees: GUARANTEES,
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        if opening.granted > UNITS_MAX {
            return Err(EngineError::Config(format!(
                "{} units are more than {NAME} can count ({UNITS_MAX})",
                opening.granted
            )));
        }
        let term = &opening.term;
        let (target, loader) = (self.target(term), format!("{:016x}", rand::random::<u64>()));
        if let Some(answer) = self.begin(term, &loader).await? {
            return Ok(answer);
        }
        let interrupted = || EngineError::Unavailable {
            context: format!(
                "opening sale {} epoch {}: the server changed, or another opening began",
                term.sale, term.epoch
            ),
            source: None,
        };
        for buyers in opening.buyers.chunks(RECORDS_PER_CALL_MAX) {
            let mut records = Vec::with_capacity(buyers.len() * 20);
            for buyer in buyers {
                records.extend_from_slice(&buyer.user.0.to_le_bytes());
                records.extend_from_slice(&buyer.order.0.to_le_bytes());
                records.extend_from_slice(&buyer.quantity.to_le_bytes());
            }
            let answer = self
                .call(
                    "loading buyers",
                    target.evalsha("load").arg(records).arg(&loader),
                )
                .await?;
            answer.ok_or_else(interrupted)?;
        }
        let distinct = opening
            .buyers
            .iter()
            .map(|buyer| buyer.user)
            .collect::<HashSet<_>>()
            .len();
        let mut command = target.evalsha("open");
        command
            .arg("")
            .arg(&loader)
            .arg(opening.granted)
            .arg(distinct);
        self.call("opening a sale", &command)
            .await?
            .ok_or_else(interrupted)?;
        Ok(Opened::Opened)
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let target = self.target(term);
        let mut verdicts = Vec::with_capacity(batch.len());
        for items in batch.chunks(RECORDS_PER_CALL_MAX) {
            verdicts.extend(
                self.reserve_call(&target, items)
                    .await
                    .unwrap_or_else(|error| error.for_each(items.len())),
            );
        }
        verdicts
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        let target = self.target(term);
        let mut answers = Vec::with_capacity(batch.len());
        for items in batch.chunks(RECORDS_PER_CALL_MAX) {
            answers.extend(
                self.finish_call(&target, items)
                    .await
                    .unwrap_or_else(|error| error.for_each(items.len())),
            );
        }
        answers
    }

    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let mut command = self.target(term).evalsha("list");
        command
            .arg(page.cursor)
            .arg(page.limit.clamp(1, PAGE_MAX))
            .arg(millis(page.age));
        let answer = self.call("listing holds", &command).await?;
        let answer = answer.ok_or_else(|| EngineError::not_open(term))?;
        read_page(&answer).ok_or_else(|| protocol("list"))
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        let target = self.target(term);
        let mut marked = Vec::new();
        for holds in holds.chunks(RECORDS_PER_CALL_MAX) {
            let mut records = Vec::with_capacity(holds.len() * 16);
            for hold in holds {
                records.extend_from_slice(&hold.user.0.to_le_bytes());
                records.extend_from_slice(&hold.order.0.to_le_bytes());
            }
            let mut command = target.evalsha("mark");
            command.arg(records).arg(millis(age));
            let answer = self.call("marking holds", &command).await?;
            let answer = answer.ok_or_else(|| EngineError::not_open(term))?;
            marked.extend(read_page(&answer).ok_or_else(|| protocol("mark"))?.holds);
        }
        Ok(marked)
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let target = self.target(term);
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HMGET")
            .arg(&target.meta)
            .arg(&["epoch", "nonce", "state", "remaining", "open"]);
        pipe.cmd("SCRIPT").arg("EXISTS").arg(&target.script_sha1);
        pipe.cmd("TIME").cmd("INFO").arg("server");
        type Answer = (
            (
                Option<u32>,
                Option<String>,
                Option<String>,
                Option<i64>,
                Option<u64>,
            ),
            (bool,),
            (i64, i64),
            InfoDict,
        );
        let answer: redis::RedisResult<Answer> = pipe.query_async(&mut self.redis.clone()).await;
        let (meta, (is_loaded,), (seconds, micros), info) =
            answer.map_err(|error| redis_server::classify("reading stock", error))?;
        let (epoch, nonce, state, remaining, open_units) = meta;
        let is_this_term =
            epoch == Some(term.epoch.0) && nonce == Some(format!("{:016x}", term.nonce.0));
        Ok(StockView {
            remaining: remaining.unwrap_or(0),
            open_units: open_units.unwrap_or(0),
            epoch: epoch.map(Epoch),
            is_open: is_loaded && is_this_term && state.as_deref() == Some("open"),
            owners: Vec::new(),
            server: info.get("run_id").unwrap_or_default(),
            clock_ms: seconds * 1_000 + micros / 1_000,
        })
    }
}

#[async_trait::async_trait]
impl Upkeep for LuaSingleKey {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        redis_server::check(&mut self.redis.clone(), allow_volatile).await
    }

    async fn retire(&self, sale: SaleId) -> Result<()> {
        let mut command = redis::cmd("EVAL");
        command.arg(RETIRE).arg(1).arg(self.meta_key(sale));
        command
            .query_async::<i64>(&mut self.redis.clone())
            .await
            .map_err(|error| redis_server::classify("retiring a sale", error))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|term, _| term.sale != sale);
        Ok(())
    }
}

fn protocol(operation: &str) -> EngineError {
    EngineError::Protocol(format!(
        "{NAME}: the script's answer to {operation} makes no sense"
    ))
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn i64_at(record: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(record: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?))
}

/// The letters of the answer, and behind them what some of the letters need.
fn read_verdicts(answer: &Value, count: usize) -> Option<Vec<Result<Verdict>>> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let (letters, details) = parts.split_first()?;
    let letters = bytes(letters).filter(|letters| letters.len() == count)?;
    let mut details = details.iter();
    let mut verdicts = Vec::with_capacity(count);
    for letter in letters {
        if *letter == b'Q' {
            verdicts.push(Err(EngineError::Config(
                "a reserve of 0 units; at least 1 is needed".to_owned(),
            )));
            continue;
        }
        verdicts.push(Ok(match letter {
            b'G' => Verdict::GRANTED,
            b'S' => match details.next()? {
                Value::Int(remaining) => Verdict::SoldOut {
                    remaining: u64::try_from(*remaining).ok()?,
                },
                _ => return None,
            },
            b'D' | b'd' => {
                let gate = bytes(details.next()?)?;
                let (order, quantity) = (OrderId(i64_at(gate, 0)?), u32_at(gate, 8)?);
                Verdict::Duplicate(Hold {
                    order,
                    quantity,
                    settled: *letter == b'd',
                    allocation: None,
                })
            }
            b'O' => Verdict::NoOrder,
            b'B' => Verdict::Busy,
            b'E' => Verdict::Expired,
            _ => return None,
        }));
    }
    Some(verdicts)
}

/// Cursor and clock, then order and hold in turn.
fn read_page(answer: &Value) -> Option<HoldPage> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [cursor, Value::Int(now_ms), entries @ ..] = parts.as_slice() else {
        return None;
    };
    let cursor: u64 = std::str::from_utf8(bytes(cursor)?).ok()?.parse().ok()?;
    let mut holds = Vec::with_capacity(entries.len() / 2);
    for pair in entries.chunks_exact(2) {
        let (order, hold) = (bytes(&pair[0])?, bytes(&pair[1])?);
        let touched_at_ms = f64::from_le_bytes(hold.get(12..20)?.try_into().ok()?) as i64;
        let touched_by = hold
            .get(21..)?
            .chunks_exact(8)
            .filter_map(|id| i64_at(id, 0))
            .map(IncarnationId)
            .collect();
        holds.push(OpenHold {
            order: OrderId(i64_at(order, 0)?),
            user: UserId(i64_at(hold, 0)?),
            quantity: u32_at(hold, 8)?,
            touched_at_ms,
            age_ms: u64::try_from(now_ms - touched_at_ms).unwrap_or(0),
            touched_by,
            marked: *hold.get(20)? == 1,
        });
    }
    Some(HoldPage {
        holds,
        next: (cursor != 0).then_some(cursor),
    })
}
