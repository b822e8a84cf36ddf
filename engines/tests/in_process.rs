//! An engine with its state in one process and no dealing of buyers is held to the contract too: a
//! plain map behind a lock, which needs one engine object per process and settles its own holds.
//!
//! Whoever opens it here has the same object as who sells, so this shows that the contract can be
//! kept, not that such an engine can be opened from another process: that takes a row that the
//! selling process finds when it tends, as docs/your-own-engine.md tells.

use engines::conformance::{self, Harness, Subject};
use engines::{
    EngineError, EngineInfo, Epoch, Finish, FinishKind, Finished, Guarantees, Hold, HoldKey,
    HoldPage, HoldPageQuery, OpenHold, Opened, Opening, OrderId, Reserve, Result, SaleId,
    StockEngine, StockView, Term, Upkeep, UserId, Verdict,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Checks of the contract that it is held to: all but those of engines that deal their buyers, that
/// outlive their process, and that notice a lost server.
const CHECKS: usize = 48;

#[derive(Debug)]
struct Sale {
    term: Term,
    remaining: u64,
    gate: HashMap<UserId, (OrderId, u32)>,
    holds: BTreeMap<OrderId, OpenHold>,
}

impl Sale {
    fn reserve(&mut self, item: &Reserve, now_ms: i64) -> Result<Verdict> {
        if item.quantity == 0 {
            return Err(EngineError::Config("a reserve of 0 units".to_owned()));
        }
        if now_ms > item.expires_at_ms {
            return Ok(Verdict::Expired);
        }
        if let Some(&(order, quantity)) = self.gate.get(&item.user) {
            let held = self.holds.get_mut(&order);
            let settled = held.is_none();
            if let Some(hold) = held {
                if hold.marked {
                    return Ok(Verdict::Busy);
                }
                hold.touched_at_ms = now_ms;
                if !hold.touched_by.contains(&item.incarnation) {
                    hold.touched_by.push(item.incarnation);
                }
            }
            return Ok(Verdict::Duplicate(Hold {
                order,
                quantity,
                settled,
                allocation: None,
            }));
        }
        if !item.may_sell {
            return Ok(Verdict::NoOrder);
        }
        let Some(rest) = self.remaining.checked_sub(item.quantity.into()) else {
            return Ok(Verdict::SoldOut {
                remaining: self.remaining,
            });
        };
        self.remaining = rest;
        self.gate.insert(item.user, (item.order, item.quantity));
        let hold = OpenHold {
            order: item.order,
            user: item.user,
            quantity: item.quantity,
            touched_at_ms: now_ms,
            age_ms: 0,
            touched_by: vec![item.incarnation],
            marked: false,
        };
        self.holds.insert(item.order, hold);
        Ok(Verdict::GRANTED)
    }

    fn finish(&mut self, item: &Finish) -> Finished {
        let gate = self.gate.get(&item.user);
        let Some(&(_, quantity)) = gate.filter(|(order, _)| *order == item.order) else {
            return Finished::AlreadyDone;
        };
        let was_open = self.holds.remove(&item.order).is_some();
        if item.kind == FinishKind::Release {
            self.gate.remove(&item.user);
            self.remaining += u64::from(quantity);
            return Finished::Done;
        }
        if was_open {
            Finished::Done
        } else {
            Finished::AlreadyDone
        }
    }

    fn aged(hold: &OpenHold, now_ms: i64) -> OpenHold {
        OpenHold {
            age_ms: now_ms.abs_diff(hold.touched_at_ms),
            ..hold.clone()
        }
    }
}

#[derive(Debug, Default)]
struct InProcess(Mutex<HashMap<SaleId, Sale>>, Mutex<HashMap<SaleId, Epoch>>);

impl InProcess {
    fn sales(&self) -> MutexGuard<'_, HashMap<SaleId, Sale>> {
        self.0.lock().unwrap()
    }

    /// Retired sales, with their last epochs.
    fn over(&self) -> MutexGuard<'_, HashMap<SaleId, Epoch>> {
        self.1.lock().unwrap()
    }

    /// `call` on the sale if `term` is its open one.
    fn on<T>(&self, term: &Term, call: impl FnOnce(&mut Sale) -> T) -> Option<T> {
        let mut sales = self.sales();
        let sale = sales.get_mut(&term.sale)?;
        (sale.term == *term).then(|| call(sale))
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[async_trait::async_trait]
impl StockEngine for InProcess {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: "in-process".to_owned(),
            parameters: Vec::new(),
            guarantees: Guarantees {
                keeps_stock: true,
                needs_one_engine_per_process: true,
                settles_own_holds: true,
                ..Guarantees::default()
            },
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        let (mut sales, term) = (self.sales(), opening.term);
        if let Some(known) = sales.get(&term.sale).map(|sale| sale.term) {
            if known == term {
                return Ok(Opened::AlreadyOpen);
            }
            if known.epoch >= term.epoch {
                return Ok(Opened::Stale {
                    newest: known.epoch,
                });
            }
        }
        let over = self.over().get(&term.sale).copied();
        if let Some(newest) = over.filter(|over| *over >= term.epoch) {
            return Ok(Opened::Stale { newest });
        }
        let buyers = opening.buyers.iter();
        let gate = buyers.map(|buyer| (buyer.user, (buyer.order, buyer.quantity)));
        let sale = Sale {
            term,
            remaining: opening.granted,
            gate: gate.collect(),
            holds: BTreeMap::new(),
        };
        sales.insert(term.sale, sale);
        Ok(Opened::Opened)
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let now_ms = now_ms();
        let judge = |sale: &mut Sale| {
            let verdicts = batch.iter().map(|item| sale.reserve(item, now_ms));
            verdicts.collect()
        };
        let not_open = || batch.iter().map(|_| Ok(Verdict::NotOpen)).collect();
        self.on(term, judge).unwrap_or_else(not_open)
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        let finish = |sale: &mut Sale| batch.iter().map(|item| Ok(sale.finish(item))).collect();
        let not_open = || batch.iter().map(|_| Ok(Finished::NotOpen)).collect();
        self.on(term, finish).unwrap_or_else(not_open)
    }

    /// The cursor is the last order of the page before.
    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let (now_ms, limit) = (now_ms(), page.limit as usize);
        let first = OrderId(i64::try_from(page.cursor).unwrap_or(i64::MAX) + 1);
        let list = |sale: &mut Sale| {
            let holds: Vec<_> = sale.holds.range(first..).take(limit).collect();
            let next = holds.last().filter(|_| holds.len() == limit);
            let next = next.map(|(order, _)| order.0.unsigned_abs());
            let holds = holds.iter().map(|(_, hold)| Sale::aged(hold, now_ms));
            let is_old = |hold: &OpenHold| u128::from(hold.age_ms) >= page.age.as_millis();
            let holds = holds.filter(is_old).collect();
            HoldPage { holds, next }
        };
        self.on(term, list)
            .ok_or_else(|| EngineError::not_open(term))
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        let now_ms = now_ms();
        let mark = |sale: &mut Sale| {
            let one = |key: &HoldKey| {
                let hold = sale.holds.get_mut(&key.order)?;
                if hold.user != key.user {
                    return None;
                }
                let aged = Sale::aged(hold, now_ms);
                hold.marked |= u128::from(aged.age_ms) >= age.as_millis();
                hold.marked.then(|| Sale::aged(hold, now_ms))
            };
            holds.iter().filter_map(one).collect()
        };
        self.on(term, mark)
            .ok_or_else(|| EngineError::not_open(term))
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let mut view = StockView {
            clock_ms: now_ms(),
            ..StockView::default()
        };
        if let Some(sale) = self.sales().get(&term.sale) {
            view.remaining = i64::try_from(sale.remaining).unwrap_or(i64::MAX);
            view.open_units = sale
                .holds
                .values()
                .map(|hold| u64::from(hold.quantity))
                .sum();
            view.epoch = Some(Epoch(sale.term.epoch.0));
            view.is_open = sale.term == *term;
        }
        Ok(view)
    }
}

#[async_trait::async_trait]
impl Upkeep for InProcess {
    async fn retire(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        let is_later = |known: &Sale| known.term.epoch > epoch;
        if !self.sales().get(&sale).is_some_and(is_later) {
            self.sales().remove(&sale);
            self.over().insert(sale, epoch);
        }
        Ok(())
    }
}

/// There is one process, so every client has the same object.
struct OneProcess(Arc<InProcess>);

#[async_trait::async_trait]
impl Subject for OneProcess {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        Ok(self.0.clone())
    }

    /// It has no server.
    async fn let_forget(&self, _may_forget: bool) -> std::result::Result<bool, String> {
        Ok(false)
    }
}

#[tokio::test]
async fn an_engine_in_one_process_keeps_the_contract_without_dealing_its_buyers() {
    let subject = OneProcess(Arc::new(InProcess::default()));
    match conformance::run_all(&Harness::new(subject)).await {
        Ok(passed) => assert_eq!(passed, CHECKS),
        Err(failure) => panic!("{failure}"),
    }
}
