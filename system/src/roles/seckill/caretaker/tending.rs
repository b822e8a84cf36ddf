//! Tends the open sales, several at a time, and has the engine forget those that are over.

use crate::repair::Troubles;
use crate::terms::Sales;
use engines::{Epoch, IncarnationId, SaleId, StockEngine, Tending};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Sales tended at the same time: the first look at one loads its lease and its gate, for which the
/// others do not wait.
const AT_ONCE: usize = 16;

/// How tending a sale ended.
type Cared = (SaleId, engines::Result<u64>);

/// The sales that this process may have something of in its memory.
#[derive(Debug)]
pub struct Tended {
    /// With the newest epoch that was tended.
    sales: HashMap<SaleId, Epoch>,
    under_way: JoinSet<Cared>,
    /// The sales of `under_way`.
    busy: HashSet<SaleId>,
    untended: Troubles,
    unretired: Troubles,
}

impl Default for Tended {
    fn default() -> Self {
        Self {
            sales: HashMap::new(),
            under_way: JoinSet::new(),
            busy: HashSet::new(),
            untended: Troubles::new("cannot tend a sale"),
            unretired: Troubles::new("cannot forget a sale that is over"),
        }
    }
}

impl Tended {
    /// Begins to tend every open sale that is not being tended still.
    pub async fn tend(
        &mut self,
        engine: &Arc<dyn StockEngine>,
        sales: &Sales,
        publisher: IncarnationId,
    ) {
        while let Some(cared) = self.under_way.try_join_next() {
            self.conclude(cared);
        }
        for term in sales.values().filter_map(|row| Some(row.open?.term)) {
            if !self.busy.insert(term.sale) {
                continue;
            }
            if self.under_way.len() >= AT_ONCE
                && let Some(cared) = self.under_way.join_next().await
            {
                self.conclude(cared);
            }
            self.sales.insert(term.sale, term.epoch);
            let (engine, publisher) = (engine.clone(), Some(publisher));
            self.under_way.spawn(async move {
                let tended = engine.tend(&Tending { term, publisher }).await;
                (term.sale, tended)
            });
        }
    }

    fn conclude(&mut self, cared: Result<Cared, tokio::task::JoinError>) {
        match cared {
            Ok((sale, tended)) => {
                self.busy.remove(&sale);
                if let Err(error) = tended {
                    self.untended.add(format!("sale {sale}: {error}"));
                }
            }
            // It does not say which sale it was, so that all of them are tended again.
            Err(error) => {
                self.busy.clear();
                self.untended.add(error);
            }
        }
    }

    /// Forgets what is over: a sale whose row says that it ends, or that is not looked after any
    /// more. One that is between two epochs is not over.
    pub async fn retire(&mut self, engine: &dyn StockEngine, sales: &Sales) {
        let over: Vec<(SaleId, Epoch)> = self
            .sales
            .iter()
            .filter_map(|(sale, epoch)| match sales.get(sale) {
                Some(row) => row.is_ending.then_some((*sale, row.newest)),
                None => Some((*sale, *epoch)),
            })
            .collect();
        for (sale, epoch) in over {
            match engine.retire(sale, epoch).await {
                Ok(()) => {
                    self.sales.remove(&sale);
                }
                Err(error) => self.unretired.add(format!("sale {sale}: {error}")),
            }
        }
    }

    /// Tells of what went wrong, in one line of each kind.
    pub fn report(&mut self) {
        self.untended.report();
        self.unretired.report();
    }
}

#[cfg(test)]
mod tests;
