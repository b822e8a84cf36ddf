//! The end of a sale: its window is over, everything of it has become rows, and the engine forgets
//! it. Afterwards it costs nothing, until its window moves and the next epoch opens.
//!
//! 1. The sale is seen to be over for the longest publish deadline of any publisher, and no hold of
//!    it is open any more: every order that was granted has its row, a live or a VOID one.
//! 2. Its end claims an epoch, which no opening can then complete (open-by-condition, R14). Where
//!    the stock is in the publishing processes, they are fenced and their queues drained, as for an
//!    opening; where it is in a server, that forgets it in the next step.
//! 3. The engine forgets the sale up to that epoch. Nobody is granted anything from here on.
//! 4. What was granted just before is published within the deadline or never accepted, so once that
//!    has passed again and the queues are drained, every accepted order has its row. Only then the
//!    sale has ended: whoever asks is answered from the rows.
//!
//! Each step may be repeated, and by another reconciler: the row says how far it has come. The
//! allocation of the last epoch stays open, for rows that are late and for cancels.

use super::epochs::Opener;
use crate::back_off::BackOff;
use crate::clock::{monotonic_ms, unix_ms};
use crate::failpoint;
use crate::repair::{Pass, Troubles};
use crate::store::{SaleRow, Store};
use engines::{Epoch, IncarnationId, SaleId};
use std::collections::HashMap;

/// Ends sales, and remembers since when it has waited for each.
#[derive(Debug)]
pub struct Endings {
    /// When a sale was first seen to be over, monotonic ms: neither a clock that jumps nor a window
    /// that was moved into the past ends one at once.
    over_since_ms: HashMap<SaleId, u64>,
    /// With which epoch, and since when, monotonic ms, the engine has forgotten a sale.
    forgotten: HashMap<SaleId, (Epoch, u64)>,
    troubles: Troubles,
}

impl Endings {
    pub fn new() -> Self {
        Self {
            over_since_ms: HashMap::new(),
            forgotten: HashMap::new(),
            troubles: Troubles::new("cannot end a sale yet"),
        }
    }

    /// Takes every sale that is over as far as it will go now. `deadline_ms`: that of this
    /// configuration; the publishers' own count too.
    pub async fn advance(
        &mut self,
        opener: &Opener<'_>,
        deadline_ms: u64,
        back_off: &mut BackOff<IncarnationId>,
    ) -> anyhow::Result<Pass> {
        let now_ms = hour(opener.store).await?;
        opener.store.take_back_moved(now_ms).await?;
        let mut over = opener.store.sales().await?;
        over.retain(|row| row.is_over(now_ms));
        let epochs: HashMap<SaleId, Epoch> =
            over.iter().map(|row| (row.sale, row.newest)).collect();
        self.over_since_ms
            .retain(|sale, _| epochs.contains_key(sale));
        // A claim by anybody else begins it anew.
        self.forgotten
            .retain(|sale, (epoch, _)| epochs.get(sale) == Some(epoch));
        if over.is_empty() {
            return Ok(Pass::default());
        }
        let longest_ms = opener.store.longest_deadline_ms().await?.max(deadline_ms);
        let wait_ms = longest_ms + opener.margin_ms;
        let mut pass = Pass {
            left: over.len() as u64,
            ..Pass::default()
        };
        let is_due = over.iter().any(|row| self.is_due(row, wait_ms));
        // exclusive-route (R6): as for an opening, nothing is claimed and nobody fenced while a queue
        // that has to be drained cannot be reached.
        if !is_due || !opener.are_reachable(back_off).await? {
            return Ok(pass);
        }
        let claimed = self
            .claim(opener, over, (now_ms, wait_ms), back_off)
            .await?;
        self.forget(opener, claimed).await?;
        let ended = self.end(opener, wait_ms, back_off).await?;
        pass.sales_ended += ended;
        pass.left -= ended;
        self.troubles.report();
        Ok(pass)
    }

    /// Whether it has been over, or forgotten, for so long that it may be taken further.
    fn is_due(&mut self, row: &SaleRow, wait_ms: u64) -> bool {
        let seen_ms = monotonic_ms();
        let over_ms = *self.over_since_ms.entry(row.sale).or_insert(seen_ms);
        let forgotten = self.forgotten.get(&row.sale);
        let since_ms = forgotten.map_or(over_ms, |(_, forgotten_ms)| *forgotten_ms);
        seen_ms - since_ms >= wait_ms
    }

    /// Steps 1 and 2: what may be forgotten now, with the epochs that say so.
    async fn claim(
        &mut self,
        opener: &Opener<'_>,
        over: Vec<SaleRow>,
        (now_ms, wait_ms): (i64, u64),
        back_off: &mut BackOff<IncarnationId>,
    ) -> anyhow::Result<Vec<(SaleId, Epoch)>> {
        let mut claimed = Vec::new();
        for row in over {
            if self.forgotten.contains_key(&row.sale) || !self.is_due(&row, wait_ms) {
                continue;
            }
            if row.is_ending {
                claimed.push((row.sale, row.newest));
                continue;
            }
            match is_at_rest(opener, &row).await {
                Ok(true) => {}
                // The consumer settles its holds, or they are voided: not here.
                Ok(false) => continue,
                Err(error) => {
                    self.troubles.add(format!("sale {}: {error}", row.sale));
                    continue;
                }
            }
            if let Some(epoch) = opener.store.claim_end(&row, now_ms).await? {
                failpoint::hit("reconciler.after_end_claim");
                claimed.push((row.sale, epoch));
            }
        }
        if !claimed.is_empty() && opener.engine.info().guarantees.settles_own_holds {
            opener.fence_all().await?;
            opener.drain_all(back_off).await?;
        }
        Ok(claimed)
    }

    /// Step 3.
    async fn forget(
        &mut self,
        opener: &Opener<'_>,
        claimed: Vec<(SaleId, Epoch)>,
    ) -> anyhow::Result<()> {
        for (sale, epoch) in claimed {
            match opener.engine.retire(sale, epoch).await {
                Ok(()) => {
                    failpoint::hit("reconciler.after_forget");
                    self.forgotten.insert(sale, (epoch, monotonic_ms()));
                }
                Err(error) => self.troubles.add(format!("sale {sale}: {error}")),
            }
        }
        Ok(())
    }

    /// Step 4; how many have ended.
    async fn end(
        &mut self,
        opener: &Opener<'_>,
        wait_ms: u64,
        back_off: &mut BackOff<IncarnationId>,
    ) -> anyhow::Result<u64> {
        let now_ms = monotonic_ms();
        let is_ripe = |since_ms: u64| now_ms - since_ms >= wait_ms;
        let ripe = self.forgotten.iter().filter(|(_, (_, at))| is_ripe(*at));
        let ripe: Vec<_> = ripe.map(|(sale, (epoch, _))| (*sale, *epoch)).collect();
        if ripe.is_empty() {
            return Ok(0);
        }
        opener.drain_all(back_off).await?;
        failpoint::hit("reconciler.before_end");
        let hour_ms = hour(opener.store).await?;
        let mut ended = 0;
        for (sale, epoch) in ripe {
            self.forgotten.remove(&sale);
            if opener.store.end_sale(sale, epoch, hour_ms).await? {
                ended += 1;
                failpoint::hit("reconciler.after_end");
            }
        }
        tracing::info!(ended, "sales have ended, and the engine has forgotten them");
        Ok(ended)
    }
}

/// What it is at least, by the database's clock and by this one, unix ms: a clock that leapt forward
/// ends no sale, and cancels no order.
pub(super) async fn hour(store: &Store) -> database::Result<i64> {
    Ok(store.now_ms().await?.min(unix_ms()))
}

/// Whether every order that was granted has a row. Where processes keep their own holds only they
/// know; they are fenced and drained instead.
async fn is_at_rest(opener: &Opener<'_>, row: &SaleRow) -> engines::Result<bool> {
    let guarantees = opener.engine.info().guarantees;
    let Some(open) = row.open else {
        return Ok(true);
    };
    if !guarantees.keeps_stock || guarantees.settles_own_holds {
        return Ok(true);
    }
    let stock = opener.engine.stock(&open.term).await?;
    Ok(!stock.is_open || stock.open_units == 0)
}

#[cfg(test)]
mod tests;
