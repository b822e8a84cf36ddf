//! Brings the schema up to date and, if asked, creates sales from a seed file.

use crate::clock::unix_ms;
use crate::config::DatabaseConfig;
use crate::store::{SeedSale, Store};
use anyhow::{Context, ensure};
use engines::Registry;
use serde::Deserialize;
use std::path::Path;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    sales: Vec<SeedSale>,
}

/// Applies migrations, then the seed.
pub async fn run(
    config: &DatabaseConfig,
    registry: &Registry,
    seed: Option<&Path>,
) -> anyhow::Result<()> {
    let seed = seed.map(read_seed).transpose()?;
    let store = Store::migrate(config, registry).await?;
    tracing::info!("schema is up to date");
    for sale in seed.iter().flat_map(|seed| &seed.sales) {
        store
            .create_sale(sale, unix_ms() / 1_000)
            .await
            .with_context(|| format!("cannot create sale {}", sale.product_id))?;
        tracing::info!(
            product_id = sale.product_id.0,
            total = sale.total,
            "sale seeded"
        );
    }
    store.close().await;
    Ok(())
}

fn read_seed(path: &Path) -> anyhow::Result<Seed> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read seed file {}", path.display()))?;
    let seed: Seed =
        toml::from_str(&text).with_context(|| format!("seed file {}", path.display()))?;
    for sale in &seed.sales {
        let id = sale.product_id;
        ensure!(
            id.0 > 0,
            "seed file {}: product_id must be positive, got {id}",
            path.display()
        );
        ensure!(
            sale.total >= 0,
            "seed file {}: sale {id}: total must not be negative, got {}",
            path.display(),
            sale.total
        );
        ensure!(
            sale.price_cents >= 0,
            "seed file {}: sale {id}: price_cents must not be negative",
            path.display()
        );
        ensure!(
            sale.starts_at < sale.ends_at,
            "seed file {}: sale {id}: starts_at must be before ends_at",
            path.display()
        );
    }
    Ok(seed)
}
