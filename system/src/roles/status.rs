//! `seckill status`: what there is of sales, processes, queues and things left to be done, in a
//! table or as JSON. It only looks, and what cannot be asked is said to be so; the database has to
//! be there.

mod report;
mod text;

use crate::broker::{self, Settings};
use crate::config::Config;
use crate::roles;
use crate::store::{SaleState, Store};
use anyhow::Context;
use engines::{EngineFactory, Registry, SaleId, StockEngine, Term};
use report::{
    ConsumerStatus, DeadLetters, EngineStock, IncarnationStatus, Outbox, Report, SaleStatus, Window,
};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for an engine's server, and for the broker, all that they are asked together.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// As JSON.
    pub json: bool,
    /// Orders are counted.
    pub orders: bool,
    /// Most sales.
    pub sales: u32,
}

/// Looks once, and prints.
///
/// # Errors
/// When the database cannot be asked.
pub async fn run(config: &Config, registry: &Registry, shown: Shown) -> anyhow::Result<()> {
    let factory = roles::engine(config, registry)?;
    let store = Store::connect(&config.database, factory).await?;
    let look = Look {
        config,
        registry,
        factory,
        store: &store,
    };
    let report = look.report(shown).await;
    let report = report.context("the database cannot be asked");
    store.close().await;
    let report = report?;
    let mut out = std::io::stdout().lock();
    match shown.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{}", text::render(&report))?,
    }
    Ok(())
}

struct Look<'a> {
    config: &'a Config,
    registry: &'a Registry,
    factory: &'a EngineFactory,
    store: &'a Store,
}

impl Look<'_> {
    async fn report(&self, shown: Shown) -> anyhow::Result<Report> {
        let store = self.store;
        let now_ms = store.now_ms().await?;
        let (states, all) = store.sale_states(shown.sales).await?;
        let (left, letters) = (store.left_over().await?, store.open_dead_letters().await?);
        let age_ms = |at_ms: i64| now_ms.saturating_sub(at_ms).max(0);
        let mut report = Report {
            at_ms: now_ms,
            engine: self.config.seckill.engine.to_string(),
            not_asked: Vec::new(),
            sales_not_shown: all.saturating_sub(states.len() as u64),
            sales: self.sales(states, now_ms, shown.orders).await?,
            incarnations: Vec::new(),
            consumers: Vec::new(),
            dead_letters: DeadLetters {
                open: letters.open,
                oldest_age_ms: (letters.open > 0).then_some(letters.oldest_age_ms),
            },
            outbox: Outbox {
                releases_left: left.releases,
                oldest_release_age_ms: left.oldest_release_ms.map(age_ms),
                copies_left: left.copies,
            },
        };
        for row in store.incarnation_states().await? {
            report.incarnations.push(IncarnationStatus {
                beat_age_ms: age_ms(row.beaten_at_ms),
                waiting: None,
                row,
            });
        }
        for row in store.consumer_states().await? {
            report.consumers.push(ConsumerStatus {
                beat_age_ms: age_ms(row.beaten_at_ms),
                row,
            });
        }
        let (stock, depths) = tokio::join!(
            within("engine", self.ask_engine(&report.sales)),
            within("broker", self.ask_broker(&report.incarnations)),
        );
        match stock {
            Ok(Some(stock)) => {
                for sale in &mut report.sales {
                    sale.engine = stock.get(&sale.row.product_id).copied();
                }
            }
            // The engine's holds are in the memory of the publishing processes.
            Ok(None) => report
                .not_asked
                .push("engine: its stock is in its processes".to_owned()),
            Err(why) => report.not_asked.push(why),
        }
        match depths {
            Ok(depths) => {
                for (incarnation, waiting) in report.incarnations.iter_mut().zip(depths) {
                    incarnation.waiting = waiting;
                }
            }
            Err(why) => report.not_asked.push(why),
        }
        Ok(report)
    }

    async fn sales(
        &self,
        states: Vec<SaleState>,
        now_ms: i64,
        orders: bool,
    ) -> anyhow::Result<Vec<SaleStatus>> {
        let ids: Vec<SaleId> = states.iter().map(|state| state.product_id).collect();
        let allocated = self.store.allocated(&ids).await?;
        let releases = self.store.releases_left(&ids).await?;
        let mut leases: HashMap<SaleId, Vec<_>> = HashMap::new();
        for lease in self.store.lease_states(&ids).await? {
            leases.entry(lease.sale).or_default().push(lease);
        }
        let counts = match orders {
            true => Some(self.store.count_orders(&ids).await?),
            false => None,
        };
        let sales = states.into_iter().map(|row| {
            let id = row.product_id;
            SaleStatus {
                window: Window::of(&row, now_ms),
                allocated: allocated.get(&id).copied().unwrap_or_default(),
                engine: None,
                releases_left: releases.get(&id).copied().unwrap_or_default(),
                orders: counts.as_ref().and_then(|counts| counts.get(&id).copied()),
                leases: leases.remove(&id).unwrap_or_default(),
                row,
            }
        });
        Ok(sales.collect())
    }

    /// `None`: the stock is in the publishing processes, so that nobody else can tell.
    async fn ask_engine(
        &self,
        sales: &[SaleStatus],
    ) -> anyhow::Result<Option<HashMap<SaleId, EngineStock>>> {
        let guarantees = self.registry.check(&self.config.seckill.engine)?.guarantees;
        if guarantees.needs_one_engine_per_process {
            return Ok(None);
        }
        let terms: Vec<Term> = sales.iter().filter_map(|sale| sale.row.term).collect();
        if terms.is_empty() || !guarantees.keeps_stock {
            return Ok(Some(HashMap::new()));
        }
        let engine: Arc<dyn StockEngine> = roles::build_engine(self.config, self.registry)
            .await
            .with_context(|| self.factory.name)?;
        let mut stock = HashMap::with_capacity(terms.len());
        for term in terms {
            let view = engine.stock(&term).await?;
            let found = EngineStock {
                is_open: view.is_open,
                remaining: view.remaining,
                open_units: view.open_units,
            };
            stock.insert(term.sale, found);
        }
        Ok(Some(stock))
    }

    async fn ask_broker(
        &self,
        incarnations: &[IncarnationStatus],
    ) -> anyhow::Result<Vec<Option<u64>>> {
        let settings = Settings::new(self.config);
        let mut waiting = Vec::with_capacity(incarnations.len());
        if incarnations.iter().all(|each| each.row.queue.is_empty()) {
            return Ok(waiting);
        }
        let broker = broker::connect(&settings, "status").await?;
        for incarnation in incarnations {
            waiting.push(match incarnation.row.queue.is_empty() {
                true => None,
                false => broker.waiting(incarnation.row.id).await?,
            });
        }
        broker.close("status shown").await;
        Ok(waiting)
    }
}

/// What `whom` answers in time, or why it did not, in one line.
async fn within<T>(
    whom: &str,
    asking: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{whom}: {error:#}")),
        Err(_) => Err(format!("{whom}: no answer within {PATIENCE:?}")),
    }
}
