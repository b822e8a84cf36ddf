//! Releases in the outbox, a row for each: written by the release of this program before the one that
//! has a table for them, which may still run beside it.

use super::{Listed, insert};
use crate::clock::unix_ms;
use crate::store::handle::Store;
use database::fixed_rows::{BULK, Statement};
use database::{Connection, Result};
use engines::{Epoch, SaleId};
use std::collections::BTreeMap;

/// Taken over in one transaction.
const PAGE: i64 = 500;

impl Store {
    /// Takes over what an older binary has left in the outbox, and may be about to do itself: a
    /// release may be done twice. How many there were.
    pub async fn take_over_releases(&self) -> Result<usize> {
        let mut count = 0;
        loop {
            // A look without locks, which is all that there is to do once no older binary runs.
            let sql =
                "SELECT id FROM outbox WHERE kind = 'release' AND released_at_ms IS NULL LIMIT ?";
            let mut ids: Vec<i64> = self.database.rows(sql, [PAGE]).await?;
            if ids.is_empty() {
                return Ok(count);
            }
            count += ids.len();
            ids.sort_unstable();
            let mut tx = self.database.begin().await?;
            let mut connection = tx.connection();
            let mut taken: BTreeMap<(SaleId, Epoch), Vec<Listed>> = BTreeMap::new();
            for slice in BULK.cut(&ids) {
                take(&mut connection, slice, &mut taken).await?;
            }
            for (of, orders) in &taken {
                insert(&mut connection, *of, orders, unix_ms()).await?;
            }
            tx.commit().await?;
        }
    }
}

/// Moves those of these rows that are not done; the others stay, for the audit.
async fn take(
    connection: &mut Connection<'_>,
    ids: &[i64],
    taken: &mut BTreeMap<(SaleId, Epoch), Vec<Listed>>,
) -> Result<()> {
    static SELECT: Statement = Statement::new(
        BULK,
        "SELECT product_id, epoch, order_id, user_id, quantity, released_at_ms IS NULL FROM outbox WHERE id IN (",
        "?",
        ")",
    );
    static DELETE: Statement = Statement::new(
        BULK,
        "DELETE FROM outbox WHERE released_at_ms IS NULL AND id IN (",
        "?",
        ")",
    );
    type Row = (SaleId, Epoch, i64, i64, u32, bool);
    let sql = format!("{}{}", SELECT.for_rows(ids.len()), connection.for_update());
    let rows: Vec<Row> = connection.rows(&sql, ids).await?;
    for (sale, epoch, order, user, quantity, is_left) in rows {
        if is_left {
            let of_epoch = taken.entry((sale, epoch)).or_default();
            of_epoch.push((order, user, quantity));
        }
    }
    // They are locked: the same ones as above.
    let sql = DELETE.for_rows(ids.len());
    connection.run(sql, ids).await.map(drop)
}
