//! What does a reservation cost the server? CPU for each, reserved, asked again, settled and
//! released, on a private server at batches of 1, 16 and 256. `cargo run --release -p engines
//! --example throughput [engine] [orders] [sqlite]`
//!
//! `database-row` runs on MariaDB, or on a SQLite file if told so; every other engine on Redis. CPU
//! is user plus system time of the whole server (its AOF thread too; with SQLite of this process).
//! The last column is what one core of it could do, which is the figure to compare between machines
//! that also run the client. The benches have the other engines.

use engines::{
    EngineEnv, Epoch, Finish, FinishKind, Finished, IncarnationId, Nonce, Opening, OrderId,
    Registry, Reserve, SaleId, StockEngine, Term, UserId, Verdict,
};
use servers::{DatabaseServer, RedisServer};
use std::{error::Error, time::Instant};

/// Calls in flight together: enough to keep the server busy while the client prepares the next.
const CALLS_IN_FLIGHT: usize = 16;
const ORDERS_DEFAULT: i64 = 200_000;
/// Batches of one line at most, where each waits for the disk.
const DURABLE_BATCHES_MAX: i64 = 1_000;
const BATCHES: [usize; 3] = [1, 16, 256];
const FAR_FUTURE_MS: i64 = 4_102_444_800_000;
/// Of the times in `/proc`: fixed for user programs, whatever the kernel counts in.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the engine runs on.
enum Server {
    Redis(RedisServer, redis::aio::MultiplexedConnection),
    MariaDb(DatabaseServer),
    Sqlite(tempfile::TempDir),
}

impl Server {
    async fn start(engine: &str, wants_sqlite: bool) -> Result<Self, Box<dyn Error>> {
        if wants_sqlite {
            return Ok(Self::Sqlite(tempfile::tempdir()?));
        }
        if engine == "database-row" {
            return Ok(Self::MariaDb(
                DatabaseServer::start().await.ok_or("no mariadbd")?,
            ));
        }
        let server = RedisServer::start().await.ok_or("no redis-server")?;
        let meter = redis::Client::open(server.url())?
            .get_multiplexed_async_connection()
            .await?;
        Ok(Self::Redis(server, meter))
    }

    async fn env(&self) -> Result<EngineEnv, Box<dyn Error>> {
        let mut env = EngineEnv {
            key_prefix: "bench:".to_owned(),
            ..EngineEnv::default()
        };
        match self {
            Self::Redis(server, _) => env = env.with("redis.url", server.url()),
            Self::MariaDb(server) => {
                let url = server.create_database().await;
                create_tables(&url).await?;
                env = env.with("database.url", url);
            }
            Self::Sqlite(folder) => {
                let url = format!("sqlite://{}", folder.path().join("sales.db").display());
                create_tables(&url).await?;
                env = env.with("database.url", url);
            }
        }
        Ok(env)
    }

    fn is_durable_per_call(&self) -> bool {
        !matches!(self, Self::Redis(..))
    }

    async fn cpu_us(&mut self) -> Result<f64, Box<dyn Error>> {
        let process = match self {
            Self::Redis(_, meter) => {
                return Ok((info(meter, "cpu", "used_cpu_user").await?
                    + info(meter, "cpu", "used_cpu_sys").await?)
                    * 1e6);
            }
            Self::MariaDb(server) => server.pid().to_string(),
            Self::Sqlite(_) => "self".to_owned(),
        };
        // Behind the name in parentheses come state and eleven counters, then user and system time.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        let counters = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .skip(11)
            .take(2);
        let ticks = counters.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / TICKS_PER_SECOND * 1e6)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "lua-single-key".to_owned());
    let orders_max: i64 = args
        .next()
        .map_or(Ok(ORDERS_DEFAULT), |text| text.parse())?;
    let mut server = Server::start(&name, args.next().as_deref() == Some("sqlite")).await?;
    let engine = Registry::standard()
        .build(&name.parse()?, &server.env().await?)
        .await?;

    println!("{name}, at most {orders_max} orders per line, {CALLS_IN_FLIGHT} calls in flight");
    println!(
        "{:<10} {:>6} {:>12} {:>16} {:>14}",
        "what", "batch", "per second", "server CPU µs", "1/CPU per s"
    );
    for (index, batch) in BATCHES.into_iter().enumerate() {
        let term = Term {
            sale: SaleId(index as i64 + 1),
            epoch: Epoch(1),
            nonce: Nonce(7),
        };
        let batches_max = if server.is_durable_per_call() {
            DURABLE_BATCHES_MAX
        } else {
            i64::MAX / batch as i64
        };
        let orders = orders_max.min(batches_max * batch as i64);
        // Twice as many as are asked for: the last of them sell out nothing.
        engine
            .open(&Opening {
                term,
                granted: 2 * orders as u64,
                buyers: Vec::new(),
                publishers: Vec::new(),
            })
            .await?;
        for kind in ["reserve", "again", "settle", "release"] {
            let cpu_before_us = server.cpu_us().await?;
            let started = Instant::now();
            run(&*engine, &term, kind, orders, batch).await?;
            let elapsed_s = started.elapsed().as_secs_f64();
            let cpu_us = (server.cpu_us().await? - cpu_before_us) / orders as f64;
            println!(
                "{kind:<10} {batch:>6} {:>12.0} {cpu_us:>16.2} {:>14.0}",
                orders as f64 / elapsed_s,
                1e6 / cpu_us
            );
        }
    }
    Ok(())
}

/// One pass over all orders, in `CALLS_IN_FLIGHT` interleaved chains of calls.
async fn run(
    engine: &dyn StockEngine,
    term: &Term,
    kind: &str,
    orders: i64,
    batch: usize,
) -> Result<(), Box<dyn Error>> {
    let chain = async |first: usize| -> Result<(), Box<dyn Error>> {
        let starts = (0..orders)
            .step_by(batch)
            .skip(first)
            .step_by(CALLS_IN_FLIGHT);
        for start in starts {
            let ids = start..(start + batch as i64).min(orders);
            if kind == "reserve" || kind == "again" {
                let items: Vec<_> = ids.map(reserve).collect();
                for verdict in engine.reserve(term, &items).await {
                    let as_expected =
                        matches!(verdict?, Verdict::Granted { .. } | Verdict::Duplicate(_));
                    as_expected.then_some(()).ok_or("an order was refused")?;
                }
            } else {
                let kind = if kind == "settle" {
                    FinishKind::Settle
                } else {
                    FinishKind::Release
                };
                let items: Vec<_> = ids.map(|id| finish(id, kind)).collect();
                for finished in engine.finish(term, &items).await {
                    (finished? == Finished::Done)
                        .then_some(())
                        .ok_or("a hold was gone")?;
                }
            }
        }
        Ok(())
    };
    futures_util::future::try_join_all((0..CALLS_IN_FLIGHT).map(chain)).await?;
    Ok(())
}

fn reserve(id: i64) -> Reserve {
    let (user, order) = (UserId(id + 1), OrderId((id + 1) << 20));
    let quantity = 1 + (id % 2) as u32;
    Reserve {
        user,
        order,
        quantity,
        expires_at_ms: FAR_FUTURE_MS,
        incarnation: IncarnationId(1),
        may_sell: true,
    }
}

fn finish(id: i64, kind: FinishKind) -> Finish {
    Finish {
        user: UserId(id + 1),
        order: OrderId((id + 1) << 20),
        kind,
    }
}

async fn info(
    meter: &mut redis::aio::MultiplexedConnection,
    part: &str,
    name: &str,
) -> Result<f64, Box<dyn Error>> {
    let info: redis::InfoDict = redis::cmd("INFO").arg(part).query_async(meter).await?;
    Ok(info
        .get::<f64>(name)
        .ok_or_else(|| format!("INFO {part} names no {name}"))?)
}

async fn create_tables(url: &str) -> engines::Result<()> {
    let registry = Registry::standard();
    registry.get("database-row")?.create_tables(url).await
}
