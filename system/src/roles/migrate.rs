//! Brings the schema up to date and, if asked, creates sales from a seed file, and accounts.

mod people;

use crate::clock::unix_ms;
use crate::config::{Config, DatabaseConfig};
use crate::store::{SeedSale, Store};
use anyhow::{Context, ensure};
use engines::Registry;
use serde::Deserialize;
use std::path::{Path, PathBuf};

pub use people::Admin;

/// The seed that is no file: users whose password everybody knows.
const DEVELOPMENT: &str = "dev";

/// What `--seed` named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seeds {
    /// Files of sales.
    pub files: Vec<PathBuf>,
    /// The users of the development seed.
    pub development: bool,
}

impl Seeds {
    /// A file that is called `dev` is `./dev`.
    pub fn named(seeds: &[PathBuf]) -> Self {
        let is_file = |seed: &&PathBuf| seed.as_path() != Path::new(DEVELOPMENT);
        let files: Vec<PathBuf> = seeds.iter().filter(is_file).cloned().collect();
        Self {
            development: files.len() < seeds.len(),
            files,
        }
    }
}

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

/// The same of several seeds, and of accounts; what is refused is refused before anything is changed.
pub async fn with(
    config: &Config,
    registry: &Registry,
    seeds: &Seeds,
    admin: Option<&Admin>,
) -> anyhow::Result<()> {
    if seeds.development {
        people::check_development(config)?;
    }
    for file in &seeds.files {
        read_seed(file)?;
    }
    run(&config.database, registry, None).await?;
    for file in &seeds.files {
        run(&config.database, registry, Some(file)).await?;
    }
    if seeds.development {
        people::make_development(config, registry).await?;
    }
    match admin {
        Some(admin) => people::make_admin(config, registry, admin).await,
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_seed_is_no_file() {
        let named = |names: &[&str]| {
            let names: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            let Seeds { files, development } = Seeds::named(&names);
            (files.len(), development)
        };
        assert_eq!(named(&[]), (0, false));
        assert_eq!(named(&["sales.toml", "dev"]), (1, true));
        // Paths are compared by their parts, and this is another one.
        assert_eq!(named(&["./sales/dev", "dev.toml"]), (2, false));
    }
}
