//! The rows of one lease and of its epoch's pool: the SQL, one transaction per transfer of rights
//! between the two.
//!
//! Everybody locks the pool's row first and the lease's second. The `moves` of the lease grow with
//! every transfer, so one whose outcome is unknown can be looked up, and a second owner of the
//! lease would be noticed.

use super::failures::{not_done, unknown};
use super::wants::{Elsewhere, Found, Want, Wants};
use crate::{EngineError, Result};
use database::fixed_rows::{BATCH, Statement};
use database::{Connection, Database};
use std::collections::HashSet;
use std::time::Instant;

/// In place of the granted units of an opening: the sale was retired up to this epoch. The row stays
/// as the note of it.
pub const RETIRED: i64 = -1;
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

/// What is elsewhere: a row for each want of another process, or one without a want. One statement,
/// so one snapshot.
fn look_sql() -> String {
    format!(
        "SELECT p.granted - p.sold,
           (SELECT CAST(COALESCE(SUM(l.idle), 0) AS SIGNED) FROM allocations l WHERE l.product_id = p.product_id
              AND l.epoch = p.epoch AND l.state = 'open' AND l.id <> p.id AND l.id <> m.id),
           COALESCE(w.incarnation, 0), COALESCE(w.units, 0), COALESCE(w.beats, 0)
         FROM allocations p JOIN allocations m ON m.id = ? AND m.state = 'open'
         JOIN engine_openings o ON o.sale_id = p.product_id AND o.epoch = p.epoch AND o.granted <> {RETIRED}
         LEFT JOIN engine_wants w ON w.sale_id = p.product_id AND w.epoch = p.epoch
           AND w.incarnation <> m.owner AND w.units > 0
         WHERE p.id = ? AND p.state = 'open'"
    )
}

fn to_found(rows: &[[i64; 5]]) -> Option<Found> {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let [pooled, others, ..] = *rows.first()?;
    let wants = rows.iter().map(|[.., incarnation, units, beats]| Want {
        incarnation: *incarnation,
        units: number(*units),
        beats: *beats,
    });
    Some(Found {
        pooled: number(pooled),
        others: number(others),
        wants: wants.filter(|want| want.units > 0).collect(),
    })
}

impl LeaseRows {
    /// What is elsewhere now. `None`: over.
    pub async fn look(
        &self,
        database: &Database,
        wants: &mut Wants,
        wants_below: i64,
    ) -> Result<Option<Elsewhere>> {
        let args = [self.lease, self.pool];
        let rows = database.rows(&look_sql(), &args).await.map_err(not_done)?;
        Ok(to_found(&rows).map(|found| wants.weigh(&found, wants_below, Instant::now())))
    }

    /// Moves up to `units` from the pool to the lease, which has `idle` without them. `about_to` is
    /// called with their number before anything is written.
    pub async fn refill(
        &self,
        database: &Database,
        moves: i64,
        (wants, wants_below): (&mut Wants, i64),
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
        let args = [self.lease, self.pool];
        let rows = connection
            .rows(&look_sql(), &args)
            .await
            .map_err(not_done)?;
        let Some(found) = to_found(&rows) else {
            return Ok(Moved::Over);
        };
        let mut elsewhere = wants.weigh(&found, wants_below, Instant::now());
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
        // The row stays, because its number must never be used again in this epoch.
        let run = "UPDATE engine_wants SET units = 0, beats = beats + 1 WHERE sale_id = ? AND incarnation = ?";
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

    /// Says that this process lacks `units`. When it did is written for people only.
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

    /// Says that this process has no more than `idle` units; `false`: over. The sign of life is for
    /// people: a lease ends with its incarnation.
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
