//! `lua-single-key`: one set of keys per sale in one hash slot of one Redis, one script call per
//! batch.
//!
//! The script (`lua_single_key.lua`, behind what all engines in Redis share) is the engine; this
//! file calls it and reads its answers. Only [`StockEngine::open`] loads it, and what is opened is
//! tied to the life of the server: lost-server-noticed (R13).

mod answers;

#[cfg(test)]
mod broken_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod tests;

use crate::helpers::key_set::{self, KeyNames, RECORDS_PER_CALL_MAX, RETIRE, Script};
use crate::helpers::{clock::millis, known_terms::KnownTerms, records, redis_server};
use crate::registry::{BuildFuture, EngineFactory};
use crate::{
    EngineEnv, EngineError, EngineInfo, Epoch, Finish, Finished, Guarantees, HoldKey, HoldPage,
    HoldPageQuery, OpenHold, Opened, Opening, PAGE_MAX, Params, Reserve, Result, SaleId,
    SettingSpec, StockEngine, StockView, Term, Upkeep, Verdict,
};
use answers::{NAME, bytes, protocol, read_page, read_verdicts};
use redis::{Value, aio::ConnectionManager};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

const SCRIPT: &str = concat!(
    include_str!("helpers/key_set/shared.lua"),
    include_str!("lua_single_key.lua")
);

/// Terms whose key names are remembered; beyond it they are computed again.
const KNOWN_TERMS_MAX: usize = 1_024;
/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "one hash-tagged key set on one Redis, one Lua script per batch; the Go project's mechanism, done right",
    needs: &["redis"],
    params: &[],
    settings: &[SettingSpec::REDIS_URL],
    migrations: &[],
    guarantees: GUARANTEES,
    is_unsafe: false,
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
        let url = env.required(NAME, "redis.url")?;
        let engine = LuaSingleKey::connect(url, SCRIPT, env.key_prefix.clone())?;
        Ok(Arc::new(engine) as Arc<dyn StockEngine>)
    })
}

struct LuaSingleKey {
    redis: ConnectionManager,
    /// Of [`SCRIPT`], except in tests that break it.
    script: Script,
    prefix: String,
    known: KnownTerms<Target>,
}

impl std::fmt::Debug for LuaSingleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LuaSingleKey")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// What every call under one term begins with.
#[derive(Debug)]
struct Target {
    script_sha1: String,
    keys: KeyNames,
    epoch: Epoch,
    nonce: String,
}

impl Target {
    fn evalsha(&self, operation: &str) -> redis::Cmd {
        let mut command = redis::cmd("EVALSHA");
        command
            .arg(&self.script_sha1)
            .arg(3)
            .arg(&self.keys.meta)
            .arg(&self.keys.gate)
            .arg(&self.keys.holds)
            .arg(self.epoch.0)
            .arg(&self.nonce)
            .arg(operation);
        command
    }
}

impl LuaSingleKey {
    fn connect(url: &str, script: &str, prefix: String) -> Result<Self> {
        Ok(Self {
            redis: redis_server::connect(url)?,
            script: Script::new(script),
            prefix,
            known: KnownTerms::new(KNOWN_TERMS_MAX),
        })
    }

    /// The keys of a sale, which the braces keep in one hash slot, begin with this.
    fn tag(&self, sale: SaleId) -> String {
        format!("{{{}sale:{sale}}}", self.prefix)
    }

    fn target(&self, term: &Term) -> Arc<Target> {
        self.known.get(term, || Target {
            script_sha1: self.script.sha1.clone(),
            keys: KeyNames::new(&self.tag(term.sale), term.epoch),
            epoch: term.epoch,
            nonce: key_set::nonce(term),
        })
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
            .arg(&self.script.text)
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
        let records = records::pack_reserves(batch.iter());
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
        let records = records::pack_finishes(batch.iter());
        let answer = self
            .call(
                "settling and releasing",
                target.evalsha("finish").arg(records),
            )
            .await?;
        let Some(answer) = answer else {
            return Ok(batch.iter().map(|_| Ok(Finished::NotOpen)).collect());
        };
        let finished = bytes(&answer)
            .and_then(|letters| records::read_finished(letters, batch.len()))
            .ok_or_else(|| protocol("finish"))?;
        Ok(finished.into_iter().map(Ok).collect())
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
        key_set::check_units(NAME, opening)?;
        redis_server::check_version(&mut self.redis.clone()).await?;
        let term = &opening.term;
        let (target, loader) = (self.target(term), key_set::new_loader());
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
            let records = records::pack_buyers(buyers);
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
            let records = records::pack_hold_keys(holds);
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
        let looked = self.call("reading stock", &target.evalsha("look")).await?;
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HMGET")
            .arg(&target.keys.meta)
            .arg(&["epoch", "remaining", "open"]);
        pipe.cmd("TIME");
        pipe.cmd("INFO").arg("server").arg("replication");
        type Meta = (Option<u32>, Option<i64>, Option<u64>);
        type Answer = (Meta, (i64, i64), String);
        let answer: redis::RedisResult<Answer> = pipe.query_async(&mut self.redis.clone()).await;
        let ((epoch, remaining, open_units), (seconds, micros), info) =
            answer.map_err(|error| redis_server::classify("reading stock", error))?;
        Ok(StockView {
            remaining: remaining.unwrap_or(0),
            open_units: open_units.unwrap_or(0),
            epoch: epoch.map(Epoch),
            is_open: looked.is_some() && epoch == Some(term.epoch.0),
            owners: Vec::new(),
            server: redis_server::life(&info).unwrap_or_default(),
            clock_ms: seconds * 1_000 + micros / 1_000,
        })
    }
}

#[async_trait::async_trait]
impl Upkeep for LuaSingleKey {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        redis_server::check(&mut self.redis.clone(), allow_volatile).await
    }

    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        let mut command = redis::cmd("EVAL");
        command
            .arg(RETIRE)
            .arg(1)
            .arg(key_set::meta_key(&self.tag(sale)))
            .arg(epoch.0)
            .arg("note");
        command
            .query_async::<i64>(&mut self.redis.clone())
            .await
            .map_err(|error| redis_server::classify("retiring a sale", error))?;
        self.known.forget(sale);
        Ok(())
    }
}
