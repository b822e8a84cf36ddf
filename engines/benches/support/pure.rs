//! The parts that are Rust alone, down to the last instruction the same in every run but for the
//! seeds of hash maps: what is counted, and what has to be there before the counting.

use super::cases;
use super::stand::PUBLISHER;
use database::fixed_rows::BULK;
use engines::testing::{SystemAround, TestDatabase};
use engines::{
    EngineEnv, EngineSpec, Epoch, Finish, Finished, Nonce, Opened, Opening, OrderId, Registry,
    Reserve, SaleId, StockEngine, Tending, Term, UserId,
};
use futures_util::FutureExt;
use std::sync::Arc;

/// Buyers who are in the gate already, so that its first growth is not what is counted.
const BUYERS_BEFORE: usize = 10_000;
const SPECS: [&str; 4] = [
    "null",
    "lua-single-key",
    "sharded-slots?slots=16",
    "preallocated?block=5000&partitions=64",
];

/// An open sale of `preallocated` with its lease, and the next requests. Fields in the order in
/// which they must end.
#[derive(Debug)]
pub struct Ready {
    engine: Arc<dyn StockEngine>,
    term: Term,
    orders: Vec<Reserve>,
    settles: Vec<Finish>,
    _database: Arc<TestDatabase>,
    _runtime: tokio::runtime::Runtime,
}

/// Ready to reserve for `batch` buyers.
pub fn ready(batch: usize) -> Ready {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let term = Term {
        sale: SaleId(1),
        epoch: Epoch(1),
        nonce: Nonce(7),
    };
    let (database, engine) = runtime.block_on(async {
        let database = TestDatabase::sqlite().await;
        let env = EngineEnv::default().with("database.url", &database.url);
        let spec = "preallocated?block=100000"
            .parse()
            .expect("a specification");
        let engine = Registry::standard()
            .build(&spec, &env)
            .await
            .expect("an engine");
        let opening = Opening {
            term,
            granted: 100_000,
            buyers: Vec::new(),
            publishers: vec![PUBLISHER],
        };
        SystemAround::new(database.clone())
            .grant(&opening)
            .await
            .expect("a grant");
        assert_eq!(
            engine.open(&opening).await.expect("an opening"),
            Opened::Opened
        );
        engine
            .tend(&Tending {
                term,
                publisher: Some(PUBLISHER),
            })
            .await
            .expect("a lease");
        (database, engine)
    });
    let mut orders: Vec<_> = (0..BUYERS_BEFORE + batch)
        .map(|id| order(id as i64))
        .collect();
    let before = Ready {
        engine,
        term,
        orders: orders.drain(..BUYERS_BEFORE).collect(),
        settles: Vec::new(),
        _database: database,
        _runtime: runtime,
    };
    let ready = reserve(before);
    Ready {
        settles: orders.iter().map(cases::settle).collect(),
        orders,
        ..ready
    }
}

/// Ready to settle for `batch` buyers.
pub fn reserved(batch: usize) -> Ready {
    reserve(ready(batch))
}

fn order(id: i64) -> Reserve {
    let (user, order) = (UserId(id + 1), OrderId((id + 1) << 20));
    Reserve {
        user,
        order,
        quantity: 1 + (id % 2) as u32,
        expires_at_ms: i64::MAX,
        incarnation: PUBLISHER,
        may_sell: true,
    }
}

/// What was made ready comes back, so that its end is not counted.
pub fn reserve(ready: Ready) -> Ready {
    let verdicts = ready
        .engine
        .reserve(&ready.term, &ready.orders)
        .now_or_never();
    let verdicts =
        verdicts.expect("a leased unit is sold from memory, without waiting for anything");
    assert!(
        verdicts
            .iter()
            .all(|verdict| verdict.as_ref().is_ok_and(engines::Verdict::is_granted))
    );
    ready
}

pub fn settle(ready: Ready) -> Ready {
    let finished = ready
        .engine
        .finish(&ready.term, &ready.settles)
        .now_or_never();
    let finished = finished.expect("a hold is settled in memory, without waiting for anything");
    assert!(
        finished
            .iter()
            .all(|finished| matches!(finished, Ok(Finished::Done)))
    );
    ready
}

/// The number of statements for `rows`.
pub fn cut(rows: &[i64]) -> usize {
    BULK.cut(rows).len()
}

/// The number of engines that were recognised.
pub fn parse_and_check(registry: &Registry) -> usize {
    let known = |text: &&&str| {
        text.parse::<EngineSpec>()
            .is_ok_and(|spec| registry.check(&spec).is_ok())
    };
    SPECS.iter().filter(known).count()
}

/// All of [`SPECS`] are.
pub const SPECS_KNOWN: usize = SPECS.len();
