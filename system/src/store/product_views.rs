//! Products as everybody may see them. One that was deleted is not there.

use super::handle::Store;
use database::fixed_rows::{BATCH, Statement};
use database::{NO_ARGS, Result};
use engines::SaleId;
use std::collections::HashMap;

/// Changes read in one statement.
const CHANGES_MAX: usize = 1_000;

/// One product; how many units are left is read apart ([`Store::units_left`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductView {
    pub id: SaleId,
    pub name: String,
    pub description: String,
    pub price_cents: i64,
    pub image_url: String,
    /// Unix s.
    pub starts_at: i64,
    /// Unix s.
    pub ends_at: i64,
    /// Unix s.
    pub created_at: i64,
    /// Unix s.
    pub updated_at: i64,
    /// The version of all products right after it was changed last.
    pub version: i64,
}

/// Which products a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProductFilter {
    All,
    /// Their sale has not begun.
    NotStarted,
    /// Their sale has begun and is not over.
    On,
    /// As [`Self::On`], and nobody has paused it.
    Selling,
    /// Their sale is over.
    Ended,
}

impl ProductFilter {
    /// As a condition on a window, at a time that stands in its `?`, once or twice.
    fn condition(self) -> (&'static str, usize) {
        match self {
            Self::All => ("", 0),
            Self::NotStarted => (" AND p.sale_starts_at > ?", 1),
            Self::On => (" AND p.sale_starts_at <= ? AND p.sale_ends_at > ?", 2),
            Self::Selling => (
                " AND p.sale_starts_at <= ? AND p.sale_ends_at > ? AND s.paused = 0",
                2,
            ),
            Self::Ended => (" AND p.sale_ends_at <= ?", 1),
        }
    }
}

/// A part of a list, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProductPage {
    pub filter: ProductFilter,
    pub skip: i64,
    pub limit: i64,
}

type Columns = (SaleId, String, String, i64, String, i64, i64, i64, i64, i64);

impl Store {
    /// Those of these products that are there, in no order.
    pub async fn products(&self, ids: &[SaleId]) -> Result<Vec<ProductView>> {
        static SELECT: Statement = Statement::new(
            BATCH,
            "SELECT id, name, description, price_cents, image_url, sale_starts_at, sale_ends_at, created_at, updated_at,
             version FROM products WHERE deleted_at IS NULL AND id IN (",
            "?",
            ")",
        );
        let rows: Vec<Columns> = self.of_sales(&SELECT, ids).await?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// The products on a page at `now_s`, unix s, and how many there are on all pages.
    pub async fn product_page(&self, page: &ProductPage, now_s: i64) -> Result<(Vec<SaleId>, i64)> {
        let (condition, times) = page.filter.condition();
        let from = format!(
            "FROM products p JOIN sales s ON s.product_id = p.id WHERE p.deleted_at IS NULL{condition}"
        );
        let at = std::iter::repeat_n(now_s, times);
        let count = format!("SELECT COUNT(*) {from}");
        let total: Option<i64> = self.database.row(&count, at.clone()).await?;
        let total = total.unwrap_or_default();
        if page.skip >= total {
            return Ok((Vec::new(), total));
        }
        let select = format!("SELECT p.id {from} ORDER BY p.id LIMIT ? OFFSET ?");
        let args = at.chain([page.limit, page.skip]);
        Ok((self.database.rows(&select, args).await?, total))
    }

    /// How many units of these sales no order holds, as the rows have it. What was accepted a moment
    /// ago and is not a row yet counts as left.
    pub async fn units_left(&self, sales: &[SaleId]) -> Result<HashMap<SaleId, i64>> {
        static SELECT: Statement = Statement::new(
            BATCH,
            "SELECT s.product_id, s.total - COALESCE((SELECT CAST(SUM(a.sold) AS SIGNED) FROM allocations a
             WHERE a.product_id = s.product_id), 0) FROM sales s WHERE s.product_id IN (",
            "?",
            ")",
        );
        let rows: Vec<(SaleId, i64)> = self.of_sales(&SELECT, sales).await?;
        Ok(rows.into_iter().collect())
    }

    /// The version of all products: one more with every change of one.
    pub async fn products_version(&self) -> Result<i64> {
        let sql = "SELECT version FROM products_version";
        Ok(self.database.row(sql, NO_ARGS).await?.unwrap_or_default())
    }

    /// Which products were made, changed or deleted after this version, each once and with its
    /// version, the earliest first. There may be more of them if there is one.
    pub async fn products_changed(&self, after: i64) -> Result<Vec<(SaleId, i64)>> {
        let sql = "SELECT id, version FROM products WHERE version > ? ORDER BY version LIMIT ?";
        let limit = i64::try_from(CHANGES_MAX).unwrap_or(i64::MAX);
        self.database.rows(sql, [after, limit]).await
    }
}

fn read(
    (
        id,
        name,
        description,
        price_cents,
        image_url,
        starts_at,
        ends_at,
        created_at,
        updated_at,
        version,
    ): Columns,
) -> ProductView {
    ProductView {
        id,
        name,
        description,
        price_cents,
        image_url,
        starts_at,
        ends_at,
        created_at,
        updated_at,
        version,
    }
}
