//! What an engine in Redis must notice when its server is another than the one that its terms were
//! opened on, although keys and scripts are all there: lost-server-noticed (R13).
//!
//! Each scenario answers what an engine did wrong, so that the broken copies of a script can be
//! held to it too.

use super::broken_scripts::Connect;
use super::broken_scripts::broken;
use crate::{
    EngineError, Epoch, Finish, FinishKind, Finished, HoldKey, HoldPageQuery, IncarnationId, Nonce,
    Opened, Opening, OrderId, Reserve, Result, SaleId, StockEngine, Term, UserId, Verdict,
};
use servers::RedisServer;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Units of every sale.
const GRANTED: u64 = 12;
/// Longest wait for a call that gets through.
const WITHIN: Duration = Duration::from_secs(20);

/// What was wrong.
pub(crate) type Outcome = std::result::Result<(), String>;

/// An engine, as it is built or with a broken script.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) connect: Connect,
    pub(crate) script: String,
}

impl Subject {
    async fn at(&self, server: &RedisServer) -> Arc<dyn StockEngine> {
        (self.connect)(server.url(), self.script.clone())
            .await
            .unwrap()
    }
}

fn term(sale: i64, epoch: u32) -> Term {
    Term {
        sale: SaleId(sale),
        epoch: Epoch(epoch),
        nonce: Nonce(u64::from(epoch) * 11 + sale as u64),
    }
}

/// So many units that three buyers empty the sale, wherever their slots are.
fn request(user: i64) -> Reserve {
    Reserve {
        user: UserId(user),
        order: OrderId(user * 10),
        quantity: 4,
        expires_at_ms: i64::MAX,
        incarnation: IncarnationId(1),
        may_sell: true,
    }
}

/// Repeats a call whose connection is gone.
async fn until_answered<T>(mut call: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + WITHIN;
    loop {
        match call().await {
            Err(error) if error.is_retryable() && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answer => return answer,
        }
    }
}

async fn open(engine: &dyn StockEngine, term: Term) {
    let opening = Opening {
        term,
        granted: GRANTED,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    let opened = until_answered(async || engine.open(&opening).await).await;
    assert_eq!(opened.unwrap(), Opened::Opened, "{term:?}");
}

async fn reserve(engine: &dyn StockEngine, term: &Term, user: i64) -> Result<Verdict> {
    until_answered(async || engine.reserve(term, &[request(user)]).await.remove(0)).await
}

async fn buy(engine: &dyn StockEngine, term: &Term, user: i64) {
    let verdict = reserve(engine, term, user).await;
    assert_eq!(verdict.unwrap(), Verdict::GRANTED, "buyer {user}");
}

fn ensure(is_so: bool, what: &str, answer: impl std::fmt::Debug) -> Outcome {
    is_so.then_some(()).ok_or(format!("{what}: {answer:?}"))
}

/// No call under `term` gets anything but "not open".
async fn is_not_open(engine: &dyn StockEngine, term: &Term) -> Outcome {
    for user in 1..=3 {
        let verdict = reserve(engine, term, user).await;
        let is_so = matches!(verdict, Ok(Verdict::NotOpen));
        ensure(is_so, "a request", verdict)?;
    }
    for kind in [FinishKind::Settle, FinishKind::Release] {
        let (user, order) = (request(1).user, request(1).order);
        let item = Finish { user, order, kind };
        let call = async || engine.finish(term, &[item]).await.remove(0);
        let finished = until_answered(call).await;
        let is_so = matches!(finished, Ok(Finished::NotOpen));
        ensure(is_so, "a finish", finished)?;
    }
    let is_unavailable = |error: &EngineError| matches!(error, EngineError::Unavailable { .. });
    let page = HoldPageQuery {
        age: Duration::ZERO,
        cursor: 0,
        limit: 10,
    };
    let listed = engine.open_holds(term, &page).await;
    ensure(
        listed.as_ref().is_err_and(is_unavailable),
        "a listing",
        listed,
    )?;
    let key = HoldKey {
        user: request(1).user,
        order: request(1).order,
    };
    let marked = engine.mark(term, &[key], Duration::ZERO).await;
    ensure(marked.as_ref().is_err_and(is_unavailable), "a mark", marked)?;
    let view = until_answered(async || engine.stock(term).await)
        .await
        .unwrap();
    ensure(!view.is_open, "the stock", view)
}

/// The next epoch of the lost sale sells.
async fn goes_on(engine: &dyn StockEngine, epoch: u32) {
    open(engine, term(1, epoch)).await;
    buy(engine, &term(1, epoch), 1).await;
}

async fn primary_and_replica() -> Option<(RedisServer, RedisServer)> {
    let (primary, replica) = (RedisServer::start().await?, RedisServer::start().await?);
    replica.follow(&primary).await.unwrap();
    Some((primary, replica))
}

/// A replica takes over without the last sale, and clients are led to it.
pub(crate) async fn failover(subject: &Subject) -> Outcome {
    let Some((old, new)) = primary_and_replica().await else {
        return Ok(());
    };
    let engine = subject.at(&old).await;
    open(&*engine, term(1, 1)).await;
    buy(&*engine, &term(1, 1), 1).await;
    new.catch_up(&old).await.unwrap();
    new.lead().await.unwrap();
    buy(&*engine, &term(1, 1), 2).await;
    let engine = subject.at(&new).await;
    is_not_open(&*engine, &term(1, 1)).await?;
    // Another sale's opening brings the script there.
    open(&*engine, term(2, 1)).await;
    is_not_open(&*engine, &term(1, 1)).await?;
    is_not_open(&*subject.at(&new).await, &term(1, 1)).await?;
    goes_on(&*engine, 2).await;
    Ok(())
}

/// A primary is demoted, loses in a full resync what only it knew, and is promoted again; its
/// scripts, its address and its process stay what they were.
pub(crate) async fn resync_and_failback(subject: &Subject) -> Outcome {
    let Some((first, second)) = primary_and_replica().await else {
        return Ok(());
    };
    let engine = subject.at(&first).await;
    open(&*engine, term(1, 1)).await;
    buy(&*engine, &term(1, 1), 1).await;
    second.catch_up(&first).await.unwrap();
    second.lead().await.unwrap();
    buy(&*engine, &term(1, 1), 2).await;
    first.follow(&second).await.unwrap();
    is_not_open(&*engine, &term(1, 1)).await?;
    first.lead().await.unwrap();
    is_not_open(&*engine, &term(1, 1)).await?;
    is_not_open(&*subject.at(&first).await, &term(1, 1)).await?;
    goes_on(&*engine, 2).await;
    is_not_open(&*engine, &term(1, 1)).await
}

/// The server comes back from its AOF, and another sale's opening brings the script back.
pub(crate) async fn restart_and_another_opening(subject: &Subject) -> Outcome {
    let Some(server) = RedisServer::start().await else {
        return Ok(());
    };
    let engine = subject.at(&server).await;
    open(&*engine, term(1, 1)).await;
    buy(&*engine, &term(1, 1), 1).await;
    server.lose("killed, AOF intact").await.unwrap();
    open(&*subject.at(&server).await, term(2, 1)).await;
    is_not_open(&*engine, &term(1, 1)).await?;
    goes_on(&*engine, 2).await;
    Ok(())
}

/// What a false alarm costs: a server gets another replication id with its first replica, which
/// ends its terms; a second one changes nothing.
pub(crate) async fn first_and_second_replica(subject: &Subject) -> Outcome {
    let (Some(first), Some(second)) = (RedisServer::start().await, RedisServer::start().await)
    else {
        return Ok(());
    };
    let Some(alone) = RedisServer::start().await else {
        return Ok(());
    };
    let engine = subject.at(&alone).await;
    open(&*engine, term(1, 1)).await;
    buy(&*engine, &term(1, 1), 1).await;
    first.follow(&alone).await.unwrap();
    is_not_open(&*engine, &term(1, 1)).await?;
    open(&*engine, term(1, 2)).await;
    buy(&*engine, &term(1, 2), 1).await;
    second.follow(&alone).await.unwrap();
    buy(&*engine, &term(1, 2), 2).await;
    Ok(())
}

/// Sales are opened and retired, one after the other; what the server keeps of them is a note each,
/// and no script.
pub(crate) async fn many_openings(subject: &Subject) -> Outcome {
    const SALES: i64 = 200;
    /// What an engine may send: its script, and one each to retire and to shut.
    const SCRIPTS_MAX: i64 = 3;
    let Some(server) = RedisServer::start().await else {
        return Ok(());
    };
    let engine = subject.at(&server).await;
    for sale in 1..=SALES {
        open(&*engine, term(sale, 1)).await;
        buy(&*engine, &term(sale, 1), 1).await;
        engine.retire(SaleId(sale), Epoch(1)).await.unwrap();
    }
    let client = redis::Client::open(server.url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let mut info = redis::cmd("INFO");
    let memory: redis::InfoDict = info.arg("memory").query_async(&mut redis).await.unwrap();
    let scripts: i64 = memory.get("number_of_cached_scripts").unwrap();
    ensure(scripts <= SCRIPTS_MAX, "scripts of 200 sales", scripts)?;
    let dbsize = redis::cmd("DBSIZE");
    let keys: i64 = dbsize.query_async(&mut redis).await.unwrap();
    ensure(keys == SALES, "keys of 200 retired sales", keys)
}

/// Fails if nothing shows that a script does not compare the life of its server, or only a part of
/// it. The text is the same in the scripts of all engines.
pub(crate) async fn broken_copies_are_caught(script: &str, subject: fn(&str) -> Subject) {
    let copies = [
        (
            "no look at the life of the server",
            "script ~= SCRIPT or is_elsewhere(lives)",
            "script ~= SCRIPT",
        ),
        (
            "the process alone",
            "return run .. ':' .. sub(info, replication_at + 1, replication_at + ID_BYTES)",
            "return run",
        ),
    ];
    for (what, healthy, becomes) in copies {
        let subject = subject(&broken(script, healthy, becomes));
        let caught = first_failure(&subject).await;
        let how = caught.unwrap_or_else(|| panic!("{what}: not caught"));
        eprintln!("{what}: caught ({how})");
    }
}

/// What the engine does wrong in the first scenario that finds something.
async fn first_failure(subject: &Subject) -> Option<String> {
    let failover = failover(subject).await.err();
    let failback = async || resync_and_failback(subject).await.err();
    match failover {
        Some(how) => Some(format!("failover: {how}")),
        None => failback().await.map(|how| format!("failback: {how}")),
    }
}
