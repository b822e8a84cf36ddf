//! Opens epoch e+1 of a sale from the database: the first time, and whenever the engine has lost what it knew.
//!
//! Fence every publisher, drain every queue, grant what no live row has taken, load stock and gate from one snapshot,
//! and only then open, by a conditional update from which processes learn the new term (R11, R13, R14, R19).

use super::Pass;
use super::drain::Drainer;
use super::turns::Turns;
use crate::failpoint;
use crate::store::{self, NOW_MS, SaleRow};
use anyhow::{Context, bail, ensure};
use engines::{Epoch, Nonce, Opened, Opening, OpeningBuyer, OrderId, SaleId, StockEngine, Term, UserId};
use sqlx::{MySqlConnection, MySqlPool, Row};
use std::time::{Duration, Instant};

/// How often an outstanding acknowledgement is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What opening needs.
pub struct Opener<'a> {
    pub pool: &'a MySqlPool,
    pub engine: &'a dyn StockEngine,
    pub drainer: &'a Drainer,
    pub margin_ms: u64,
    pub timeout_ms: u64,
}

struct Snapshot {
    allocation_id: i64,
    granted: u64,
    buyers: Vec<OpeningBuyer>,
}

impl Opener<'_> {
    /// Opens every sale that is not open in the database or in the engine.
    pub async fn open_missing(&self, turns: &mut Turns) -> anyhow::Result<Pass> {
        let missing = self.missing().await?.len() as u64;
        if missing == 0 {
            return Ok(Pass::default());
        }
        let Some(turn) = turns.take(self.pool).await? else {
            return Ok(Pass { left: missing, ..Pass::default() });
        };
        let opened = self.open_all().await;
        turn.give_back().await;
        Ok(opened.unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "cannot open the next epochs yet");
            Pass { left: missing, ..Pass::default() }
        }))
    }

    /// Publishers are fenced and queues drained once for all sales together.
    async fn open_all(&self) -> anyhow::Result<Pass> {
        let mut pass = Pass::default();
        let mut claimed = Vec::new();
        // Looked for again: the one who had the turn before may just have opened them.
        for sale in self.missing().await? {
            claimed.push((sale, self.claim(sale).await?));
            failpoint::hit("reconciler.after_claim");
        }
        // Before the first epoch nobody can have published anything for a sale.
        if claimed.iter().any(|(_, epoch)| epoch.0 > 1) {
            self.fence_all().await?;
            self.drain_all().await?;
        }
        for (sale, epoch) in claimed {
            match self.open_claimed(sale, epoch).await {
                Ok(()) => pass.epochs_opened += 1,
                Err(error) => {
                    tracing::warn!(sale = sale.0, error = format!("{error:#}"), "cannot open epoch {epoch} yet");
                    pass.left += 1;
                }
            }
        }
        Ok(pass)
    }

    async fn missing(&self) -> anyhow::Result<Vec<SaleId>> {
        let mut missing = Vec::new();
        for row in store::sales(self.pool).await? {
            if !self.is_open(&row).await? {
                missing.push(row.sale);
            }
        }
        Ok(missing)
    }

    /// An engine that is out of reach is an error, not a lost epoch.
    async fn is_open(&self, row: &SaleRow) -> anyhow::Result<bool> {
        let Some(open) = row.open else {
            return Ok(false);
        };
        let stock = self
            .engine
            .stock(&open.term)
            .await
            .with_context(|| format!("cannot ask the engine about sale {}", row.sale))?;
        Ok(stock.is_open)
    }

    /// Needs every publisher fenced and every queue drained since the claim.
    async fn open_claimed(&self, sale: SaleId, epoch: Epoch) -> anyhow::Result<()> {
        let snapshot = self.grant(sale, epoch).await?;
        failpoint::hit("reconciler.after_grant");
        let term = Term { sale, epoch, nonce: Nonce(rand::random()) };
        let (granted, buyers) = (snapshot.granted, snapshot.buyers.len());
        let opened = self
            .engine
            .open(&Opening { term, granted, buyers: snapshot.buyers, publishers: Vec::new() })
            .await
            .context("the engine cannot open")?;
        ensure!(opened == Opened::Opened, "the engine did not open epoch {epoch}: {opened:?}");
        failpoint::hit("reconciler.after_engine_open");
        // R14: still the newest? A stalled second reconciler opens nothing.
        let updated = sqlx::query(
            "UPDATE sales SET open_epoch = ?, nonce = ?, allocation_id = ? WHERE product_id = ? AND newest_epoch = ?",
        )
        .bind(epoch.0)
        .bind(term.nonce.0)
        .bind(snapshot.allocation_id)
        .bind(sale.0)
        .bind(epoch.0)
        .execute(self.pool)
        .await?;
        ensure!(updated.rows_affected() == 1, "another reconciler has started a newer epoch than {epoch}");
        tracing::info!(sale = sale.0, epoch = epoch.0, granted, buyers, "epoch open");
        Ok(())
    }

    /// Takes the next epoch number; from here on nobody learns the old term any more.
    async fn claim(&self, sale: SaleId) -> anyhow::Result<Epoch> {
        let row = sqlx::query("SELECT newest_epoch FROM sales WHERE product_id = ?")
            .bind(sale.0)
            .fetch_one(self.pool)
            .await?;
        let newest: i32 = row.try_get(0)?;
        let claimed = sqlx::query("UPDATE sales SET newest_epoch = ? WHERE product_id = ? AND newest_epoch = ?")
            .bind(newest + 1)
            .bind(sale.0)
            .bind(newest)
            .execute(self.pool)
            .await?;
        ensure!(claimed.rows_affected() == 1, "another reconciler is opening this sale");
        Ok(Epoch(u32::try_from(newest + 1).context("epoch out of range")?))
    }

    /// R1: bumps every live publisher's generation and waits until each has acknowledged or has surely lost its lease.
    async fn fence_all(&self) -> anyhow::Result<()> {
        sqlx::query("UPDATE incarnations SET generation = generation + 1 WHERE state = 'live'")
            .execute(self.pool)
            .await?;
        let bumped = generations(self.pool).await?;
        let deadline = Instant::now() + Duration::from_millis(self.timeout_ms);
        let sql = format!(
            "SELECT COUNT(*) FROM incarnations WHERE id = ? AND state <> 'gone' AND acknowledged_generation < ?
             AND heartbeat_at_ms + lease_ms + ? >= {NOW_MS}"
        );
        for (id, generation) in bumped {
            self.drainer.unbind(id, generation - 1).await?;
            loop {
                let row = sqlx::query(&sql).bind(id).bind(generation).bind(self.margin_ms).fetch_one(self.pool).await?;
                if row.try_get::<i64, _>(0)? == 0 {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("incarnation {id} neither acknowledged its fence nor lost its lease");
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    async fn drain_all(&self) -> anyhow::Result<()> {
        for (id, _) in generations(self.pool).await? {
            ensure!(
                self.drainer.drain(id).await?,
                "the queue of incarnation {id} does not drain; is a create-consumer running?"
            );
        }
        Ok(())
    }

    /// Closes the old allocation and grants what no live row has taken, in one transaction with the snapshot.
    async fn grant(&self, sale: SaleId, epoch: Epoch) -> anyhow::Result<Snapshot> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        // R11: the allocation rows are locked first; no consumer counts against them until this commits.
        sqlx::query("SELECT id FROM allocations WHERE product_id = ? FOR UPDATE")
            .bind(sale.0)
            .fetch_all(&mut *connection)
            .await?;
        let row = sqlx::query("SELECT total FROM sales WHERE product_id = ? AND newest_epoch = ? FOR UPDATE")
            .bind(sale.0)
            .bind(epoch.0)
            .fetch_optional(&mut *connection)
            .await?;
        let total: i64 = row.context("another reconciler has started a newer epoch")?.try_get(0)?;
        let buyers = live_buyers(connection, sale).await?;
        let taken: i64 = buyers.iter().map(|buyer| i64::from(buyer.quantity)).sum();
        ensure!(taken <= total, "live orders of sale {sale} hold {taken} units, more than its total of {total}");
        sqlx::query("UPDATE allocations SET granted = sold, state = 'closed' WHERE product_id = ? AND state = 'open'")
            .bind(sale.0)
            .execute(&mut *connection)
            .await?;
        let inserted = sqlx::query("INSERT INTO allocations (product_id, epoch, granted) VALUES (?, ?, ?)")
            .bind(sale.0)
            .bind(epoch.0)
            .bind(total - taken)
            .execute(&mut *connection)
            .await?;
        transaction.commit().await?;
        let allocation_id = i64::try_from(inserted.last_insert_id()).context("allocation id out of range")?;
        Ok(Snapshot { allocation_id, granted: (total - taken).unsigned_abs(), buyers })
    }
}

/// Every incarnation whose queue may still hold messages, with its generation.
async fn generations(pool: &MySqlPool) -> sqlx::Result<Vec<(i64, i64)>> {
    let rows = sqlx::query("SELECT id, generation FROM incarnations WHERE state <> 'gone' ORDER BY id")
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// R19: every row that blocks a purchase, paid ones too, by a current (locking) read.
async fn live_buyers(connection: &mut MySqlConnection, sale: SaleId) -> sqlx::Result<Vec<OpeningBuyer>> {
    let rows = sqlx::query(
        "SELECT user_id, order_id, quantity FROM orders WHERE product_id = ? AND live = 1 LOCK IN SHARE MODE",
    )
    .bind(sale.0)
    .fetch_all(connection)
    .await?;
    let read = |row: &sqlx::mysql::MySqlRow| {
        let quantity: i32 = row.try_get(2)?;
        Ok(OpeningBuyer {
            user: UserId(row.try_get(0)?),
            order: OrderId(row.try_get(1)?),
            quantity: u32::try_from(quantity).unwrap_or_default(),
        })
    };
    rows.iter().map(read).collect()
}
