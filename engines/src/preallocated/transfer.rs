//! A lease's transfers: when to fetch units, when to let go of them, and what became of one that
//! was interrupted.
//!
//! A transfer is noted before its first write and struck out when its outcome is known. A commit
//! without an answer, or a task that is ended, leaves the note; the next transfer begins by looking
//! up whether that one was committed.

use super::lease::Lease;
use super::rights::{Moved, Seen, WANT_TTL_MS};
use crate::{EngineError, Result};
use database::Database;
use std::time::{Duration, Instant};

/// How often a process looks whether others starve; several times within what they wait.
const TEND_EVERY: Duration = Duration::from_millis(25);
/// How often it says that it lives, and how much it has idle.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long a want counts for who wrote it; shorter than for those who read it, so that it is
/// renewed in time.
const WANT_LASTS: Duration = Duration::from_millis(WANT_TTL_MS.unsigned_abs() / 2);

/// What is known of the lease's rows, and of the transfer under way.
#[derive(Debug)]
pub struct Rights {
    /// Transfers committed so far.
    moves: i64,
    under_way: Option<Transfer>,
    /// The last look and when it began, if no units came or went since.
    seen: Option<(Instant, Seen)>,
    /// Units that we told others we lack, and when.
    want: Option<(Instant, u64)>,
    /// The database has no more than this as idle.
    idle_at_most: u64,
    tended_at: Option<Instant>,
    reported_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Transfer {
    /// Units that come into memory if it is committed.
    In(u64),
    /// Units that go back into memory if it is not, and as many released orders that are done with
    /// if it is.
    Out { units: u64, orders: usize },
}

impl Rights {
    pub fn new(moves: i64) -> Self {
        Self {
            moves,
            under_way: None,
            seen: None,
            want: None,
            idle_at_most: 0,
            tended_at: None,
            reported_at: None,
        }
    }

    /// As if the answer to the commit of a refill of `units` were lost.
    #[cfg(test)]
    pub fn leave_under_way(&mut self, units: u64) {
        self.under_way = Some(Transfer::In(units));
    }

    /// Of two that starve at once the one with the smaller id goes first, and the other hands it
    /// what it has.
    fn wants_below(&self, incarnation: i64) -> i64 {
        if self.want() > 0 {
            incarnation
        } else {
            i64::MAX
        }
    }

    /// Units that others still know we lack.
    fn want(&self) -> u64 {
        self.want
            .filter(|(at, _)| at.elapsed() < WANT_LASTS)
            .map_or(0, |(_, units)| units)
    }
}

impl Lease {
    /// Sees to it that memory has `short` units if the pool can give them, at least `block` at a
    /// time; what is elsewhere then, by a read begun after `since`. `None`: over.
    pub(super) async fn fetch(
        &self,
        rights: &mut Rights,
        database: &Database,
        short: u64,
        block: u64,
        since: Instant,
    ) -> Result<Option<Seen>> {
        self.resolve(rights, database).await?;
        if let Moved::Over = self.give(rights, database, 0).await? {
            return Ok(None);
        }
        // Everybody who waited for the rights while somebody else looked shares what he saw.
        if let Some((_, seen)) = rights
            .seen
            .filter(|(at, seen)| *at >= since && seen.available() == 0)
        {
            return Ok(Some(seen));
        }
        let begun = Instant::now();
        let wants_below = rights.wants_below(self.rows.incarnation);
        let Some(mut seen) = self.rows.look(database, wants_below).await? else {
            return Ok(None);
        };
        if seen.available() > 0 && self.stock.units() < short {
            match self.refill(rights, database, block.max(short)).await? {
                Moved::Done(after) | Moved::Nothing(after) => seen = after,
                Moved::Over => return Ok(None),
            }
        }
        rights.seen = Some((begun, seen));
        Ok(Some(seen))
    }

    /// Rights in: the database first (R16).
    async fn refill(
        &self,
        rights: &mut Rights,
        database: &Database,
        units: u64,
    ) -> Result<Moved<Seen>> {
        let wants_below = rights.wants_below(self.rows.incarnation);
        let (moves, idle) = (rights.moves, self.stock.units());
        let under_way = &mut rights.under_way;
        let about_to = |taken| *under_way = Some(Transfer::In(taken));
        let moved = self
            .rows
            .refill(database, moves, wants_below, (units, idle), about_to)
            .await;
        if let Ok(Moved::Done(_)) = moved {
            rights.want = None;
        }
        self.conclude(rights, moved)
    }

    /// Rights out: up to `units` leave memory before the database gets them (R16), together with
    /// those of released holds. These go to the pool and not back into memory, because the idle
    /// units that others see must never be fewer than those in memory.
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
        rights.seen = None;
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

    /// Moves the units of holds that were just released, or leaves them to the next who holds the
    /// rights.
    pub async fn flush(&self, database: &Database) -> Result<()> {
        if self.released().is_empty() {
            return Ok(());
        }
        let mut rights = self.rights().await?;
        self.resolve(&mut rights, database).await?;
        if let Moved::Over = self.give(&mut rights, database, 0).await? {
            self.close();
        }
        Ok(())
    }

    /// Regular care: what was interrupted, a refill below half a block, the wants of others, the
    /// heartbeat. How many things were moved.
    pub async fn tend(&self, database: &Database, block: u64) -> Result<u64> {
        // Whoever has the rights sees to the same things.
        let Ok(mut rights) = self.rights.try_lock() else {
            return Ok(0);
        };
        if self.has_ended() || !self.owns_partitions() {
            return Ok(0);
        }
        let is_low = self.stock.units() < block / 2;
        let may_refill = is_low && rights.seen.is_none_or(|(_, seen)| seen.available() > 0);
        if !may_refill && rights.tended_at.is_some_and(|at| at.elapsed() < TEND_EVERY) {
            return Ok(0);
        }
        rights.tended_at = Some(Instant::now());
        let short = if is_low { block } else { 0 };
        let before = rights.moves;
        let Some(seen) = self
            .fetch(&mut rights, database, short, block, Instant::now())
            .await?
        else {
            self.close();
            return Ok(0);
        };
        let is_over = self.care_for_others(&mut rights, database, &seen).await?;
        let is_due = rights
            .reported_at
            .is_none_or(|at| at.elapsed() > REPORT_EVERY);
        if is_over || (is_due && !self.report(&mut rights, database).await?) {
            self.close();
        }
        Ok(rights.moves.abs_diff(before))
    }

    /// Hands units back that others lack and the pool does not have; whether the lease is over.
    async fn care_for_others(
        &self,
        rights: &mut Rights,
        database: &Database,
        seen: &Seen,
    ) -> Result<bool> {
        if seen.wanted == 0 {
            return Ok(false);
        }
        let lacking = seen.wanted.saturating_sub(seen.rest);
        let idle = self.stock.units();
        if lacking > 0 && idle > 0 {
            // Half of it at least: who starves will come again.
            let moved = self.give(rights, database, lacking.max(idle / 2)).await?;
            return Ok(matches!(moved, Moved::Over));
        }
        // They wait for units that were sold long ago.
        if rights.idle_at_most > idle {
            Ok(!self.report(rights, database).await?)
        } else {
            Ok(false)
        }
    }

    /// Says how much it has idle; whether the lease is open.
    pub(super) async fn report(&self, rights: &mut Rights, database: &Database) -> Result<bool> {
        let idle = self.stock.units();
        let is_open = self.rows.report(database, idle).await?;
        (rights.idle_at_most, rights.reported_at) = (idle, Some(Instant::now()));
        Ok(is_open)
    }
}
