//! Broken copies of this engine, each of which the conformance suite must catch.

use super::faults::{Fault, Faults};
use super::{FACTORY, Preallocated, Process};
use crate::conformance::{self, Harness, Subject};
use crate::testing::{SystemAround, TestDatabase};
use crate::{
    EngineEnv, Epoch, IncarnationId, Nonce, Opening, OrderId, Params, Reserve, Result, SaleId,
    StockEngine, Tending, Term, Upkeep, UserId, Verdict,
};
use std::sync::Arc;

struct Copy {
    rest: SystemAround,
    faults: Faults,
}

#[async_trait::async_trait]
impl Subject for Copy {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let process = Arc::new(process(&self.rest, self.faults)?);
        Ok(self.rest.around(Arc::new(Preallocated { process })))
    }
}

fn process(rest: &SystemAround, faults: Faults) -> Result<Process> {
    let env = EngineEnv::default().with("database.url", &rest.database.url);
    let params = Params::new(
        &"preallocated?block=7&partitions=8".parse()?,
        FACTORY.params,
    )?;
    Ok(Process {
        faults,
        ..Process::connect(&env, &params)?
    })
}

async fn first_failure(only: Option<Fault>) -> Option<(&'static str, String)> {
    let subject = Copy {
        rest: SystemAround::new(TestDatabase::sqlite().await),
        faults: Faults { only },
    };
    let harness = Harness::new(subject);
    let caught = conformance::first_failure(&harness).await.unwrap();
    caught.map(|(check, how)| (check.name, format!("{how}; {}", harness.seed_line())))
}

async fn is_caught(fault: Fault) {
    let (name, how) = first_failure(Some(fault))
        .await
        .unwrap_or_else(|| panic!("{fault:?} was not caught"));
    eprintln!(
        "{fault:?}: caught by {name} ({})",
        how.lines().next().unwrap_or_default()
    );
}

#[tokio::test]
async fn a_decrement_without_a_check_is_caught() {
    is_caught(Fault::SellsWithoutCheck).await;
}

#[tokio::test]
async fn a_release_that_counts_twice_is_caught() {
    is_caught(Fault::ReleasesTwice).await;
}

#[tokio::test]
async fn a_missing_user_gate_is_caught() {
    is_caught(Fault::NoUserGate).await;
}

#[tokio::test]
async fn partitions_that_nobody_heeds_are_caught() {
    is_caught(Fault::SellsToAnybody).await;
}

#[tokio::test]
async fn units_stranded_because_nobody_answers_a_want_are_caught() {
    is_caught(Fault::DeafToWants).await;
}

#[tokio::test]
async fn sold_out_without_looking_at_others_is_caught() {
    is_caught(Fault::IgnoresOthers).await;
}

#[tokio::test]
async fn a_refill_of_memory_before_the_database_is_caught() {
    is_caught(Fault::RefillsMemoryFirst).await;
}

#[tokio::test]
async fn units_kept_at_a_clean_stop_are_caught() {
    is_caught(Fault::KeepsItsUnits).await;
}

#[tokio::test]
async fn a_cancelled_order_given_back_a_second_time_is_caught() {
    is_caught(Fault::ForgetsCancels).await;
}

#[tokio::test]
async fn a_retired_sale_leaves_neither_rows_nor_a_lease() {
    const ME: IncarnationId = IncarnationId(1);
    let rest = SystemAround::new(TestDatabase::sqlite().await);
    let process = Arc::new(process(&rest, Faults::default()).unwrap());
    let engine = Preallocated {
        process: process.clone(),
    };
    let term = Term {
        sale: SaleId(1),
        epoch: Epoch(1),
        nonce: Nonce(1),
    };
    let opening = Opening {
        term,
        granted: 20,
        buyers: Vec::new(),
        publishers: vec![ME],
    };
    rest.grant(&opening).await.unwrap();
    engine.open(&opening).await.unwrap();
    let publisher = Some(ME);
    engine.tend(&Tending { term, publisher }).await.unwrap();
    let lease = process.loaded(term.sale).unwrap();
    lease.rows.want(&process.database, 3).await.unwrap();
    engine.retire(term.sale).await.unwrap();
    assert!(lease.has_ended() && process.loaded(term.sale).is_none());
    for table in ["engine_openings", "engine_partitions", "engine_wants"] {
        let count = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(rest.database.number(&count).await, 0, "rows of {table}");
    }
}

/// A commit without an answer: what the database says decides, and nothing is moved a second time.
#[tokio::test]
async fn a_transfer_of_unknown_outcome_is_looked_up() {
    const ME: IncarnationId = IncarnationId(1);
    for is_committed in [true, false] {
        let rest = SystemAround::new(TestDatabase::sqlite().await);
        let process = Arc::new(process(&rest, Faults::default()).unwrap());
        let engine = Preallocated {
            process: process.clone(),
        };
        let term = Term {
            sale: SaleId(1),
            epoch: Epoch(1),
            nonce: Nonce(1),
        };
        let opening = Opening {
            term,
            granted: 20,
            buyers: Vec::new(),
            publishers: vec![ME],
        };
        rest.grant(&opening).await.unwrap();
        engine.open(&opening).await.unwrap();
        let request = |user, quantity| Reserve {
            user: UserId(user),
            order: OrderId(user),
            quantity,
            expires_at_ms: i64::MAX,
            incarnation: ME,
            may_sell: true,
        };
        assert!(
            engine.reserve(&term, &[request(1, 1)]).await[0]
                .as_ref()
                .unwrap()
                .is_granted()
        );
        let lease = process.loaded(term.sale).unwrap();
        assert_eq!(lease.stock.units(), 6);
        lease.rights.lock().await.leave_under_way(3);
        if is_committed {
            let script = [
                "UPDATE allocations SET granted = granted - 3 WHERE holder = 'pool'",
                "UPDATE allocations SET granted = granted + 3, idle = 9, moves = moves + 1 WHERE holder <> 'pool'",
            ];
            rest.database
                .transaction(&script.map(str::to_owned))
                .await
                .unwrap();
        }
        assert_eq!(engine.stock(&term).await.unwrap().remaining, 19);
        assert_eq!(lease.stock.units(), if is_committed { 9 } else { 6 });
        assert!(
            engine.reserve(&term, &[request(2, 19)]).await[0]
                .as_ref()
                .unwrap()
                .is_granted()
        );
        let last = engine
            .reserve(&term, &[request(3, 1)])
            .await
            .remove(0)
            .unwrap();
        assert_eq!(last, Verdict::SoldOut { remaining: 0 });
    }
}

#[tokio::test]
async fn the_healthy_copy_is_not() {
    assert_eq!(first_failure(None).await, None);
}
