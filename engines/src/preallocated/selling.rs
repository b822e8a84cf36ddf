//! A lease that sells more than it has in memory: it fetches units from the pool, and waits a
//! bounded time for those that other processes have idle.

use super::lease::Lease;
use super::rows::Elsewhere;
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
        while verdicts.len() < batch.len() {
            let mut rights = self.rights().await?;
            if self.has_ended() {
                self.answer_here(batch, verdicts);
                return Ok(());
            }
            let short = units(&batch[verdicts.len()..]);
            let Some(elsewhere) = self
                .fetch(&mut rights, database, short, block, since)
                .await?
            else {
                self.close();
                continue;
            };
            // One read answers everybody in the batch: while the rights are held, units here only
            // become fewer.
            self.answer_short(batch, &elsewhere, Instant::now() > deadline, verdicts);
            if verdicts.len() == batch.len() {
                return Ok(());
            }
            if elsewhere.available() == 0 {
                self.ask_others(&mut rights, database, units(&batch[verdicts.len()..]))
                    .await?;
                drop(rights);
                tokio::time::sleep(LOOK_EVERY).await;
                since = Instant::now();
            }
        }
        Ok(())
    }

    /// Answers items until one could still be granted with units that are not here yet.
    ///
    /// sold-out-means-gone (R18): sold out is said only if pool, memory and all that others have
    /// idle hold less than was asked for, read after the request came.
    fn answer_short(
        &self,
        batch: &[Reserve],
        elsewhere: &Elsewhere,
        is_late: bool,
        verdicts: &mut Vec<Result<Verdict>>,
    ) {
        loop {
            self.answer_here(batch, verdicts);
            let Some(item) = batch.get(verdicts.len()) else {
                return;
            };
            let remaining = elsewhere.pooled + self.stock.units() + elsewhere.others;
            if u64::from(item.quantity) > remaining {
                verdicts.push(Ok(Verdict::SoldOut { remaining }));
            } else if is_late {
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
