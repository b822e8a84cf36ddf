//! What `--once` prints: what was done, what is left, and where engine and database disagree.

use super::drift::{self, Drift};
use crate::repair::{Pass, Troubles};
use crate::store::Store;
use engines::StockEngine;
use serde::Serialize;
use std::io::Write;

/// Most sales whose drift is looked at.
const SALES_MAX: usize = 1_000;

/// One JSON object.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pass: Pass,
    /// Releases in the outbox that no engine is known to have done.
    releases_left: u64,
    /// Dead letters that nobody has resolved.
    dead_letters_open: u64,
    /// Both views of every open sale that is quiet.
    drift: Vec<Drift>,
}

impl Report {
    /// Looks at what is there after everything that was done.
    pub async fn of(pass: Pass, store: &Store, engine: &dyn StockEngine) -> anyhow::Result<Self> {
        let (left, letters) = (store.left_over().await?, store.open_dead_letters().await?);
        let mut unasked = Troubles::new("cannot compare engine and database");
        let mut drift = Vec::new();
        let terms = store.sales().await?.into_iter();
        let terms = terms.filter_map(|row| Some(row.open?.term));
        for term in terms.take(SALES_MAX) {
            match drift::of_sale(store, engine, &term).await {
                Ok(found) => drift.extend(found),
                Err(error) => unasked.add(format!("sale {}: {error:#}", term.sale)),
            }
        }
        unasked.report();
        for drifted in drift.iter().filter(|drift| drift.units != 0) {
            tracing::warn!(?drifted, "engine and database disagree");
        }
        Ok(Self {
            pass,
            releases_left: left.releases,
            dead_letters_open: letters.open,
            drift,
        })
    }

    /// On stdout.
    pub fn print(&self) -> anyhow::Result<()> {
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(self)?)?;
        Ok(())
    }
}
