//! The parts of the system that an engine with leases relies on, played in its database: the
//! opener's grant, the consumer's rows under the guard, cancels, cancel-moves-the-right (R15), and
//! voids, void-before-release (R9). Nothing here knows the engine.

use super::test_database::TestDatabase;
use crate::{
    EngineError, EngineInfo, Epoch, Finish, FinishKind, Finished, HoldKey, HoldPage, HoldPageQuery,
    IncarnationId, OpenHold, Opened, Opening, OpeningBuyer, OrderId, Reserve, Result, SaleId,
    StockEngine, StockView, Tending, Term, Upkeep, UserId, Verdict,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TO_PAY: i64 = 0;
const CANCELLED: i64 = 2;
const VOID: i64 = 4;
/// Units of a buyer from long ago, whom only the engine's check of its block sees.
const SOLD_LONG_AGO: u32 = 100_000;

/// One of so many pairs of orders is settled late: after the releases that are under way, which
/// overtake the settle.
const LATE_EVERY: i64 = 4;

type Granted = HashMap<(SaleId, OrderId), (i64, u32)>;

/// What the clients of one system have in common.
#[derive(Clone, Debug)]
pub struct SystemAround {
    /// Where its rows are.
    pub database: Arc<TestDatabase>,
    /// The allocation that each granted order counts against, and its units.
    granted: Arc<Mutex<Granted>>,
    /// The consumers take turns.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Read by whoever releases; a late settle has to write.
    releases: Arc<tokio::sync::RwLock<()>>,
}

/// An engine with the rest of the system around it.
#[derive(Debug)]
struct EngineInSystem {
    engine: Arc<dyn StockEngine>,
    system: SystemAround,
}

impl SystemAround {
    /// A system whose tables are in `database`.
    pub fn new(database: Arc<TestDatabase>) -> Self {
        Self {
            database,
            granted: Arc::default(),
            turn: Arc::default(),
            releases: Arc::default(),
        }
    }

    /// The engine as the rest of the crate's tests see it: each order that it grants gets its row.
    pub fn around(&self, engine: Arc<dyn StockEngine>) -> Arc<dyn StockEngine> {
        Arc::new(EngineInSystem {
            engine,
            system: self.clone(),
        })
    }

    /// Closes what the sale had and grants the new epoch to its pool; the live rows are those of
    /// the opening.
    pub async fn grant(&self, opening: &Opening) -> Result<()> {
        let (sale, epoch, granted) = (opening.term.sale, opening.term.epoch, opening.granted);
        let mut script = vec![
            format!(
                "UPDATE allocations SET granted = sold, idle = 0, state = 'closed' WHERE product_id = {sale}"
            ),
            format!("DELETE FROM allocations WHERE product_id = {sale} AND epoch = {epoch}"),
            format!("DELETE FROM orders WHERE product_id = {sale}"),
            format!(
                "INSERT INTO allocations (product_id, epoch, granted) VALUES ({sale}, {epoch}, {granted})"
            ),
        ];
        // Everything was drained: what of it became no live row never will.
        self.granted
            .lock()
            .unwrap()
            .retain(|(of, _), _| *of != sale);
        let row = |buyer: &OpeningBuyer| {
            row(
                opening.term,
                buyer.order,
                buyer.user,
                buyer.quantity,
                0,
                TO_PAY,
            )
        };
        for buyers in opening.buyers.chunks(1_000) {
            script.push(insert(buyers.iter().map(row)));
        }
        self.database.transaction(&script).await.map_err(failed)
    }

    /// What the database makes of `batch`; for each item whether the engine hears of it.
    async fn rows_of(&self, term: &Term, batch: &[Finish]) -> Result<Vec<bool>> {
        let sale = term.sale;
        let ids = batch
            .iter()
            .map(|item| item.order.0.to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!(
            "SELECT order_id, status, allocation_id, quantity FROM orders WHERE product_id = {sale} AND order_id IN ({ids})"
        );
        let mut rows: HashMap<i64, (i64, i64, u32)> = HashMap::new();
        for [order, status, allocation, quantity] in
            self.database.rows::<4>(&sql).await.map_err(failed)?
        {
            rows.insert(order, (status, allocation, quantity as u32));
        }
        let (mut inserts, mut cancels) = (BTreeMap::new(), Vec::new());
        // By allocation: how `sold` and `granted` change. The pool has no entry of its own in the
        // rows.
        let mut counts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        let mut to_pool = 0;
        let mut passes = Vec::with_capacity(batch.len());
        for item in batch {
            let granted = self
                .granted
                .lock()
                .unwrap()
                .get(&(sale, item.order))
                .copied();
            let known = rows.get(&item.order.0).copied();
            match (item.kind, known, granted) {
                (FinishKind::Settle, None, Some((allocation, quantity))) => {
                    rows.insert(item.order.0, (TO_PAY, allocation, quantity));
                    inserts.insert(
                        item.order,
                        row(*term, item.order, item.user, quantity, allocation, TO_PAY),
                    );
                    counts.entry(allocation).or_default().0 += i64::from(quantity);
                }
                (FinishKind::Release, None, Some((allocation, quantity))) => {
                    rows.insert(item.order.0, (VOID, allocation, quantity));
                    inserts.insert(
                        item.order,
                        row(*term, item.order, item.user, quantity, allocation, VOID),
                    );
                }
                (FinishKind::Release, Some((TO_PAY, allocation, quantity)), _) => {
                    let units = i64::from(quantity);
                    rows.insert(item.order.0, (CANCELLED, allocation, quantity));
                    cancels.push(item.order.0.to_string());
                    let count = counts.entry(allocation).or_default();
                    (count.0, count.1) = (count.0 - units, count.1 - units);
                    to_pool += units;
                }
                _ => {}
            }
            // A consumer settles only what it saw live: void-before-release (R9).
            let is_void = rows
                .get(&item.order.0)
                .is_some_and(|(status, ..)| *status == VOID);
            passes.push(item.kind == FinishKind::Release || !is_void);
        }
        let mut script = Vec::new();
        if !inserts.is_empty() {
            script.push(insert(inserts.into_values()));
        }
        if !cancels.is_empty() {
            let ids = cancels.join(", ");
            script.push(format!(
                "UPDATE orders SET status = {CANCELLED}, live = NULL WHERE product_id = {sale} AND order_id IN ({ids})"
            ));
        }
        self.count(term, &mut script, &counts, to_pool);
        if !script.is_empty() {
            self.database.transaction(&script).await.map_err(failed)?;
        }
        Ok(passes)
    }

    /// Counts rows and cancels: cancel-moves-the-right (R15). The guard is the table's check that
    /// no more is sold than granted.
    fn count(
        &self,
        term: &Term,
        script: &mut Vec<String>,
        counts: &BTreeMap<i64, (i64, i64)>,
        to_pool: i64,
    ) {
        if to_pool > 0 {
            script.push(format!(
                "UPDATE allocations SET granted = granted + {to_pool} WHERE product_id = {} AND epoch = {} AND
                 holder = 'pool' AND state = 'open'",
                term.sale, term.epoch
            ));
        }
        for (allocation, (sold, granted)) in counts {
            script.push(format!(
                "UPDATE allocations SET sold = sold + {sold}, granted = granted + {granted} WHERE id = {allocation}"
            ));
        }
    }
}

fn row(
    term: Term,
    order: OrderId,
    user: UserId,
    quantity: u32,
    allocation: i64,
    status: i64,
) -> String {
    let live = if status == TO_PAY { "1" } else { "NULL" };
    format!(
        "({order}, {user}, {}, {quantity}, {allocation}, {status}, {live})",
        term.sale
    )
}

fn insert(rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<_> = rows.collect();
    format!(
        "INSERT INTO orders (order_id, user_id, product_id, quantity, allocation_id, status, live) VALUES {}",
        rows.join(", ")
    )
}

fn failed(error: String) -> EngineError {
    EngineError::Protocol(format!("the rest of the system: {error}"))
}

#[async_trait::async_trait]
impl StockEngine for EngineInSystem {
    fn info(&self) -> EngineInfo {
        self.engine.info()
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        let newest = self.engine.stock(&opening.term).await?.epoch;
        if newest.is_none_or(|newest| newest < opening.term.epoch) {
            self.system.grant(opening).await?;
        }
        let mut opening = opening.clone();
        let (user, order) = (UserId(i64::MAX), OrderId(i64::MAX));
        opening.buyers.push(OpeningBuyer {
            user,
            order,
            quantity: SOLD_LONG_AGO,
        });
        self.engine.open(&opening).await
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let verdicts = self.engine.reserve(term, batch).await;
        let mut granted = self.system.granted.lock().unwrap();
        for (item, verdict) in batch.iter().zip(&verdicts) {
            if let Ok(Verdict::Granted {
                allocation: Some(allocation),
            }) = verdict
            {
                granted.insert((term.sale, item.order), (allocation.0, item.quantity));
            }
        }
        verdicts
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        let releases = batch.iter().any(|item| item.kind == FinishKind::Release);
        let _releasing = if releases {
            Some(self.system.releases.read().await)
        } else {
            None
        };
        let passes = {
            let _turn = self.system.turn.lock().await;
            let passes = async {
                let is_open = !batch.is_empty() && self.engine.stock(term).await?.is_open;
                if is_open {
                    self.system.rows_of(term, batch).await
                } else {
                    Ok(vec![true; batch.len()])
                }
            };
            match passes.await {
                Ok(passes) => passes,
                Err(error) => {
                    let again = |_| Err(EngineError::Protocol(error.to_string()));
                    return batch.iter().map(again).collect();
                }
            }
        };
        if let [only] = batch
            && only.kind == FinishKind::Settle
            && only.order.0 / 2 % LATE_EVERY == 0
        {
            drop(self.system.releases.write().await);
        }
        let passed: Vec<_> = batch
            .iter()
            .zip(&passes)
            .filter(|(_, passes)| **passes)
            .map(|(item, _)| *item)
            .collect();
        let mut finished = self.engine.finish(term, &passed).await.into_iter();
        let answer = |passes| {
            if passes {
                finished.next().unwrap()
            } else {
                Ok(Finished::AlreadyDone)
            }
        };
        passes.into_iter().map(answer).collect()
    }

    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        self.engine.open_holds(term, page).await
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        self.engine.mark(term, holds, age).await
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        self.engine.stock(term).await
    }
}

#[async_trait::async_trait]
impl Upkeep for EngineInSystem {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        self.engine.check_server(allow_volatile).await
    }

    async fn tend(&self, tending: &Tending) -> Result<u64> {
        self.engine.tend(tending).await
    }

    async fn hand_back(&self, publisher: IncarnationId) -> Result<()> {
        self.engine.hand_back(publisher).await
    }

    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        self.engine.retire(sale, epoch).await
    }
}
