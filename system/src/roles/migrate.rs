//! Brings the schema up to date and, if asked, creates sales from a seed file.

use crate::clock::unix_ms;
use crate::config::DatabaseConfig;
use crate::store;
use anyhow::{Context, ensure};
use serde::Deserialize;
use sqlx::MySqlPool;
use std::path::Path;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    sales: Vec<SeedSale>,
}

/// One sale to create; an existing product id is left as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedSale {
    product_id: i64,
    name: String,
    price_cents: i64,
    total: i64,
    /// Unix s.
    starts_at: i64,
    /// Unix s.
    ends_at: i64,
}

/// Applies migrations, then the seed.
pub async fn run(config: &DatabaseConfig, seed: Option<&Path>) -> anyhow::Result<()> {
    let seed = seed.map(read_seed).transpose()?;
    let pool = store::migrate(&config.url, async || store::connect(config).await).await?;
    tracing::info!("schema is up to date");
    for sale in seed.iter().flat_map(|seed| &seed.sales) {
        create(&pool, sale).await.with_context(|| format!("cannot create sale {}", sale.product_id))?;
        tracing::info!(product_id = sale.product_id, total = sale.total, "sale seeded");
    }
    store::close(pool).await;
    Ok(())
}

fn read_seed(path: &Path) -> anyhow::Result<Seed> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read seed file {}", path.display()))?;
    let seed: Seed = toml::from_str(&text).with_context(|| format!("seed file {}", path.display()))?;
    for sale in &seed.sales {
        let id = sale.product_id;
        ensure!(id > 0, "seed file {}: product_id must be positive, got {id}", path.display());
        ensure!(
            sale.total >= 0,
            "seed file {}: sale {id}: total must not be negative, got {}",
            path.display(),
            sale.total
        );
        ensure!(sale.price_cents >= 0, "seed file {}: sale {id}: price_cents must not be negative", path.display());
        ensure!(
            sale.starts_at < sale.ends_at,
            "seed file {}: sale {id}: starts_at must be before ends_at",
            path.display()
        );
    }
    Ok(seed)
}

async fn create(pool: &MySqlPool, sale: &SeedSale) -> sqlx::Result<()> {
    let now_s = unix_ms() / 1_000;
    let mut transaction = pool.begin().await?;
    // Key conflicts mean "exists already"; every other fault is reported, which INSERT IGNORE would hide.
    sqlx::query(
        "INSERT INTO products (id, name, description, price_cents, sale_starts_at, sale_ends_at, created_at, updated_at)
         VALUES (?, ?, '', ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE id = id",
    )
    .bind(sale.product_id)
    .bind(&sale.name)
    .bind(sale.price_cents)
    .bind(sale.starts_at)
    .bind(sale.ends_at)
    .bind(now_s)
    .bind(now_s)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("INSERT INTO sales (product_id, total) VALUES (?, ?) ON DUPLICATE KEY UPDATE product_id = product_id")
        .bind(sale.product_id)
        .bind(sale.total)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
