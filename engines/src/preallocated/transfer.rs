//! A lease's transfers: when to fetch units, and what became of a transfer that was interrupted.
//!
//! Units are in one place at most: units-in-one-place (R16). On their way *in* the database is
//! first: they are the lease's there, and only when that is committed are they put into memory. On
//! their way *out* memory is first: they are taken from it, and then the database gives them to the
//! pool. In between they are nowhere, and nobody can sell them.
//!
//! One transfer at a time. All of this holds the lease's [`Rights`], and these fields:
//! - `under_way` is noted before the first write and struck out when the outcome is known. A commit
//!   without an answer, or a task that was ended, leaves the note, and the next transfer begins by
//!   looking up what became of it ([`Lease::resolve`]). Until then its units stay out of memory.
//! - `moves` counts the committed transfers. Each adds one to the number in the lease's row, and
//!   only if it finds the number that it knows.
//! - `idle_at_most`: whenever no transfer is under way, units in memory ≤ `idle` in the lease's row ≤
//!   `idle_at_most`. The first half is what others rely on before they say sold out:
//!   sold-out-means-gone (R18). That is why released units go to the pool and not back into memory.
//!   The second half tells when the row may promise units that were sold meanwhile, and for which
//!   somebody may be waiting.
//!
//! Why the look-up is right: a commit is sent only after every statement before it was answered. At
//! that moment its transaction holds the lease's row, so a read that locks the row waits until the
//! transaction is over. If the number in the row still is `moves` then, the transfer was not
//! committed and never will be; if it is one more, it was. Any other number means that somebody else
//! moves rights of this lease.

use super::lease::Lease;
use super::rights::{Rights, Transfer};
use super::rows::Moved;
use super::stock::Look;
use crate::{EngineError, Result};
use database::Database;
use std::time::Instant;

impl Lease {
    /// Sees to it that memory has `short` units if the pool can give them, at least `block` at a
    /// time; what was seen then, by a look begun after `since`. `None`: over.
    pub(super) async fn fetch(
        &self,
        rights: &mut Rights,
        database: &Database,
        short: u64,
        block: u64,
        since: Instant,
    ) -> Result<Option<Look>> {
        self.resolve(rights, database).await?;
        if let Moved::Over = self.give(rights, database, 0).await? {
            return Ok(None);
        }
        // Whoever waited for the rights while somebody else looked shares that look.
        if let Some(look) = rights
            .last_look
            .filter(|look| look.begun >= since && look.elsewhere.available() == 0)
        {
            return Ok(Some(look));
        }
        let (begun, here_at_most) = (Instant::now(), self.stock.units());
        let wants_below = rights.wants_below(self.rows.incarnation);
        let looked = self.rows.look(database, &mut rights.wants, wants_below);
        let Some(elsewhere) = looked.await? else {
            return Ok(None);
        };
        let mut look = Look {
            begun,
            here_at_most,
            elsewhere,
        };
        if elsewhere.available() > 0 && self.stock.units() < short {
            match self.refill(rights, database, block.max(short)).await? {
                Moved::Done(after) | Moved::Nothing(after) => look = after,
                Moved::Over => return Ok(None),
            }
        }
        rights.last_look = Some(look);
        Ok(Some(look))
    }

    /// Rights in, the database first; what was seen in that transaction.
    async fn refill(
        &self,
        rights: &mut Rights,
        database: &Database,
        units: u64,
    ) -> Result<Moved<Look>> {
        let wants_below = rights.wants_below(self.rows.incarnation);
        let (begun, moves, idle) = (Instant::now(), rights.moves, self.stock.units());
        let under_way = &mut rights.under_way;
        let mut coming = 0;
        let about_to = |taken| {
            coming = taken;
            *under_way = Some(Transfer::In(taken));
        };
        let moved = self
            .rows
            .refill(
                database,
                moves,
                (&mut rights.wants, wants_below),
                (units, idle),
                about_to,
            )
            .await;
        if let Ok(Moved::Done(_)) = moved {
            rights.want = None;
        }
        let look = |elsewhere, coming| Look {
            begun,
            here_at_most: idle + coming,
            elsewhere,
        };
        let seen = match moved {
            Ok(Moved::Done(elsewhere)) => Ok(Moved::Done(look(elsewhere, coming))),
            Ok(Moved::Nothing(elsewhere)) => Ok(Moved::Nothing(look(elsewhere, 0))),
            Ok(Moved::Over) => Ok(Moved::Over),
            Err(error) => Err(error),
        };
        self.conclude(rights, seen)
    }

    /// Rights out, memory first: up to `units` of it, together with those of released holds.
    pub(super) async fn give(
        &self,
        rights: &mut Rights,
        database: &Database,
        units: u64,
    ) -> Result<Moved<u64>> {
        let orders = self.released().clone();
        let units = self.stock.take_up_to(units);
        if units == 0 && orders.is_empty() {
            return Ok(Moved::Nothing(0));
        }
        rights.under_way = Some(Transfer::Out {
            units,
            orders: orders.len(),
        });
        let idle = self.stock.units();
        let moved = self
            .rows
            .give(database, rights.moves, (units, idle), &orders)
            .await;
        self.conclude(rights, moved)
    }

    /// Strikes the transfer out unless its outcome is unknown.
    fn conclude<T>(&self, rights: &mut Rights, moved: Result<Moved<T>>) -> Result<Moved<T>> {
        match &moved {
            Ok(Moved::Done(_)) => self.strike_out(rights, true),
            // Nothing was moved because every released order was counted: they are done with all
            // the same.
            Ok(Moved::Nothing(_)) => {
                if let Some(Transfer::Out { orders, .. }) = rights.under_way.take() {
                    self.released().drain(..orders);
                }
            }
            Ok(Moved::Over) => self.strike_out(rights, false),
            Err(error) if !error.is_unknown() => self.strike_out(rights, false),
            Err(_) => {}
        }
        moved
    }

    fn strike_out(&self, rights: &mut Rights, is_committed: bool) {
        rights.last_look = None;
        rights.moves += i64::from(is_committed);
        match (rights.under_way.take(), is_committed) {
            (Some(Transfer::In(units)), true) => {
                rights.idle_at_most += units;
                self.stock.put(units);
            }
            (Some(Transfer::Out { orders, .. }), true) => drop(self.released().drain(..orders)),
            (Some(Transfer::Out { units, .. }), false) => self.stock.put(units),
            _ => {}
        }
    }

    /// Finds out what became of a transfer that was interrupted.
    pub(super) async fn resolve(&self, rights: &mut Rights, database: &Database) -> Result<()> {
        if rights.under_way.is_none() {
            return Ok(());
        }
        let moves = self.rows.moves(database).await?;
        if moves != rights.moves && moves != rights.moves + 1 {
            return Err(EngineError::Protocol(format!(
                "allocation {} was moved by somebody else; all threads of a process must share one engine",
                self.rows.lease
            )));
        }
        self.strike_out(rights, moves > rights.moves);
        Ok(())
    }

    /// Tells the others that we lack units; they see it when they tend their leases.
    pub(super) async fn ask_others(
        &self,
        rights: &mut Rights,
        database: &Database,
        short: u64,
    ) -> Result<()> {
        let want = short.saturating_sub(self.stock.units()).max(1);
        if want > rights.want() {
            self.rows.want(database, want).await?;
            rights.want = Some((Instant::now(), want));
        }
        Ok(())
    }
}
