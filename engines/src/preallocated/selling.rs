//! A lease that sells more than it has in memory: it fetches units from the pool, and waits a
//! bounded time for those that other processes have idle.

use super::lease::Lease;
use super::stock::Look;
use crate::{EngineError, Reserve, Result, Verdict};
use database::Database;
use std::time::{Duration, Instant};

/// Longest wait of a request for units that other processes have idle; then it is told to try
/// again.
const WAIT_MAX: Duration = Duration::from_millis(150);

/// Pause between two looks of a process that waits for units of others.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Lease {
    /// Answers a batch, fetching units from the pool, and waiting a bounded time for those of
    /// others.
    pub async fn with_more(
        &self,
        database: &Database,
        block: u64,
        batch: &[Reserve],
    ) -> Vec<Result<Verdict>> {
        let mut verdicts = Vec::with_capacity(batch.len());
        if let Err(error) = self
            .try_with_more(database, block, batch, &mut verdicts)
            .await
        {
            // Whatever became of the transfer: who was not answered from memory was granted
            // nothing.
            let error = EngineError::Unavailable {
                context: error.to_string(),
                source: None,
            };
            verdicts.extend(error.for_each(batch.len() - verdicts.len()));
        }
        verdicts
    }

    async fn try_with_more(
        &self,
        database: &Database,
        block: u64,
        batch: &[Reserve],
        verdicts: &mut Vec<Result<Verdict>>,
    ) -> Result<()> {
        let mut since = Instant::now();
        let deadline = since + WAIT_MAX;
        loop {
            let mut rights = self.rights().await?;
            loop {
                if self.has_ended() {
                    self.answer_here(batch, verdicts);
                    return Ok(());
                }
                let short = units(&batch[verdicts.len()..]);
                let Some(look) = self
                    .fetch(&mut rights, database, short, block, since)
                    .await?
                else {
                    self.close();
                    continue;
                };
                // One look answers everybody in the batch: while the rights are held, units here
                // only become fewer.
                self.answer_short(batch, &look, Instant::now() > deadline, verdicts);
                if verdicts.len() == batch.len() {
                    return Ok(());
                }
                since = Instant::now();
                if !self.has_sold_since(&look) && look.elsewhere.available() == 0 {
                    break;
                }
                // There is more to fetch, or what was sold here since the look made the
                // difference: every further look of the latter kind takes a further sale.
            }
            let short = units(&batch[verdicts.len()..]);
            self.ask_others(&mut rights, database, short).await?;
            drop(rights);
            tokio::time::sleep(LOOK_EVERY).await;
            since = Instant::now();
        }
    }

    /// Whether units were sold here since `look`: another look may say sold out where this one can
    /// not.
    fn has_sold_since(&self, look: &Look) -> bool {
        look.here_at_most > self.stock.units()
    }

    /// Answers items until one could still be granted with units that are not here yet.
    ///
    /// sold-out-means-gone (R18): sold out is said only if pool, memory and all that others have
    /// idle held less than was asked for at one moment after the request came.
    fn answer_short(
        &self,
        batch: &[Reserve],
        look: &Look,
        is_late: bool,
        verdicts: &mut Vec<Result<Verdict>>,
    ) {
        loop {
            self.answer_here(batch, verdicts);
            let Some(item) = batch.get(verdicts.len()) else {
                return;
            };
            if look.is_too_much(u64::from(item.quantity)) {
                let elsewhere = look.elsewhere.pooled + look.elsewhere.others;
                let remaining = elsewhere + self.stock.units();
                verdicts.push(Ok(Verdict::SoldOut { remaining }));
            } else if is_late && !self.has_sold_since(look) {
                verdicts.push(Ok(Verdict::Busy));
            } else {
                return;
            }
        }
    }
}

fn units(items: &[Reserve]) -> u64 {
    let selling = items.iter().filter(|item| item.may_sell);
    selling.map(|item| u64::from(item.quantity)).sum()
}
