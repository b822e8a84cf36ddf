//! `seckill sale pause|resume`: the kill switch of a sale. Publishers learn of it as they learn of
//! terms, within a few hundred ms.

use crate::config::Config;
use crate::roles;
use crate::store::Store;
use anyhow::Context;
use engines::{Registry, SaleId};

/// Sales that are named when an unknown one is asked for.
const NAMED_MAX: u32 = 20;

/// There is no such sale.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(String);

/// Pauses or resumes a sale, and prints what was done.
///
/// # Errors
/// [`Unknown`], or the database cannot be asked.
pub async fn pause(
    config: &Config,
    registry: &Registry,
    sale: SaleId,
    paused: bool,
) -> anyhow::Result<()> {
    let store = Store::connect(&config.database, roles::engine(config, registry)?).await?;
    let done = set(&store, sale, paused).await;
    store.close().await;
    println!("{}", done?);
    Ok(())
}

async fn set(store: &Store, sale: SaleId, paused: bool) -> anyhow::Result<String> {
    let cannot = "the database cannot be asked";
    let before = store.sale_state(sale).await.context(cannot)?;
    let Some(before) = before else {
        let (sales, all) = store.sale_states(NAMED_MAX).await.context(cannot)?;
        let named: Vec<String> = sales
            .iter()
            .map(|sale| sale.product_id.to_string())
            .collect();
        let more = match all.saturating_sub(named.len() as u64) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let known = match named.is_empty() {
            true => "there are none".to_owned(),
            false => format!("known: {}{more}", named.join(", ")),
        };
        return Err(Unknown(format!("no sale {sale}; {known}")).into());
    };
    store.pause(sale, paused).await.context(cannot)?;
    let name = &before.name;
    Ok(match (paused, before.paused) {
        (true, true) => format!("sale {sale} ({name}) was paused already"),
        (true, false) => {
            format!("sale {sale} ({name}) is paused: nothing is sold until it is resumed")
        }
        (false, true) => format!("sale {sale} ({name}) goes on"),
        (false, false) => format!("sale {sale} ({name}) was not paused"),
    })
}
