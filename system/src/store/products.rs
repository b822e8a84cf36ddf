//! Products and their sales, as administrators make and change them.

use super::handle::Store;
use super::stock_changes::{LockedSale, StockChange, Wish, record};
use crate::digest;
use database::{Arg, Connection, NO_ARGS, Result, fault};
use engines::SaleId;

/// A product with its sale.
#[derive(Clone, Debug)]
pub struct NewProduct {
    pub name: String,
    pub description: String,
    pub price_cents: i64,
    pub image_url: String,
    /// Unix s.
    pub starts_at: i64,
    /// Unix s, later.
    pub ends_at: i64,
    /// Units of the sale.
    pub total: i64,
}

impl NewProduct {
    /// Two that differ in anything are called differently.
    fn digest(&self) -> String {
        digest::of("product", format!("{self:?}").as_bytes())
    }
}

/// What is to change of a product; `None`: it stays.
#[derive(Clone, Debug, Default)]
pub struct ProductChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub price_cents: Option<i64>,
    pub image_url: Option<String>,
    /// Unix s.
    pub starts_at: Option<i64>,
    /// Unix s.
    pub ends_at: Option<i64>,
    /// Units of the sale in all.
    pub total: Option<i64>,
}

/// What became of the change of a product; where it is refused no row is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// All of it; the total, if another was asked for, as this wish says.
    Done(Option<StockChange>),
    /// There is no such product.
    NoProduct,
    /// Its window would begin and end at these times, unix s.
    WindowOutOfOrder(i64, i64),
    /// What was asked of the total is refused.
    Refused(Wish),
}

impl Store {
    /// Makes a product and its sale; the reconciler opens that by itself. Under a `key` only once:
    /// again it is the product that was made. `Err` within: the key stands for something else.
    pub async fn create_product(
        &self,
        product: &NewProduct,
        key: Option<&str>,
        now_s: i64,
    ) -> Result<std::result::Result<SaleId, StockChange>> {
        if let Some(known) = self.created(product, key).await? {
            return Ok(known);
        }
        let mut tx = self.database.begin().await?;
        match insert(&mut tx.connection(), product, key, now_s).await {
            Ok(sale) => {
                tx.commit().await?;
                Ok(Ok(sale))
            }
            // Somebody else has just used the key.
            Err(error) if fault::is_unique_violation(&error) => {
                tx.rollback().await?;
                self.created(product, key).await?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// What was made under `key` before.
    async fn created(
        &self,
        product: &NewProduct,
        key: Option<&str>,
    ) -> Result<Option<std::result::Result<SaleId, StockChange>>> {
        let Some(key) = key else { return Ok(None) };
        let known = self.stock_change(key).await?;
        Ok(known.map(|known| {
            let change = known.change;
            match change.delta == 0 && known.content == product.digest() {
                true => Ok(change.sale),
                false => Err(change),
            }
        }))
    }

    /// Changes a product at once, and asks for another total of its sale under `key`, which nobody
    /// has used.
    pub async fn change_product(
        &self,
        sale: SaleId,
        change: &ProductChange,
        key: &str,
        now_s: i64,
    ) -> Result<Changed> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let Some(locked) = LockedSale::lock(&mut connection, sale).await? else {
            return Ok(Changed::NoProduct);
        };
        let window = "SELECT sale_starts_at, sale_ends_at FROM products WHERE id = ?";
        let window: Option<(i64, i64)> = connection.row(window, [sale]).await?;
        let Some((starts_at, ends_at)) = window else {
            return Ok(Changed::NoProduct);
        };
        let starts_at = change.starts_at.unwrap_or(starts_at);
        let ends_at = change.ends_at.unwrap_or(ends_at);
        if starts_at >= ends_at {
            return Ok(Changed::WindowOutOfOrder(starts_at, ends_at));
        }
        update(&mut connection, sale, change, now_s).await?;
        let wanted = change.total.filter(|total| {
            // Nothing is fenced for a total that it has.
            locked.wanted_total.is_some() || *total != locked.total
        });
        let wish = match wanted {
            None => None,
            Some(total) => {
                let delta = total - locked.target();
                match locked.want(&mut connection, key, delta).await? {
                    Wish::Known(change) => Some(change),
                    refused => return Ok(Changed::Refused(refused)),
                }
            }
        };
        note_change(&mut connection, sale).await?;
        tx.commit().await?;
        Ok(Changed::Done(wish))
    }
}

async fn insert(
    connection: &mut Connection<'_>,
    product: &NewProduct,
    key: Option<&str>,
    now_s: i64,
) -> Result<SaleId> {
    let sql = "INSERT INTO products
         (name, description, price_cents, image_url, sale_starts_at, sale_ends_at, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let args = [
        Arg::from(product.name.as_str()),
        product.description.as_str().into(),
        product.price_cents.into(),
        product.image_url.as_str().into(),
        product.starts_at.into(),
        product.ends_at.into(),
        now_s.into(),
        now_s.into(),
    ];
    let sale = SaleId(connection.insert(sql, args).await?);
    let sql = "INSERT INTO sales (product_id, total) VALUES (?, ?)";
    connection.run(sql, [sale.0, product.total]).await?;
    if let Some(key) = key {
        let made = StockChange {
            sale,
            delta: 0,
            wanted_total: product.total,
            applied_total: Some(product.total),
        };
        record(connection, key, &made, &product.digest()).await?;
    }
    note_change(connection, sale).await?;
    Ok(sale)
}

/// Whoever remembers this product learns that it is another now. The last thing before the commit:
/// from here on nobody else changes a product, so that versions are committed in their order.
pub(super) async fn note_change(connection: &mut Connection<'_>, sale: SaleId) -> Result<()> {
    let raise = "UPDATE products_version SET version = version + 1";
    connection.run(raise, NO_ARGS).await?;
    let note = "UPDATE products SET version = (SELECT version FROM products_version) WHERE id = ?";
    connection.run(note, [sale]).await.map(drop)
}

async fn update(
    connection: &mut Connection<'_>,
    sale: SaleId,
    change: &ProductChange,
    now_s: i64,
) -> Result<()> {
    let sql = "UPDATE products SET name = COALESCE(?, name), description = COALESCE(?, description),
         price_cents = COALESCE(?, price_cents), image_url = COALESCE(?, image_url),
         sale_starts_at = COALESCE(?, sale_starts_at), sale_ends_at = COALESCE(?, sale_ends_at), updated_at = ?
         WHERE id = ?";
    let args = [
        Arg::from(change.name.as_deref()),
        change.description.as_deref().into(),
        change.price_cents.into(),
        change.image_url.as_deref().into(),
        change.starts_at.into(),
        change.ends_at.into(),
        now_s.into(),
        sale.into(),
    ];
    connection.run(sql, args).await.map(drop)
}
