//! The rows that an epoch begins and ends with.

use super::super::{Database, DbConnection, DbRow, FOR_SHARE, FOR_UPDATE, inserted_id};
use crate::store::Snapshot;
use engines::{Epoch, OpeningBuyer, OrderId, SaleId, Term, UserId};
use sqlx::Row;

impl Database {
    pub async fn claim_epoch(&self, sale: SaleId) -> sqlx::Result<Option<Epoch>> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query("SELECT newest_epoch FROM sales WHERE product_id = ?")
            .bind(sale.0)
            .fetch_one(&mut *transaction)
            .await?;
        let newest: i64 = row.try_get(0)?;
        let claimed = sqlx::query(
            "UPDATE sales SET newest_epoch = ? WHERE product_id = ? AND newest_epoch = ?",
        )
        .bind(newest + 1)
        .bind(sale.0)
        .bind(newest)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(u32::try_from(newest + 1)
            .ok()
            .map(Epoch)
            .filter(|_| claimed.rows_affected() == 1))
    }

    pub async fn grant(&self, sale: SaleId, epoch: Epoch) -> sqlx::Result<Option<Snapshot>> {
        let mut transaction = self.begin().await?;
        // R11: the allocation rows are locked first; no consumer counts against them until this
        // commits. In the order of their ids, as transfers between pool and leases lock them, so
        // that nobody waits in a circle. Who adds a lease locks the pool, which is the first, so
        // there are no more of them once it is locked.
        if let Some(pool) = open_allocations(&mut transaction, sale).await?.first() {
            lock(&mut transaction, *pool).await?;
            for id in open_allocations(&mut transaction, sale).await? {
                lock(&mut transaction, id).await?;
            }
        }
        let newest = format!(
            "SELECT total FROM sales WHERE product_id = ? AND newest_epoch = ?{FOR_UPDATE}"
        );
        let row = sqlx::query(&newest)
            .bind(sale.0)
            .bind(epoch.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let total: i64 = row.try_get(0)?;
        let buyers = live_buyers(&mut transaction, sale).await?;
        let taken: i64 = buyers.iter().map(|buyer| i64::from(buyer.quantity)).sum();
        let Ok(granted) = u64::try_from(total - taken) else {
            let why = format!(
                "live orders of sale {sale} hold {taken} units, more than its total of {total}"
            );
            return Err(sqlx::Error::Protocol(why));
        };
        sqlx::query(
            "UPDATE allocations SET granted = sold, idle = 0, state = 'closed' WHERE product_id = ? AND state = 'open'",
        )
        .bind(sale.0)
        .execute(&mut *transaction)
        .await?;
        let inserted =
            sqlx::query("INSERT INTO allocations (product_id, epoch, granted) VALUES (?, ?, ?)")
                .bind(sale.0)
                .bind(epoch.0)
                .bind(total - taken)
                .execute(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok(Some(Snapshot {
            allocation_id: inserted_id(&inserted),
            granted,
            buyers,
        }))
    }

    pub async fn open_term(&self, term: &Term, allocation_id: i64) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        let updated = sqlx::query(
            "UPDATE sales SET open_epoch = ?, nonce = ?, allocation_id = ? WHERE product_id = ? AND newest_epoch = ?",
        )
        .bind(term.epoch.0)
        .bind(term.nonce.0.cast_signed())
        .bind(allocation_id)
        .bind(term.sale.0)
        .bind(term.epoch.0)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(updated.rows_affected() == 1)
    }
}

async fn open_allocations(connection: &mut DbConnection, sale: SaleId) -> sqlx::Result<Vec<i64>> {
    let ids = "SELECT id FROM allocations WHERE product_id = ? AND state = 'open' ORDER BY id";
    sqlx::query_scalar(ids)
        .bind(sale.0)
        .fetch_all(connection)
        .await
}

async fn lock(connection: &mut DbConnection, allocation: i64) -> sqlx::Result<()> {
    let lock = format!("SELECT id FROM allocations WHERE id = ?{FOR_UPDATE}");
    sqlx::query(&lock)
        .bind(allocation)
        .fetch_all(connection)
        .await
        .map(drop)
}

/// R19: every row that blocks a purchase, paid ones too, by a current (locking) read.
async fn live_buyers(
    connection: &mut DbConnection,
    sale: SaleId,
) -> sqlx::Result<Vec<OpeningBuyer>> {
    let sql = format!(
        "SELECT user_id, order_id, quantity FROM orders WHERE product_id = ? AND live = 1{FOR_SHARE}"
    );
    let rows = sqlx::query(&sql).bind(sale.0).fetch_all(connection).await?;
    let read = |row: &DbRow| {
        Ok(OpeningBuyer {
            user: UserId(row.try_get(0)?),
            order: OrderId(row.try_get(1)?),
            quantity: u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default(),
        })
    };
    rows.iter().map(read).collect()
}
