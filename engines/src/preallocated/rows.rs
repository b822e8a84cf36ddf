//! The rows of one lease and of its epoch's pool: the SQL, one transaction per transfer of rights
//! between the two.
//!
//! Everybody locks the pool's row first and the lease's second. The `moves` of the lease grow with
//! every transfer, so one whose outcome is unknown can be looked up, and a second owner of the
//! lease would be noticed.

use super::failures::{not_done, unknown};
use crate::{EngineError, Result};
use database::fixed_rows::{BATCH, Statement};
use database::{Connection, Database};
use std::collections::HashSet;

/// How long a want asks, ms. Renewed by whoever still lacks units; that of a dead process ends by
/// itself.
pub const WANT_TTL_MS: i64 = 1_000;
/// `orders.status` of an order that never was one: no allocation has counted it.
const VOID: i64 = 4;

/// The rows of one lease.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRows {
    pub sale: i64,
    pub epoch: i64,
    pub incarnation: i64,
    pub pool: i64,
    pub lease: i64,
}

/// The units that are not in this process, from one consistent read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elsewhere {
    /// Units in the pool.
    pub pooled: u64,
    /// Most units that other processes may have idle.
    pub others: u64,
    /// Units that others lack, as far as they go before us.
    pub wanted: u64,
}

impl Elsewhere {
    /// Units of the pool that are ours to take.
    pub fn available(&self) -> u64 {
        self.pooled.saturating_sub(self.wanted)
    }
}

/// What a transfer came to.
#[derive(Debug)]
pub enum Moved<T> {
    /// It is committed.
    Done(T),
    /// There was nothing to move.
    Nothing(T),
    /// The pool or the lease is closed, or the opening is gone: the epoch is over, or this process or
    /// the sale was retired.
    Over,
}

/// `wants_below`: only wants of processes with a smaller id count; two that starve at once do not
/// wait for each other.
fn look_sql(now_ms: &str) -> String {
    format!(
        "SELECT p.granted - p.sold,
           (SELECT CAST(COALESCE(SUM(l.idle), 0) AS SIGNED) FROM allocations l WHERE l.product_id = p.product_id
              AND l.epoch = p.epoch AND l.state = 'open' AND l.id <> p.id AND l.id <> m.id),
           (SELECT CAST(COALESCE(SUM(w.units), 0) AS SIGNED) FROM engine_wants w WHERE w.sale_id = p.product_id
              AND w.epoch = p.epoch AND w.incarnation <> m.owner AND w.incarnation < ?
              AND w.at_ms > {now_ms} - {WANT_TTL_MS})
         FROM allocations p JOIN allocations m ON m.id = ? AND m.state = 'open'
         JOIN engine_openings o ON o.sale_id = p.product_id AND o.epoch = p.epoch
         WHERE p.id = ? AND p.state = 'open'"
    )
}

fn to_elsewhere(rows: Vec<[i64; 3]>) -> Option<Elsewhere> {
    let [pooled, others, wanted] = rows
        .first()?
        .map(|number| u64::try_from(number).unwrap_or(0));
    Some(Elsewhere {
        pooled,
        others,
        wanted,
    })
}

impl LeaseRows {
    /// One statement, so one snapshot. `None`: over.
    pub async fn look(&self, database: &Database, wants_below: i64) -> Result<Option<Elsewhere>> {
        let args = [wants_below, self.lease, self.pool];
        Ok(to_elsewhere(
            database
                .rows(&look_sql(database.now_ms()), &args)
                .await
                .map_err(not_done)?,
        ))
    }

    /// Moves up to `units` from the pool to the lease, which has `idle` without them. `about_to` is
    /// called with their number before anything is written.
    pub async fn refill(
        &self,
        database: &Database,
        moves: i64,
        wants_below: i64,
        (units, idle): (u64, u64),
        about_to: impl FnOnce(u64) + Send,
    ) -> Result<Moved<Elsewhere>> {
        let mut tx = database.begin().await.map_err(not_done)?;
        let mut connection = tx.connection();
        if !self.lock_pool(&mut connection).await? {
            return Ok(Moved::Over);
        }
        // Under the pool's lock nothing moves, so this is one state although it is a second
        // statement.
        let args = [wants_below, self.lease, self.pool];
        let rows = connection
            .rows(&look_sql(database.now_ms()), &args)
            .await
            .map_err(not_done)?;
        let Some(mut elsewhere) = to_elsewhere(rows) else {
            return Ok(Moved::Over);
        };
        let taken = units.min(elsewhere.available());
        if taken == 0 {
            return Ok(Moved::Nothing(elsewhere));
        }
        about_to(taken);
        let taken_rows = taken.cast_signed();
        let run = "UPDATE allocations SET granted = granted - ? WHERE id = ?";
        connection
            .run(run, &[taken_rows, self.pool])
            .await
            .map_err(not_done)?;
        if !self
            .move_lease(&mut connection, moves, taken_rows, idle + taken)
            .await?
        {
            return Ok(Moved::Over);
        }
        let args = [self.sale, self.incarnation];
        let run = "DELETE FROM engine_wants WHERE sale_id = ? AND incarnation = ?";
        connection.run(run, &args).await.map_err(not_done)?;
        tx.commit().await.map_err(unknown)?;
        elsewhere.pooled -= taken;
        Ok(Moved::Done(elsewhere))
    }

    /// Moves `units`, which are out of memory, and those of the released `orders` that no
    /// allocation has counted, from the lease to the pool; the lease keeps `idle`.
    pub async fn give(
        &self,
        database: &Database,
        moves: i64,
        (units, idle): (u64, u64),
        orders: &[(i64, u32)],
    ) -> Result<Moved<u64>> {
        let mut tx = database.begin().await.map_err(not_done)?;
        let mut connection = tx.connection();
        if !self.lock_pool(&mut connection).await? {
            return Ok(Moved::Over);
        }
        let given = units + self.uncounted(&mut connection, orders).await?;
        if given == 0 {
            return Ok(Moved::Nothing(0));
        }
        if !self
            .move_lease(&mut connection, moves, -given.cast_signed(), idle)
            .await?
        {
            return Ok(Moved::Over);
        }
        let run = "UPDATE allocations SET granted = granted + ? WHERE id = ?";
        connection
            .run(run, &[given.cast_signed(), self.pool])
            .await
            .map_err(not_done)?;
        tx.commit().await.map_err(unknown)?;
        Ok(Moved::Done(given))
    }

    async fn lock_pool(&self, connection: &mut Connection<'_>) -> Result<bool> {
        let for_update = connection.for_update();
        let sql = format!("SELECT id FROM allocations WHERE id = ? AND state = 'open'{for_update}");
        Ok(!connection
            .rows::<[i64; 1]>(&sql, &[self.pool])
            .await
            .map_err(not_done)?
            .is_empty())
    }

    async fn move_lease(
        &self,
        connection: &mut Connection<'_>,
        moves: i64,
        granted: i64,
        idle: u64,
    ) -> Result<bool> {
        let run = "UPDATE allocations SET granted = granted + ?, idle = ?, moves = moves + 1
                   WHERE id = ? AND state = 'open' AND moves = ?";
        let args = [granted, idle.cast_signed(), self.lease, moves];
        Ok(connection.run(run, &args).await.map_err(not_done)? == 1)
    }

    /// The transfers that are committed. Waits for one that is still being committed, because it
    /// holds the row.
    pub async fn moves(&self, database: &Database) -> Result<i64> {
        let mut tx = database.begin().await.map_err(not_done)?;
        let mut connection = tx.connection();
        let sql = format!(
            "SELECT moves FROM allocations WHERE id = ?{}",
            connection.for_update()
        );
        let rows = connection
            .rows(&sql, &[self.lease])
            .await
            .map_err(not_done)?;
        let [moves] = rows
            .first()
            .ok_or_else(|| EngineError::Protocol(format!("allocation {} is gone", self.lease)))?;
        Ok(*moves)
    }

    /// Says that this process lacks `units`.
    pub async fn want(&self, database: &Database, units: u64) -> Result<()> {
        let now_ms = database.now_ms();
        let renew = format!("epoch = ?, units = ?, at_ms = {now_ms}, beats = beats + 1");
        let sql = format!(
            "INSERT INTO engine_wants (sale_id, incarnation, epoch, units, at_ms, beats) VALUES (?, ?, ?, ?, {now_ms}, 1){}",
            database.kind().or_update("sale_id, incarnation", &renew)
        );
        let mut tx = database.begin().await.map_err(not_done)?;
        let (epoch, units) = (self.epoch, units.cast_signed());
        let args = [self.sale, self.incarnation, epoch, units, epoch, units];
        tx.connection().run(&sql, &args).await.map_err(not_done)?;
        tx.commit().await.map_err(unknown)
    }

    /// Says that this process lives and has no more than `idle` units; `false`: over.
    pub async fn report(&self, database: &Database, idle: u64) -> Result<bool> {
        let sql = format!(
            "UPDATE allocations SET idle = ?, heartbeat_at_ms = {}, beats = beats + 1 WHERE id = ? AND state = 'open'",
            database.now_ms()
        );
        let mut tx = database.begin().await.map_err(not_done)?;
        let found = tx
            .connection()
            .run(&sql, &[idle.cast_signed(), self.lease])
            .await
            .map_err(not_done)?;
        tx.commit().await.map_err(unknown)?;
        Ok(found == 1)
    }

    /// Units of those `orders` that no allocation has counted: all but those with a row that is not
    /// void.
    ///
    /// A cancel moves its units in its own transaction: cancel-moves-the-right (R15). Its release
    /// may overtake the settle and meet an open hold, which would then be given back a second time;
    /// only the row tells a cancelled order from a voided one.
    async fn uncounted(
        &self,
        connection: &mut Connection<'_>,
        orders: &[(i64, u32)],
    ) -> Result<u64> {
        static COUNTED: Statement = Statement::new(
            BATCH,
            "SELECT order_id FROM orders WHERE product_id = ? AND status <> ? AND order_id IN (",
            "?",
            ")",
        );
        let mut counted = HashSet::new();
        let ids: Vec<i64> = orders.iter().map(|(order, _)| *order).collect();
        for slice in BATCH.padded(&ids) {
            let args: Vec<i64> = [self.sale, VOID]
                .into_iter()
                .chain(slice.iter().copied())
                .collect();
            let rows = connection
                .rows::<[i64; 1]>(COUNTED.for_rows(slice.len()), &args)
                .await
                .map_err(not_done)?;
            counted.extend(rows.into_iter().flatten());
        }
        let uncounted = orders.iter().filter(|(order, _)| !counted.contains(order));
        Ok(uncounted.map(|(_, quantity)| u64::from(*quantity)).sum())
    }
}
