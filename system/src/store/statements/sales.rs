//! Sales, their products and their terms.

use super::super::{Database, DbRow, NOW_MS, or_nothing};
use crate::store::{MAX_SALES, OpenSale, SaleRow, SeedSale};
use engines::{Epoch, Nonce, SaleId, Term};
use sqlx::Row;

impl Database {
    pub async fn now_ms(&self) -> sqlx::Result<i64> {
        sqlx::query(&format!("SELECT {NOW_MS}"))
            .fetch_one(self.readers())
            .await?
            .try_get(0)
    }

    pub async fn sales(&self) -> sqlx::Result<Vec<SaleRow>> {
        let rows = sqlx::query(
            "SELECT s.product_id, p.price_cents, p.sale_starts_at, p.sale_ends_at, s.newest_epoch, s.open_epoch, s.nonce,
             s.allocation_id FROM sales s JOIN products p ON p.id = s.product_id ORDER BY s.product_id LIMIT ?",
        )
        .bind(MAX_SALES)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read_sale).collect()
    }

    pub async fn create_sale(&self, sale: &SeedSale, now_s: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        let product = format!(
            "INSERT INTO products (id, name, description, price_cents, sale_starts_at, sale_ends_at, created_at, updated_at)
             VALUES (?, ?, '', ?, ?, ?, ?, ?){}",
            or_nothing("id")
        );
        sqlx::query(&product)
            .bind(sale.product_id)
            .bind(&sale.name)
            .bind(sale.price_cents)
            .bind(sale.starts_at)
            .bind(sale.ends_at)
            .bind(now_s)
            .bind(now_s)
            .execute(&mut *transaction)
            .await?;
        let row = format!(
            "INSERT INTO sales (product_id, total) VALUES (?, ?){}",
            or_nothing("product_id")
        );
        sqlx::query(&row)
            .bind(sale.product_id)
            .bind(sale.total)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }
}

fn read_sale(row: &DbRow) -> sqlx::Result<SaleRow> {
    let sale = SaleId(row.try_get(0)?);
    let newest_epoch: i64 = row.try_get(4)?;
    let open_epoch: Option<i64> = row.try_get(5)?;
    let nonce: Option<i64> = row.try_get(6)?;
    let allocation: Option<i64> = row.try_get(7)?;
    let open = match (open_epoch, nonce, allocation) {
        (Some(epoch), Some(nonce), Some(allocation_id)) if epoch == newest_epoch => {
            let epoch = Epoch(u32::try_from(epoch).unwrap_or_default());
            // Stored by its bits: not every database has an unsigned type of this size.
            Some(OpenSale {
                term: Term {
                    sale,
                    epoch,
                    nonce: Nonce(nonce.cast_unsigned()),
                },
                allocation_id,
            })
        }
        _ => None,
    };
    Ok(SaleRow {
        sale,
        price_cents: row.try_get(1)?,
        starts_at: row.try_get(2)?,
        ends_at: row.try_get(3)?,
        open,
    })
}
