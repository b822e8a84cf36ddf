//! How fast is `preallocated` alone? Reservations and settlements per second from memory, on one thread and on two,
//! at batches of 1, 16 and 256, and what a buyer costs. `cargo run --release -p engines --example
//! throughput_in_process [engine] [orders] [mariadb]`
//!
//! The database is a SQLite file unless told otherwise; the stock is leased before the clock starts, as a refill ahead of need does.

#[path = "../tests/support/mariadb.rs"]
#[allow(dead_code)]
mod mariadb;
#[path = "../tests/support/places.rs"]
#[allow(dead_code)]
mod places;
#[path = "../tests/support/rest_of_system.rs"]
#[allow(dead_code)]
mod rest_of_system;

use engines::{
    EngineEnv, Epoch, Finish, FinishKind, Finished, IncarnationId, Maintain, Nonce, Opened, Opening, OpeningBuyer,
    OrderId, Registry, Reserve, SaleId, StockEngine, Term, UserId, Verdict,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

const ORDERS_DEFAULT: i64 = 500_000;
const BATCHES: [usize; 3] = [1, 16, 256];
const THREADS: [usize; 2] = [1, 2];
const PUBLISHER: IncarnationId = IncarnationId(1);
const FAR_FUTURE_MS: i64 = 4_102_444_800_000;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let spec = args.next().unwrap_or_else(|| "preallocated?block=1000000".to_owned());
    let orders: i64 = args.next().map_or(Ok(ORDERS_DEFAULT), |text| text.parse())?;
    let server = if args.next().as_deref() == Some("mariadb") { mariadb::MariaDb::start().await } else { None };
    let place = match &server {
        Some(server) => places::Place::mariadb(server).await,
        None => places::Place::sqlite().await,
    };
    let env = EngineEnv { database_url: Some(place.url.clone()), ..EngineEnv::default() };
    let engine = Registry::standard().build(&spec.parse()?, &env).await?;
    let rest = rest_of_system::Rest::new(place);
    println!("{spec}, {orders} orders per line");
    println!("{:<10} {:>7} {:>6} {:>14} {:>12}", "what", "threads", "batch", "per second", "bytes/buyer");
    let mut sale = 0;
    for threads in THREADS {
        for batch in BATCHES {
            sale += 1;
            let term = Term { sale: SaleId(sale), epoch: Epoch(1), nonce: Nonce(7) };
            let granted = 4 * orders as u64;
            let opening = Opening { term, granted, buyers: Vec::new(), publishers: vec![PUBLISHER] };
            rest.grant(&opening).await?;
            assert_eq!(engine.open(&opening).await?, Opened::Opened);
            engine.maintain(&Maintain::Tend { term, publisher: Some(PUBLISHER) }).await?;
            for what in ["reserve", "again", "settle", "sold out"] {
                let before_bytes = resident_bytes();
                let started = Instant::now();
                run(&engine, term, what, orders, batch, threads).await?;
                let per_second = orders as f64 / started.elapsed().as_secs_f64();
                let bytes = (resident_bytes() - before_bytes) / orders as f64;
                println!("{what:<10} {threads:>7} {batch:>6} {per_second:>14.0} {bytes:>12.0}");
            }
        }
    }
    load(&engine, &rest, orders).await
}

/// How long a process takes to load the gate of an epoch that has buyers.
async fn load(engine: &Arc<dyn StockEngine>, rest: &rest_of_system::Rest, orders: i64) -> Outcome {
    let buyer = |id| OpeningBuyer { user: UserId(id + 1), order: OrderId((id + 1) << 20), quantity: 1 };
    let term = Term { sale: SaleId(1_000), epoch: Epoch(1), nonce: Nonce(7) };
    let (granted, buyers) = (4 * orders as u64, (0..orders).map(buyer).collect());
    let opening = Opening { term, granted, buyers, publishers: vec![PUBLISHER] };
    rest.grant(&opening).await?;
    let started = Instant::now();
    assert_eq!(engine.open(&opening).await?, Opened::Opened);
    engine.maintain(&Maintain::Tend { term, publisher: Some(PUBLISHER) }).await?;
    println!("an epoch with {orders} buyers opens and loads in {:.2} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// One pass over all orders; each thread takes the same share of them.
async fn run(
    engine: &Arc<dyn StockEngine>,
    term: Term,
    what: &'static str,
    orders: i64,
    batch: usize,
    threads: usize,
) -> Outcome {
    let share = orders / threads as i64;
    let mut running = tokio::task::JoinSet::new();
    for thread in 0..threads as i64 {
        let engine = engine.clone();
        running.spawn(async move {
            let last = (thread + 1) * share;
            let mut start = thread * share;
            while start < last {
                let ids = start..(start + batch as i64).min(last);
                start = ids.end;
                one_batch(&*engine, &term, what, ids).await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

async fn one_batch(engine: &dyn StockEngine, term: &Term, what: &str, ids: std::ops::Range<i64>) -> Outcome {
    if what == "settle" {
        let items: Vec<_> = ids.map(settle).collect();
        for finished in engine.finish(term, &items).await {
            (finished? == Finished::Done).then_some(()).ok_or("a hold was gone")?;
        }
        return Ok(());
    }
    let items: Vec<_> = match what {
        // Nobody has that many: each batch asks the database once.
        "sold out" => ids.map(|id| Reserve { user: UserId(-1 - id), quantity: u32::MAX, ..reserve(id) }).collect(),
        _ => ids.map(reserve).collect(),
    };
    for verdict in engine.reserve(term, &items).await {
        let is_expected = match verdict? {
            Verdict::Granted { .. } => what == "reserve",
            Verdict::Duplicate(_) => what == "again",
            Verdict::SoldOut { .. } => what == "sold out",
            _ => false,
        };
        is_expected.then_some(()).ok_or("an unexpected answer")?;
    }
    Ok(())
}

fn reserve(id: i64) -> Reserve {
    let (user, order) = (UserId(id + 1), OrderId((id + 1) << 20));
    Reserve { user, order, quantity: 1 + (id % 2) as u32, expires_at_ms: FAR_FUTURE_MS, incarnation: PUBLISHER }
}

fn settle(id: i64) -> Finish {
    let request = reserve(id);
    Finish { user: request.user, order: request.order, quantity: request.quantity, kind: FinishKind::Settle }
}

/// Memory of this process that is in use.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4_096.0
}
