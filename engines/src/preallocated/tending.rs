//! The regular care of a lease, and what it does for others: units that they lack, its sign of life,
//! what it gives back when its process stops.

use super::lease::Lease;
use super::opening::NewestOpening;
use super::rights::Rights;
use super::rows::Moved;
use super::wants::Elsewhere;
use crate::Result;
use database::Database;
use std::time::{Duration, Instant};

/// How often a process looks whether others starve; several times within what they wait.
const TEND_EVERY: Duration = Duration::from_millis(25);
/// How often it says that it lives, and how much it has idle.
const REPORT_EVERY: Duration = Duration::from_secs(1);

impl Lease {
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
        if self.has_ended() {
            return Ok(0);
        }
        let owns_nobody = !self.owns_partitions();
        if owns_nobody {
            return self.look_for_end(&mut rights, database).await;
        }
        let is_low = self.stock.units() < block / 2;
        let may_refill = is_low
            && rights
                .last_look
                .is_none_or(|look| look.elsewhere.available() > 0);
        if !may_refill && rights.tended_at.is_some_and(|at| at.elapsed() < TEND_EVERY) {
            return Ok(0);
        }
        rights.tended_at = Some(Instant::now());
        let short = if is_low { block } else { 0 };
        let before = rights.moves;
        let Some(look) = self
            .fetch(&mut rights, database, short, block, Instant::now())
            .await?
        else {
            self.close();
            return Ok(0);
        };
        let is_over = self
            .care_for_others(&mut rights, database, &look.elsewhere)
            .await?;
        let is_due = rights
            .reported_at
            .is_none_or(|at| at.elapsed() > REPORT_EVERY);
        if is_over || (is_due && !self.report(&mut rights, database).await?) {
            self.close();
        }
        Ok(rights.moves.abs_diff(before))
    }

    /// Who owns no buyers has no row that says when it is over, and asks for the opening itself.
    async fn look_for_end(&self, rights: &mut Rights, database: &Database) -> Result<u64> {
        if rights
            .tended_at
            .is_some_and(|at| at.elapsed() < REPORT_EVERY)
        {
            return Ok(0);
        }
        rights.tended_at = Some(Instant::now());
        let newest = NewestOpening::read(database, self.rows.sale).await?;
        if !newest.is_some_and(|newest| newest.is(&self.term)) {
            self.close();
        }
        Ok(0)
    }

    /// Hands units back that others lack and the pool does not have; whether the lease is over.
    async fn care_for_others(
        &self,
        rights: &mut Rights,
        database: &Database,
        elsewhere: &Elsewhere,
    ) -> Result<bool> {
        if elsewhere.wanted == 0 {
            return Ok(false);
        }
        let lacking = elsewhere.wanted.saturating_sub(elsewhere.pooled);
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

    /// The clean stop: nothing is granted any more, and what was not sold goes back to the pool.
    pub async fn hand_back(&self, database: &Database) -> Result<()> {
        self.stop_granting();
        if !self.owns_partitions() {
            return Ok(());
        }
        let mut rights = self.rights().await?;
        self.resolve(&mut rights, database).await?;
        let is_over = match self.give(&mut rights, database, u64::MAX).await? {
            Moved::Done(_) => false,
            // Others wait for units that it sold since its last report, which is its last but for
            // this one.
            Moved::Nothing(_) => !self.report(&mut rights, database).await?,
            Moved::Over => true,
        };
        if is_over {
            self.close();
        }
        Ok(())
    }
}
