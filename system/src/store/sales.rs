//! Sales, their products and their terms.

use super::handle::Store;
use super::products::note_change;
use super::types::{OpenSale, SaleRow, SeedSale};
use database::{Arg, Result};
use engines::{AllocationId, Epoch, Nonce, SaleId, Term};

/// Sales read in one statement.
const PAGE: usize = 1_000;

type Columns = (
    SaleId,
    i64,
    i64,
    i64,
    Epoch,
    Option<Epoch>,
    Option<Nonce>,
    Option<AllocationId>,
    Option<Epoch>,
    bool,
    bool,
    bool,
);

impl Store {
    /// All sales that have not ended, with their terms, by id. Those that have cost nothing here.
    pub async fn sales(&self) -> Result<Vec<SaleRow>> {
        let sql = "SELECT s.product_id, p.price_cents, p.sale_starts_at, p.sale_ends_at, s.newest_epoch, s.open_epoch,
             s.nonce, s.allocation_id, s.ending_epoch, s.wanted_total IS NOT NULL, s.paused,
             p.deleted_at IS NOT NULL FROM sales s JOIN products p ON p.id = s.product_id
             WHERE s.ended = 0 AND s.product_id > ? ORDER BY s.product_id LIMIT ?";
        let mut sales: Vec<SaleRow> = Vec::new();
        loop {
            let after = sales.last().map_or(0, |row| row.sale.0);
            let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
            let page: Vec<Columns> = self.database.rows(sql, [after, limit]).await?;
            let is_last = page.len() < PAGE;
            sales.extend(page.into_iter().map(read_sale));
            if is_last {
                return Ok(sales);
            }
        }
    }

    /// Price of one unit, cents, whether or not its sale is on; `None`: there is no such product.
    pub async fn price_cents(&self, sale: SaleId) -> Result<Option<i64>> {
        let sql = "SELECT price_cents FROM products WHERE id = ?";
        self.database.row(sql, [sale]).await
    }

    /// Pauses a sale, or lets it go on: publishers learn of it when they next read the sales. `false`:
    /// there is no such sale.
    pub async fn pause(&self, sale: SaleId, is_paused: bool) -> Result<bool> {
        let sql = "UPDATE sales SET paused = ? WHERE product_id = ?";
        let args = [i64::from(is_paused), sale.0];
        Ok(self.database.run(sql, args).await? == 1)
    }

    /// Creates a sale and its product; one that exists is left as it is.
    pub async fn create_sale(&self, sale: &SeedSale, now_s: i64) -> Result<()> {
        let kind = self.database.kind();
        let mut tx = self.database.begin().await?;
        let product = format!(
            "INSERT INTO products (id, name, description, price_cents, sale_starts_at, sale_ends_at, created_at, updated_at)
             VALUES (?, ?, '', ?, ?, ?, ?, ?){}",
            kind.or_nothing("id")
        );
        let values = [
            Arg::from(sale.product_id),
            sale.name.as_str().into(),
            sale.price_cents.into(),
            sale.starts_at.into(),
            sale.ends_at.into(),
            now_s.into(),
            now_s.into(),
        ];
        tx.connection().run(&product, values).await?;
        let row = format!(
            "INSERT INTO sales (product_id, total) VALUES (?, ?){}",
            kind.or_nothing("product_id")
        );
        let values = [Arg::from(sale.product_id), sale.total.into()];
        tx.connection().run(&row, values).await?;
        note_change(&mut tx.connection(), sale.product_id).await?;
        tx.commit().await
    }
}

fn read_sale(
    (
        sale,
        price_cents,
        starts_at,
        ends_at,
        newest,
        open,
        nonce,
        allocation,
        ending,
        is_changing,
        is_paused,
        is_deleted,
    ): Columns,
) -> SaleRow {
    let open = match (open, nonce, allocation) {
        (Some(epoch), Some(nonce), Some(allocation_id)) if epoch == newest => Some(OpenSale {
            term: Term { sale, epoch, nonce },
            allocation_id,
        }),
        _ => None,
    };
    SaleRow {
        sale,
        price_cents,
        starts_at,
        ends_at,
        open,
        newest,
        is_ending: ending == Some(newest),
        is_changing,
        is_paused,
        is_deleted,
    }
}
