//! Sales, their products and their terms.

use super::{MAX_SALES, OpenSale, SaleRow, SeedSale, Store};
use database::{Arg, Result};
use engines::{AllocationId, Epoch, Nonce, SaleId, Term};

type Columns = (
    SaleId,
    i64,
    i64,
    i64,
    Epoch,
    Option<Epoch>,
    Option<Nonce>,
    Option<AllocationId>,
);

impl Store {
    /// All sales with their terms, by id; at most [`MAX_SALES`].
    pub async fn sales(&self) -> Result<Vec<SaleRow>> {
        let sql = "SELECT s.product_id, p.price_cents, p.sale_starts_at, p.sale_ends_at, s.newest_epoch, s.open_epoch,
             s.nonce, s.allocation_id FROM sales s JOIN products p ON p.id = s.product_id ORDER BY s.product_id LIMIT ?";
        let rows: Vec<Columns> = self.database.rows(sql, [MAX_SALES]).await?;
        Ok(rows.into_iter().map(read_sale).collect())
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
        tx.commit().await
    }
}

fn read_sale(
    (sale, price_cents, starts_at, ends_at, newest, open, nonce, allocation): Columns,
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
    }
}
