//! What an engine is measured on: a private server or a file with its tables, one client per
//! thread, and the rest of the system as far as an opening needs it.

use super::client::{Client, Source};
use engines::testing::{SystemAround, TestDatabase};
use engines::{
    EngineEnv, EngineError, Epoch, IncarnationId, Nonce, Opened, Opening, OpeningBuyer, OrderId,
    Registry, SaleId, StockEngine, Tending, Term, UserId,
};
use servers::{DatabaseServer, RedisServer};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Threads that ask at the same time, at most.
pub const CLIENTS_MAX: usize = 2;
pub const PUBLISHER: IncarnationId = IncarnationId(1);
/// The whole stock that is asked for is leased before the clock starts, as a refill ahead of need
/// does.
pub const BLOCK: u32 = 1_000_000;

/// What an engine's state is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Memory,
    Redis,
    MariaDb,
    Sqlite,
}

/// An engine and what it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub spec: &'static str,
    pub on: On,
}

/// Every stock engine that keeps the contract, on everything that it can run on.
pub const CANDIDATES: [Candidate; 9] = [
    Candidate {
        spec: "null",
        on: On::Memory,
    },
    Candidate {
        spec: "preallocated?block=1000000",
        on: On::Sqlite,
    },
    Candidate {
        spec: "preallocated?block=1000000",
        on: On::MariaDb,
    },
    Candidate {
        spec: "lua-single-key",
        on: On::Redis,
    },
    Candidate {
        spec: "sharded-slots?slots=16",
        on: On::Redis,
    },
    Candidate {
        spec: "database-row",
        on: On::Sqlite,
    },
    Candidate {
        spec: "database-row",
        on: On::MariaDb,
    },
    Candidate {
        spec: "optimistic-row",
        on: On::Sqlite,
    },
    Candidate {
        spec: "optimistic-row",
        on: On::MariaDb,
    },
];

impl Candidate {
    pub fn name(&self) -> &'static str {
        self.spec.split('?').next().unwrap_or(self.spec)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.on {
            On::Memory => f.write_str(self.name()),
            On::Redis => write!(f, "{} on redis", self.name()),
            On::MariaDb => write!(f, "{} on mariadb", self.name()),
            On::Sqlite => write!(f, "{} on sqlite", self.name()),
        }
    }
}

/// Fields in the order in which they must end: clients before the runtime, the runtime before the
/// server.
#[derive(Debug)]
pub struct Stand {
    pub candidate: Candidate,
    pub clients: Vec<Client>,
    /// Whether threads share one engine object, which then answers from memory.
    pub is_in_process: bool,
    pub database: Option<Arc<TestDatabase>>,
    rest: Option<SystemAround>,
    epoch: u32,
    /// What the last opening took the engine, gate and lease included.
    pub opened_in: Duration,
    /// Runs what all threads share. The clients have runtimes of their own.
    pub runtime: Runtime,
    pub server: Server,
}

#[derive(Debug)]
pub enum Server {
    None,
    Redis(RedisServer),
    MariaDb(DatabaseServer),
}

impl Stand {
    /// Starts what `candidate` needs. If it cannot, says why and returns `None`; with
    /// `REQUIRE_SERVERS=1` that is a failure.
    pub fn start(candidate: Candidate) -> Option<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let server = match candidate.on {
            On::Memory | On::Sqlite => Server::None,
            On::Redis => Server::Redis(runtime.block_on(RedisServer::start())?),
            On::MariaDb => Server::MariaDb(runtime.block_on(DatabaseServer::start())?),
        };
        let mut env = EngineEnv {
            key_prefix: "bench:".to_owned(),
            ..EngineEnv::default()
        };
        let database = runtime.block_on(database(&server, candidate.on));
        if let Some(database) = &database {
            env = env.with("database.url", &database.url);
        }
        if let Server::Redis(server) = &server {
            env = env.with("redis.url", server.url());
        }
        let factory = Registry::standard()
            .get(candidate.name())
            .expect("a stock engine")
            .clone();
        let is_in_process = factory.guarantees.needs_one_engine_per_process;
        // SQLite has one writer per process: the runtime that holds it must never rest.
        let source = if is_in_process || candidate.on == On::Sqlite {
            let spec = candidate.spec.parse().expect("a specification");
            let engine = runtime.block_on(Registry::standard().build(&spec, &env));
            Source::Shared(engine.unwrap_or_else(|error| panic!("{candidate}: {error}")))
        } else {
            Source::Own(candidate.spec, env)
        };
        let clients = (0..CLIENTS_MAX)
            .map(|_| Client::start(source.clone()))
            .collect();
        // Only engines with leases read the allocations.
        let rest = database
            .clone()
            .filter(|_| is_in_process)
            .map(SystemAround::new);
        Some(Self {
            candidate,
            clients,
            is_in_process,
            database,
            rest,
            epoch: 0,
            opened_in: Duration::ZERO,
            runtime,
            server,
        })
    }

    /// Whether a call asks a server, so that several have to be under way to keep it busy.
    pub fn waits_for_a_server(&self) -> bool {
        !self.is_in_process && self.candidate.on != On::Memory
    }

    /// Opens the next epoch of the one sale; what the epoch before left behind is dropped with it.
    pub fn open(&mut self, granted: u64, mut buyers: Vec<OpeningBuyer>) -> Term {
        self.epoch += 1;
        let term = Term {
            sale: SaleId(1),
            epoch: Epoch(self.epoch),
            nonce: Nonce(7),
        };
        let opening = |buyers| Opening {
            term,
            granted,
            buyers,
            publishers: vec![PUBLISHER],
        };
        if let Some(rest) = &self.rest {
            self.runtime
                .block_on(rest.grant(&opening(buyers.clone())))
                .expect("a grant");
            // Sold long ago, so that the block is never larger than the sale.
            buyers.push(OpeningBuyer {
                user: UserId(i64::MAX),
                order: OrderId(i64::MAX),
                quantity: BLOCK,
            });
        }
        let opening = opening(buyers);
        let open = self.clients[0].begin(move |engine: Arc<dyn StockEngine>| async move {
            let began = Instant::now();
            assert_eq!(engine.open(&opening).await?, Opened::Opened);
            engine
                .tend(&Tending {
                    term,
                    publisher: Some(PUBLISHER),
                })
                .await?;
            Ok::<_, EngineError>(began.elapsed())
        });
        self.opened_in = open
            .join()
            .unwrap_or_else(|error| panic!("{}: {error}", self.candidate));
        term
    }
}

/// A database with the tables of every engine.
async fn database(server: &Server, on: On) -> Option<Arc<TestDatabase>> {
    let database = match (server, on) {
        (Server::MariaDb(server), _) => TestDatabase::mysql(server.create_database().await).await,
        (_, On::Sqlite) => TestDatabase::sqlite().await,
        _ => return None,
    };
    let registry = Registry::standard();
    let factory = registry.get("database-row").expect("a stock engine");
    factory.create_tables(&database.url).await.expect("tables");
    Some(database)
}
