//! What only the inside of the engine shows: rows and leases of a sale that was retired, and a
//! transfer whose commit got no answer.

use super::rights::Transfer;
use super::{FACTORY, Preallocated, Process};
use crate::testing::{SystemAround, TestDatabase};
use crate::{
    EngineEnv, Epoch, IncarnationId, Nonce, Opening, OrderId, Params, Reserve, Result, SaleId,
    StockEngine, Tending, Term, Upkeep, UserId, Verdict,
};
use std::sync::Arc;
use std::time::Duration;

fn process(rest: &SystemAround) -> Result<Process> {
    let env = EngineEnv::default().with("database.url", &rest.database.url);
    let params = Params::new(
        &"preallocated?block=7&partitions=8".parse()?,
        FACTORY.params,
    )?;
    Process::connect(&env, &params)
}

#[tokio::test]
async fn a_retired_sale_leaves_a_note_and_no_lease() {
    const ME: IncarnationId = IncarnationId(1);
    let rest = SystemAround::new(TestDatabase::sqlite().await);
    let process = Arc::new(process(&rest).unwrap());
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
    engine.retire(term.sale, term.epoch).await.unwrap();
    assert!(lease.has_ended() && process.loaded(term.sale).is_none());
    let note = ("engine_openings", 1);
    for (table, rows) in [note, ("engine_partitions", 0), ("engine_wants", 0)] {
        let count = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(rest.database.number(&count).await, rows, "rows of {table}");
    }
}

#[tokio::test]
async fn a_process_that_owns_no_buyers_learns_that_its_sale_was_retired() {
    let rest = SystemAround::new(TestDatabase::sqlite().await);
    let process = Arc::new(process(&rest).unwrap());
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
        publishers: vec![IncarnationId(1)],
    };
    rest.grant(&opening).await.unwrap();
    engine.open(&opening).await.unwrap();
    let publisher = Some(IncarnationId(2));
    engine.tend(&Tending { term, publisher }).await.unwrap();
    let lease = process.loaded(term.sale).unwrap();
    assert!(!lease.owns_partitions() && !lease.has_ended());
    super::opening::forget(&process.database, term.sale, term.epoch)
        .await
        .unwrap();
    let learns = async {
        while !lease.has_ended() {
            engine.tend(&Tending { term, publisher }).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let learnt = tokio::time::timeout(Duration::from_secs(20), learns).await;
    learnt.expect("a look at the opening");
}

#[tokio::test]
async fn the_lease_of_a_sale_is_loaded_while_that_of_another_is() {
    const ME: IncarnationId = IncarnationId(1);
    let rest = SystemAround::new(TestDatabase::sqlite().await);
    let process = Arc::new(process(&rest).unwrap());
    let engine = Preallocated {
        process: process.clone(),
    };
    let terms = [1, 2].map(|sale| Term {
        sale: SaleId(sale),
        epoch: Epoch(1),
        nonce: Nonce(1),
    });
    for term in terms {
        let opening = Opening {
            term,
            granted: 20,
            buyers: Vec::new(),
            publishers: vec![ME],
        };
        rest.grant(&opening).await.unwrap();
        engine.open(&opening).await.unwrap();
    }
    // As if the load of the first had no end.
    let _turn = process.turn_to_load(terms[0].sale).await.unwrap();
    let (term, publisher) = (terms[1], Some(ME));
    engine.tend(&Tending { term, publisher }).await.unwrap();
    assert!(process.loaded(term.sale).is_some());
}

/// A commit without an answer: what the database says decides, and nothing is moved a second time.
#[tokio::test]
async fn a_transfer_of_unknown_outcome_is_looked_up() {
    const ME: IncarnationId = IncarnationId(1);
    for is_committed in [true, false] {
        let rest = SystemAround::new(TestDatabase::sqlite().await);
        let process = Arc::new(process(&rest).unwrap());
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
        // As if the answer to the commit of a refill were lost.
        lease.rights.lock().await.under_way = Some(Transfer::In(3));
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
