//! Bytes that an engine keeps for one buyer whose order is settled, wherever it keeps them.

use super::cases;
use super::stand::{Candidate, On, PUBLISHER, Server, Stand};
use engines::{Finished, OpeningBuyer, OrderId, Reserve, StockEngine, Term, UserId};
use std::sync::Arc;
use std::time::Duration;

const BATCH: i64 = 256;
/// In x86-64 and in most others.
const PAGE_BYTES: f64 = 4_096.0;

/// What `users` buyers take.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub bytes_per_user: f64,
    /// How long the next epoch takes to open, in which all of them are known.
    pub reopened_in: Duration,
}

/// Where an engine keeps its buyers, for the heading of a column.
pub fn place_of(candidate: &Candidate) -> &'static str {
    match (candidate.name(), candidate.on) {
        (_, On::Redis) => "Redis used_memory",
        ("database-row" | "optimistic-row", _) => "bytes of the tables",
        _ => "resident memory",
    }
}

/// Whether it has to be measured in a process in which nothing else has run.
pub fn needs_fresh_process(candidate: &Candidate) -> bool {
    place_of(candidate) == "resident memory"
}

/// A sale in which each of `users` buys one unit and all are settled; `None`: its server cannot be
/// started.
pub fn measure(candidate: Candidate, users: i64) -> Option<Taken> {
    let mut stand = Stand::start(candidate)?;
    let term = stand.open(users.unsigned_abs(), Vec::new());
    let before_bytes = bytes(&stand);
    let work = stand.clients[0].begin(move |engine| buy_and_settle(engine, term, users));
    work.join();
    let bytes_per_user = (bytes(&stand) - before_bytes) / users as f64;
    let buyer = |id: i64| OpeningBuyer {
        user: order(id).user,
        order: order(id).order,
        quantity: 1,
    };
    stand.open(1, (0..users).map(buyer).collect());
    Some(Taken {
        bytes_per_user,
        reopened_in: stand.opened_in,
    })
}

async fn buy_and_settle(engine: Arc<dyn StockEngine>, term: Term, users: i64) {
    let batches = || {
        (0..users)
            .step_by(BATCH as usize)
            .map(|first| first..(first + BATCH).min(users))
    };
    for ids in batches() {
        let orders: Vec<_> = ids.map(order).collect();
        for verdict in engine.reserve(&term, &orders).await {
            let verdict = verdict.unwrap_or_else(|error| panic!("a reserve: {error}"));
            assert!(
                verdict.is_granted(),
                "there is one unit for everybody, but {verdict:?}"
            );
        }
    }
    let keeps_stock = engine.info().guarantees.keeps_stock;
    for ids in batches() {
        let settles: Vec<_> = ids.map(|id| cases::settle(&order(id))).collect();
        for finished in engine.finish(&term, &settles).await {
            let finished = finished.unwrap_or_else(|error| panic!("a settle: {error}"));
            assert!(
                finished == Finished::Done || !keeps_stock,
                "everybody had a hold, but {finished:?}"
            );
        }
    }
}

fn order(id: i64) -> Reserve {
    let (user, order) = (UserId(id + 1), OrderId((id + 1) << 20));
    Reserve {
        user,
        order,
        quantity: 1,
        expires_at_ms: i64::MAX,
        incarnation: PUBLISHER,
        may_sell: true,
    }
}

fn bytes(stand: &Stand) -> f64 {
    if needs_fresh_process(&stand.candidate) {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages = statm
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse::<f64>().ok())
            .expect("a number of pages");
        return pages * PAGE_BYTES;
    }
    match (&stand.server, &stand.database) {
        (Server::Redis(server), _) => {
            let client = redis::Client::open(server.url()).expect("a url");
            let mut connection = client.get_connection().expect("a connection");
            let info: redis::InfoDict = redis::cmd("INFO").arg("memory").query(&mut connection).expect("INFO");
            info.get("used_memory").expect("used_memory")
        }
        (Server::MariaDb(_), Some(database)) => stand.runtime.block_on(async {
            database.transaction(&["ANALYZE TABLE engine_stock, engine_gate".to_owned()]).await.expect("statistics");
            let sql = "SELECT CAST(SUM(data_length + index_length) AS SIGNED) FROM information_schema.tables
                       WHERE table_schema = DATABASE() AND table_name IN ('engine_stock', 'engine_gate')";
            database.number(sql).await as f64
        }),
        (_, Some(database)) => {
            let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
            stand.runtime.block_on(database.number(sql)) as f64
        }
        (_, None) => unreachable!("an engine without server and database keeps its buyers in memory"),
    }
}
