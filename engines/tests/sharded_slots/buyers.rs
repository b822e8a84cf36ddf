//! Buyers of one sale: what each of them does, and a ledger of what all of them got.

use engines::{
    EngineEnv, Epoch, Finish, FinishKind, Finished, IncarnationId, Nonce, Opened, Opening,
    OpeningBuyer, OrderId, Registry, Reserve, Result, SaleId, StockEngine, Term, UserId, Verdict,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Longest wait for a condition, and for an answer that is a decision.
const WITHIN: Duration = Duration::from_secs(20);
/// Pause between two looks or tries.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

pub(crate) async fn engine(spec: &str, url: String) -> Result<Arc<dyn StockEngine>> {
    let env = EngineEnv {
        key_prefix: "test:".to_owned(),
        ..EngineEnv::default().with("redis.url", url)
    };
    Registry::standard().build(&spec.parse()?, &env).await
}

pub(crate) fn term(epoch: u32) -> Term {
    Term {
        sale: SaleId(1),
        epoch: Epoch(epoch),
        nonce: Nonce(u64::from(epoch) * 7),
    }
}

pub(crate) async fn open(
    engine: &dyn StockEngine,
    epoch: u32,
    granted: u64,
    buyers: Vec<OpeningBuyer>,
) {
    let opening = Opening {
        term: term(epoch),
        granted,
        buyers,
        publishers: Vec::new(),
    };
    let deadline = Instant::now() + WITHIN;
    loop {
        match engine.open(&opening).await {
            Ok(opened) => break assert_eq!(opened, Opened::Opened),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

pub(crate) fn request(user: i64, quantity: u32) -> Reserve {
    let incarnation = IncarnationId(1);
    Reserve {
        user: UserId(user),
        order: OrderId(user + 1_000_000),
        quantity,
        expires_at_ms: i64::MAX,
        incarnation,
        may_sell: true,
    }
}

/// Asks until there is a decision; the same order all the time, as a buyer's retries through a
/// service would be.
pub(crate) async fn ask(engine: &dyn StockEngine, term: &Term, request: Reserve) -> Verdict {
    let deadline = Instant::now() + WITHIN;
    loop {
        match engine.reserve(term, &[request]).await.remove(0) {
            Ok(Verdict::Duplicate(hold)) if hold.order == request.order => return Verdict::GRANTED,
            Ok(Verdict::Busy) => {}
            Ok(verdict) => return verdict,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        assert!(Instant::now() < deadline, "no decision for {request:?}");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

pub(crate) async fn release(engine: &dyn StockEngine, term: &Term, bought: &Reserve) {
    let (user, order) = (bought.user, bought.order);
    let finish = Finish {
        user,
        order,
        kind: FinishKind::Release,
    };
    let deadline = Instant::now() + WITHIN;
    loop {
        match engine.finish(term, &[finish]).await.remove(0) {
            Ok(finished) => return assert_ne!(finished, Finished::NotOpen),
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Where the engine keeps a user.
pub(crate) fn home(user: i64, slots: u64) -> u64 {
    let mut mixed = (user as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % slots
}

/// What many buyers did together.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) live: Mutex<BTreeMap<UserId, Reserve>>,
    pub(crate) least_refused: AtomicU64,
}

impl Ledger {
    pub(crate) fn units(&self) -> u64 {
        self.live
            .lock()
            .unwrap()
            .values()
            .map(|bought| u64::from(bought.quantity))
            .sum()
    }

    pub(crate) fn note(&self, request: Reserve, verdict: Verdict) {
        match verdict {
            Verdict::Granted { .. } => {
                let before = self.live.lock().unwrap().insert(request.user, request);
                assert_eq!(before, None, "a user was granted two orders");
            }
            Verdict::SoldOut { remaining } => {
                assert!(
                    remaining < u64::from(request.quantity),
                    "{remaining} left, refused: {request:?}"
                );
                self.least_refused
                    .fetch_min(u64::from(request.quantity), Ordering::Relaxed);
            }
            other => panic!("{request:?} was answered {other:?}"),
        }
    }
}

/// Tasks that buy 1 to 5 units each and give every fifth order back, until `stop`, or until they
/// have had their turns. Four of five users live in the same slot.
pub(crate) async fn rush(
    engines: &[Arc<dyn StockEngine>],
    seed: u64,
    turns: usize,
    stop: Arc<AtomicBool>,
) -> Arc<Ledger> {
    const TASKS: i64 = 48;
    let ledger = Arc::new(Ledger {
        least_refused: AtomicU64::new(u64::MAX),
        ..Ledger::default()
    });
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (engine, ledger, stop) = (
            engines[task as usize % engines.len()].clone(),
            ledger.clone(),
            stop.clone(),
        );
        let mut rng = SmallRng::seed_from_u64(seed ^ task as u64);
        tasks.spawn(async move {
            let mut users =
                (task * 1_000_000..).filter(|user| *user % 5 == 0 || home(*user, 16) == 3);
            for user in users.by_ref().take(turns) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let request = request(user, rng.random_range(1..=5));
                let verdict = ask(&*engine, &term(1), request).await;
                ledger.note(request, verdict);
                if verdict.is_granted() && rng.random_ratio(1, 5) {
                    ledger.live.lock().unwrap().remove(&request.user);
                    release(&*engine, &term(1), &request).await;
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    ledger
}

pub(crate) async fn four_clients(url: &str) -> Vec<Arc<dyn StockEngine>> {
    let mut engines = Vec::new();
    for _ in 0..4 {
        engines.push(
            engine("sharded-slots?slots=16", url.to_owned())
                .await
                .unwrap(),
        );
    }
    engines
}

/// After the rush everybody who comes is served while anything is left, and units are neither lost
/// nor doubled.
pub(crate) async fn sells_the_rest(
    engine: &dyn StockEngine,
    term: &Term,
    ledger: &Ledger,
    granted: u64,
) {
    let view = engine.stock(term).await.unwrap();
    assert_eq!(
        view.remaining as u64 + ledger.units(),
        granted,
        "units left and sold"
    );
    assert!(view.is_open);
    let mut users = 1..;
    while ledger.units() < granted {
        // Five at a time, as long as there are so many.
        let quantity = (granted - ledger.units()).min(5) as u32;
        let request = request(-users.next().unwrap(), quantity);
        ledger.note(request, ask(engine, term, request).await);
    }
    assert_eq!(ledger.units(), granted, "every unit is sold");
    let refused = ask(engine, term, request(i64::MIN, 1)).await;
    assert_eq!(refused, Verdict::SoldOut { remaining: 0 });
}
