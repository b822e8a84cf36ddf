//! What a reconciler counts, and what it looks up when somebody scrapes.

use crate::admin::Admin;
use crate::clock::unix_ms;
use crate::metrics::{Kind, Metrics};
use crate::repair::Pass;
use crate::store::{SaleRow, Store};
use engines::{SaleId, StockEngine};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Sales that have series of their own: the first by their ids.
const SALES_MAX: usize = 100;
/// States of a sale, in the order of [`state`].
const STATES: [&str; 5] = ["waiting", "open", "opening", "paused", "ending"];
/// States of a publisher, as its row has them.
const LIVES: [&str; 3] = ["live", "fenced", "gone"];

/// Of one process.
#[derive(Debug, Default)]
pub struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
    /// Unix ms at which a pass last ended well.
    last_pass_ms: AtomicI64,
    first_epochs: AtomicU64,
    later_epochs: AtomicU64,
    voids: AtomicU64,
    expired: AtomicU64,
    /// Oldest open hold of each sale, as the last pass saw it.
    holds: Mutex<HashMap<SaleId, Duration>>,
    drift: Mutex<HashMap<SaleId, i64>>,
    seen: Mutex<Seen>,
}

/// What was looked up last.
#[derive(Debug, Default)]
struct Seen {
    sales: [u64; STATES.len()],
    publishers: [u64; LIVES.len()],
    stock: Vec<(SaleId, Stock)>,
}

/// Of one sale, as the engine has it.
#[derive(Clone, Copy, Debug)]
struct Stock {
    remaining: i64,
    open_units: u64,
}

impl Counts {
    /// A pass has ended.
    pub fn pass(&self, ended: &anyhow::Result<Pass>) {
        match ended {
            Ok(pass) => {
                self.done.fetch_add(1, Ordering::Relaxed);
                self.last_pass_ms.store(unix_ms(), Ordering::Relaxed);
                let later = pass.epochs_opened.saturating_sub(pass.first_epochs);
                self.first_epochs
                    .fetch_add(pass.first_epochs, Ordering::Relaxed);
                self.later_epochs.fetch_add(later, Ordering::Relaxed);
                self.expired
                    .fetch_add(pass.orders_expired, Ordering::Relaxed);
                self.voids.fetch_add(pass.holds_released, Ordering::Relaxed);
            }
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How long the oldest open hold of each sale has been untouched.
    pub fn holds(&self, oldest: HashMap<SaleId, Duration>) {
        *lock(&self.holds) = oldest;
    }

    /// By how many units more the engine has than the database.
    pub fn drift(&self, sale: SaleId, units: i64) {
        lock(&self.drift).insert(sale, units);
    }

    /// Registers what is counted and what is looked up.
    pub fn register(self: &Arc<Self>, admin: &Admin, store: &Store, engine: &Arc<dyn StockEngine>) {
        self.register_passes(admin.metrics());
        self.register_sales(admin.metrics());
        let (counts, store, engine) = (self.clone(), store.clone(), engine.clone());
        admin.measure("the sales", move || {
            let (counts, store, engine) = (counts.clone(), store.clone(), engine.clone());
            async move {
                if let Err(error) = counts.look(&store, engine.as_ref()).await {
                    tracing::debug!(error = format!("{error:#}"), "sales were not looked at");
                }
            }
        });
    }

    fn register_passes(self: &Arc<Self>, metrics: &Metrics) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = self.clone();
        let (name, help) = ("seckill_reconciler_passes_total", "Looks at everything");
        metrics.register(Kind::Counter, name, help, move |out| {
            out.count(&[("result", "done")], of(&counts.done));
            out.count(&[("result", "failed")], of(&counts.failed));
        });
        let counts = self.clone();
        let name = "seckill_reconciler_last_pass_timestamp_seconds";
        let help = "Unix time at which a pass last ended without a fault";
        metrics.gauge(name, help, move || {
            counts.last_pass_ms.load(Ordering::Relaxed) as f64 / 1e3
        });
        let counts = self.clone();
        let help = "Epochs; first: of a sale that had none";
        metrics.register(
            Kind::Counter,
            "seckill_epochs_opened_total",
            help,
            move |out| {
                out.count(&[("reason", "first")], of(&counts.first_epochs));
                out.count(&[("reason", "again")], of(&counts.later_epochs));
            },
        );
        let counts = self.clone();
        let (name, help) = ("seckill_order_changes_total", "Changes of orders");
        metrics.register(Kind::Counter, name, help, move |out| {
            let labels = [("change", "expire"), ("result", "done")];
            out.count(&labels, of(&counts.expired));
        });
        let counts = self.clone();
        let help = "Holds whose order was made VOID and whose units went back";
        metrics.counter("seckill_voids_total", help, move || of(&counts.voids));
    }

    fn register_sales(self: &Arc<Self>, metrics: &Metrics) {
        let counts = self.clone();
        metrics.register(Kind::Gauge, "seckill_sales", "Sales", move |out| {
            for (state, count) in STATES.iter().zip(lock(&counts.seen).sales) {
                out.count(&[("state", state)], count);
            }
        });
        let counts = self.clone();
        metrics.register(
            Kind::Gauge,
            "seckill_incarnations",
            "Publishers",
            move |out| {
                for (state, count) in LIVES.iter().zip(lock(&counts.seen).publishers) {
                    out.count(&[("state", state)], count);
                }
            },
        );
        let counts = self.clone();
        let help = "Units the engine could still sell";
        metrics.register(
            Kind::Gauge,
            "seckill_stock_remaining_units",
            help,
            move |out| {
                for (sale, stock) in &lock(&counts.seen).stock {
                    out.value(&[("sale", &label(*sale))], stock.remaining as f64);
                }
            },
        );
        let counts = self.clone();
        let help = "Units that are granted and not settled";
        metrics.register(Kind::Gauge, "seckill_open_hold_units", help, move |out| {
            for (sale, stock) in &lock(&counts.seen).stock {
                out.value(&[("sale", &label(*sale))], stock.open_units as f64);
            }
        });
        let counts = self.clone();
        let help = "Since the oldest open hold was touched";
        metrics.register(
            Kind::Gauge,
            "seckill_open_hold_age_seconds",
            help,
            move |out| {
                let holds = lock(&counts.holds);
                for (sale, _) in lock(&counts.seen).stock.iter() {
                    let age = holds.get(sale).copied().unwrap_or_default();
                    out.value(&[("sale", &label(*sale))], age.as_secs_f64());
                }
            },
        );
        let counts = self.clone();
        let help = "By how much the engine has more than the database, when last compared";
        metrics.register(Kind::Gauge, "seckill_stock_drift_units", help, move |out| {
            let drift = lock(&counts.drift);
            for (sale, _) in lock(&counts.seen).stock.iter() {
                let units = drift.get(sale).copied().unwrap_or_default();
                out.value(&[("sale", &label(*sale))], units as f64);
            }
        });
    }

    async fn look(&self, store: &Store, engine: &dyn StockEngine) -> anyhow::Result<()> {
        let now_ms = store.now_ms().await?;
        let rows = store.sales().await?;
        let mut seen = Seen::default();
        for row in &rows {
            seen.sales[state(row, now_ms)] += 1;
        }
        for publisher in store.incarnation_states().await? {
            let known = LIVES.iter().position(|state| *state == publisher.state);
            if let Some(known) = known {
                seen.publishers[known] += 1;
            }
        }
        let open: Vec<_> = rows.iter().filter_map(|row| row.open).collect();
        lock(&self.drift).retain(|sale, _| open.iter().any(|open| open.term.sale == *sale));
        // Leases of a process are for that process to tell.
        let guarantees = engine.info().guarantees;
        let is_seen = guarantees.keeps_stock && !guarantees.needs_one_engine_per_process;
        for open in open.iter().take(SALES_MAX).filter(|_| is_seen) {
            // What the engine does not tell has no series.
            if let Ok(view) = engine.stock(&open.term).await {
                let stock = Stock {
                    remaining: view.remaining,
                    open_units: view.open_units,
                };
                seen.stock.push((open.term.sale, stock));
            }
        }
        *lock(&self.seen) = seen;
        Ok(())
    }
}

/// The index of the state of a sale that has not ended.
fn state(row: &SaleRow, now_ms: i64) -> usize {
    match row {
        row if row.is_ending || row.is_over(now_ms) => 4,
        row if row.is_paused => 3,
        row if row.open.is_none() => 2,
        row if now_ms < row.starts_at.saturating_mul(1_000) => 0,
        _ => 1,
    }
}

fn label(sale: SaleId) -> String {
    sale.0.to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
