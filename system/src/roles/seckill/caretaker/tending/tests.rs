//! Who is tended when, and who is forgotten, with an engine that only takes notes.

use super::*;
use crate::store::{OpenSale, SaleRow};
use engines::{
    AllocationId, EngineInfo, Finish, Finished, Guarantees, HoldKey, HoldPage, HoldPageQuery,
    Nonce, OpenHold, Opened, Opening, Reserve, Result, StockView, Term, Upkeep, Verdict,
};
use std::sync::Mutex;
use std::time::Duration;

/// The sale whose lease cannot be loaded.
const STUCK: SaleId = SaleId(1);

#[derive(Debug, Default)]
struct Notes {
    tended: Mutex<HashMap<SaleId, u32>>,
    retired: Mutex<Vec<(SaleId, Epoch)>>,
}

#[async_trait::async_trait]
impl Upkeep for Notes {
    async fn tend(&self, tending: &Tending) -> Result<u64> {
        let sale = tending.term.sale;
        *self.tended.lock().unwrap().entry(sale).or_default() += 1;
        if sale == STUCK {
            std::future::pending::<()>().await;
        }
        Ok(0)
    }

    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        self.retired.lock().unwrap().push((sale, epoch));
        Ok(())
    }
}

#[async_trait::async_trait]
impl StockEngine for Notes {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: "notes".to_owned(),
            parameters: Vec::new(),
            guarantees: Guarantees::default(),
        }
    }

    async fn open(&self, _: &Opening) -> Result<Opened> {
        unreachable!("only tended and retired")
    }

    async fn reserve(&self, _: &Term, _: &[Reserve]) -> Vec<Result<Verdict>> {
        unreachable!("only tended and retired")
    }

    async fn finish(&self, _: &Term, _: &[Finish]) -> Vec<Result<Finished>> {
        unreachable!("only tended and retired")
    }

    async fn open_holds(&self, _: &Term, _: &HoldPageQuery) -> Result<HoldPage> {
        unreachable!("only tended and retired")
    }

    async fn mark(&self, _: &Term, _: &[HoldKey], _: Duration) -> Result<Vec<OpenHold>> {
        unreachable!("only tended and retired")
    }

    async fn stock(&self, _: &Term) -> Result<StockView> {
        unreachable!("only tended and retired")
    }
}

fn open(sale: i64) -> SaleRow {
    let (sale, epoch) = (SaleId(sale), Epoch(1));
    let nonce = Nonce(1);
    SaleRow {
        sale,
        price_cents: 1,
        starts_at: 0,
        ends_at: 1,
        open: Some(OpenSale {
            term: Term { sale, epoch, nonce },
            allocation_id: AllocationId(1),
        }),
        newest: epoch,
        is_ending: false,
        is_changing: false,
        is_paused: false,
        is_deleted: false,
    }
}

fn sales(rows: impl IntoIterator<Item = SaleRow>) -> Sales {
    Arc::new(rows.into_iter().map(|row| (row.sale, row)).collect())
}

#[tokio::test]
async fn a_sale_that_cannot_be_loaded_keeps_none_of_fifty_others_waiting() {
    let notes = Arc::new(Notes::default());
    let engine: Arc<dyn StockEngine> = notes.clone();
    let (mut tended, sales) = (Tended::default(), sales((1..=50).map(open)));
    let all_twice = async {
        let is_done = |tended: &HashMap<SaleId, u32>| {
            let others = (2..=50).map(|sale| tended.get(&SaleId(sale)).copied());
            others.into_iter().all(|times| times >= Some(2))
        };
        while !is_done(&notes.tended.lock().unwrap()) {
            tended.tend(&engine, &sales, IncarnationId(1)).await;
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(20), all_twice).await;
    done.expect("all others are tended again and again");
    assert_eq!(notes.tended.lock().unwrap()[&STUCK], 1);
}

#[tokio::test]
async fn what_ends_or_is_not_looked_after_any_more_is_forgotten_once() {
    let notes = Arc::new(Notes::default());
    let engine: Arc<dyn StockEngine> = notes.clone();
    let mut tended = Tended::default();
    let before = sales([open(2), open(3), open(4), open(5)]);
    tended.tend(&engine, &before, IncarnationId(1)).await;
    let closed = |sale, is_ending| SaleRow {
        open: None,
        newest: Epoch(2),
        is_ending,
        ..open(sale)
    };
    let after = sales([open(2), closed(3, true), closed(4, false)]);
    for _ in 0..3 {
        tended.retire(engine.as_ref(), &after).await;
    }
    let mut retired = notes.retired.lock().unwrap().clone();
    retired.sort();
    // The third is between two epochs; the fourth is gone.
    assert_eq!(retired, [(SaleId(3), Epoch(2)), (SaleId(5), Epoch(1))]);
}
