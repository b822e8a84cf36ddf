//! `preallocated` against the whole contract on both databases, and what only leases promise: a
//! killed process, a cancel that overtakes the settle, calls that are dropped in the middle, and a
//! database that is not good enough.

#[path = "preallocated/given_back.rs"]
mod given_back;
#[path = "preallocated/refusals.rs"]
mod refusals;
#[path = "preallocated/wants.rs"]
mod wants;

use engines::conformance::{self, Harness, Subject};
use engines::testing::{SystemAround, TestDatabase, let_database_forget};
use engines::{
    AllocationId, EngineEnv, Epoch, Finish, FinishKind, Finished, Hold, HoldPageQuery,
    IncarnationId, Nonce, Opened, Opening, OpeningBuyer, OrderId, Registry, Reserve, Result,
    SaleId, StockEngine, Tending, Term, UserId, Verdict,
};
use given_back::{
    a_cancel_that_overtakes_the_settle_gives_back_once,
    a_killed_process_gives_back_what_it_had_not_sold, a_retired_process_that_lives_on_is_not_open,
};
use servers::DatabaseServer;
use std::sync::Arc;
use std::time::Duration;
use wants::{
    a_want_is_heard_although_the_clock_leaps_forward,
    the_want_of_a_dead_process_ends_although_the_clock_is_set_back,
};

const ONE: IncarnationId = IncarnationId(1);
const TWO: IncarnationId = IncarnationId(2);

async fn engine(spec: &str, url: &str) -> Result<Arc<dyn StockEngine>> {
    let env = EngineEnv::default().with("database.url", url.to_owned());
    Registry::standard().build(&spec.parse()?, &env).await
}

struct InDatabase {
    spec: &'static str,
    rest: SystemAround,
}

#[async_trait::async_trait]
impl Subject for InDatabase {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        Ok(self
            .rest
            .around(engine(self.spec, &self.rest.database.url).await?))
    }

    async fn let_forget(&self, may_forget: bool) -> std::result::Result<bool, String> {
        let_database_forget(&self.rest.database.url, may_forget).await
    }
}

async fn keeps_the_contract(spec: &'static str, database: Arc<TestDatabase>) {
    match conformance::run_all(&Harness::new(InDatabase {
        spec,
        rest: SystemAround::new(database),
    }))
    .await
    {
        Ok(passed) => eprintln!("{passed} checks passed"),
        Err(failure) => panic!("{failure}"),
    }
}

#[tokio::test]
async fn it_keeps_the_contract_on_sqlite() {
    keeps_the_contract("preallocated", TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn it_keeps_the_contract_on_sqlite_when_every_unit_is_fetched_alone() {
    keeps_the_contract(
        "preallocated?block=1&partitions=3",
        TestDatabase::sqlite().await,
    )
    .await;
}

#[tokio::test]
async fn it_keeps_the_contract_on_mariadb() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    keeps_the_contract(
        "preallocated?block=7",
        TestDatabase::mysql(server.create_database().await).await,
    )
    .await;
}

/// One sale with two processes that share a database.
struct Sale {
    rest: SystemAround,
    one: Arc<dyn StockEngine>,
    two: Arc<dyn StockEngine>,
    term: Term,
}

impl Sale {
    async fn new(database: Arc<TestDatabase>, granted: u64, block: u64) -> Self {
        let spec = format!("preallocated?block={block}&partitions=2");
        let (one, two) = (
            engine(&spec, &database.url).await.unwrap(),
            engine(&spec, &database.url).await.unwrap(),
        );
        let sale = Self {
            rest: SystemAround::new(database),
            one,
            two,
            term: term(1),
        };
        let opening = opening(1, granted, Vec::new());
        sale.rest.grant(&opening).await.unwrap();
        assert_eq!(sale.one.open(&opening).await.unwrap(), Opened::Opened);
        sale
    }

    async fn ask(&self, engine: &Arc<dyn StockEngine>, request: Reserve) -> Verdict {
        engine
            .reserve(&self.term, &[request])
            .await
            .remove(0)
            .unwrap()
    }

    async fn allocation_of(&self, request: Reserve) -> AllocationId {
        match self.ask(&self.one, request).await {
            Verdict::Granted {
                allocation: Some(allocation),
            } => allocation,
            other => panic!("expected a grant with its allocation, got {other:?}"),
        }
    }

    /// What the consumer does.
    async fn insert_row(&self, request: &Reserve, allocation: AllocationId) {
        let (order, user, units) = (request.order, request.user, request.quantity);
        let script = [
            format!(
                "INSERT INTO orders (order_id, user_id, product_id, quantity, allocation_id, status, live)
                 VALUES ({order}, {user}, {}, {units}, {allocation}, 0, 1)",
                self.term.sale
            ),
            format!("UPDATE allocations SET sold = sold + {units} WHERE id = {allocation} AND state = 'open'"),
        ];
        self.rest.database.transaction(&script).await.unwrap();
    }

    async fn sum(&self, of: &str) -> i64 {
        self.rest
            .database
            .number(&format!(
                "SELECT CAST(SUM({of}) AS SIGNED) FROM allocations"
            ))
            .await
    }
}

fn term(epoch: u32) -> Term {
    Term {
        sale: SaleId(7),
        epoch: Epoch(epoch),
        nonce: Nonce(u64::MAX - u64::from(epoch)),
    }
}

fn opening(epoch: u32, granted: u64, buyers: Vec<OpeningBuyer>) -> Opening {
    Opening {
        term: term(epoch),
        granted,
        buyers,
        publishers: vec![ONE, TWO],
    }
}

/// Even users belong to the first process, odd ones to the second.
fn request(user: i64, quantity: u32) -> Reserve {
    let incarnation = if user % 2 == 0 { ONE } else { TWO };
    Reserve {
        user: UserId(user),
        order: OrderId(user * 10),
        quantity,
        expires_at_ms: i64::MAX,
        incarnation,
        may_sell: true,
    }
}

fn release(of: &Reserve) -> Finish {
    Finish {
        user: of.user,
        order: of.order,
        kind: FinishKind::Release,
    }
}

/// The opener is another process than those that sell; they load gate and lease when first asked.
async fn a_process_loads_what_another_opened(database: Arc<TestDatabase>) {
    let sale = Sale::new(database, 10, 4).await;
    let buyer = |user| OpeningBuyer {
        user: UserId(user),
        order: OrderId(user * 10),
        quantity: 2,
    };
    let next = opening(2, 6, vec![buyer(1), buyer(2)]);
    sale.rest.grant(&next).await.unwrap();
    assert_eq!(sale.two.open(&next).await.unwrap(), Opened::Opened);
    assert_eq!(
        sale.one
            .finish(&next.term, &[release(&request(2, 2))])
            .await[0]
            .as_ref()
            .unwrap(),
        &Finished::NotOpen
    );
    let asked = [request(1, 1), request(2, 1), request(4, 1)].map(|item| Reserve {
        incarnation: ONE,
        ..item
    });
    let verdicts: Vec<_> = sale
        .one
        .reserve(&next.term, &asked)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let known = Hold {
        order: OrderId(20),
        quantity: 2,
        settled: true,
        allocation: None,
    };
    assert_eq!(
        verdicts[..2],
        [Verdict::WrongInstance, Verdict::Duplicate(known)]
    );
    assert!(verdicts[2].is_granted());
    assert_eq!(
        sale.ask(&sale.one, request(6, 1)).await,
        Verdict::NotOpen,
        "the epoch before"
    );
    let view = sale.two.stock(&next.term).await.unwrap();
    assert_eq!(
        (view.is_open, view.owners),
        (true, vec![Some(ONE), Some(TWO)])
    );
}

/// The same process under a new registration owns nothing until the next epoch deals anew; the old
/// one is over.
async fn a_new_registration_starts_afresh(database: Arc<TestDatabase>) {
    let sale = Sale::new(database, 10, 4).await;
    assert!(sale.ask(&sale.one, request(2, 1)).await.is_granted());
    let again = Reserve {
        incarnation: IncarnationId(9),
        ..request(4, 1)
    };
    assert_eq!(sale.ask(&sale.one, again).await, Verdict::WrongInstance);
    assert_eq!(
        sale.ask(&sale.one, request(6, 1)).await,
        Verdict::NotOpen,
        "the incarnation before"
    );
    let holds = HoldPageQuery {
        age: Duration::ZERO,
        cursor: 0,
        limit: 10,
    };
    assert_eq!(
        sale.one.open_holds(&sale.term, &holds).await.unwrap().holds,
        Vec::new()
    );
}

/// Two engine objects for one process would sell the same units; the second is refused them.
async fn a_lease_has_one_engine_object(database: Arc<TestDatabase>) {
    let sale = Sale::new(database, 10, 4).await;
    assert!(sale.ask(&sale.one, request(2, 1)).await.is_granted());
    let refused = sale
        .two
        .reserve(&sale.term, &[request(4, 1)])
        .await
        .remove(0)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("must share one"), "{refused}");
}

/// Callers that give up in the middle of a refill, a hand-back or a release: nothing is lost and
/// nothing doubled.
async fn dropped_calls_lose_and_double_nothing(database: Arc<TestDatabase>) {
    const USERS: i64 = 120;
    let sale = Sale::new(database, 200, 3).await;
    for user in (2..=USERS).step_by(2) {
        let patience = Duration::from_micros(user.unsigned_abs() * 20);
        let _ =
            tokio::time::timeout(patience, sale.one.reserve(&sale.term, &[request(user, 2)])).await;
        if user % 3 == 0 {
            let finish = [release(&request(user, 2))];
            let _ = tokio::time::timeout(patience / 2, sale.one.finish(&sale.term, &finish)).await;
        }
        if user % 20 == 0 {
            let tending = Tending {
                term: sale.term,
                publisher: Some(ONE),
            };
            let _ = tokio::time::timeout(patience / 4, sale.one.tend(&tending)).await;
        }
    }
    let view = sale.one.stock(&sale.term).await.unwrap();
    let rest = 200 - view.open_units as i64;
    let asked = sale
        .ask(&sale.one, request(1_000, u32::try_from(rest).unwrap()))
        .await;
    assert!(
        asked.is_granted(),
        "{rest} units are in no hold, but {asked:?}"
    );
    assert_eq!(
        sale.ask(&sale.one, request(1_002, 1)).await,
        Verdict::SoldOut { remaining: 0 }
    );
    assert_eq!(sale.sum("granted").await, 200);
}

macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(super::TestDatabase::sqlite().await).await;
            })+
        }

        /// One server for all: its start takes longer than they do.
        #[tokio::test]
        async fn the_same_holds_on_mariadb() {
            let Some(server) = DatabaseServer::start().await else { return };
            $(eprintln!(stringify!($scenario));
            $scenario(TestDatabase::mysql(server.create_database().await).await).await;)+
        }
    };
}

on_both!(
    a_killed_process_gives_back_what_it_had_not_sold,
    a_retired_process_that_lives_on_is_not_open,
    a_cancel_that_overtakes_the_settle_gives_back_once,
    a_process_loads_what_another_opened,
    a_want_is_heard_although_the_clock_leaps_forward,
    the_want_of_a_dead_process_ends_although_the_clock_is_set_back,
    a_new_registration_starts_afresh,
    a_lease_has_one_engine_object,
    dropped_calls_lose_and_double_nothing,
);
