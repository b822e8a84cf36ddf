//! Expiry: cancels orders that were not paid in time, in batches, oldest first.
//!
//! It walks the orders by id, that is by the time of their minting, from a place that is kept in the
//! database up to those whose time to pay has just ended. The place follows the walk, and is taken
//! back by whoever writes the row of an older order, so that an order expires however late its row
//! is. Where a row is being written, or a sale cannot be changed, it stays, while the walk goes on; the
//! next begins there again. Whether an order is still to be paid is decided under its lock, with
//! everything else that may become of it; what is cancelled is given back to the engine like any other
//! cancelled order.
//!
//! Every step may be repeated, also by a second reconciler.

use super::endings::hour;
use crate::config::Config;
use crate::failpoint;
use crate::order_id::last_minted_by;
use crate::repair::{Pass, Troubles, releases};
use crate::store::{OrderChange, OrderChanged, OrderWish, PlaceMove, Release, Store};
use engines::{OrderId, SaleId, StockEngine, Term};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Orders looked at in one statement, and cancelled in one transaction per sale, which holds up the
/// consumer's for as long as it takes.
const PAGE: usize = 256;
/// A pass takes no new page after this time: other repairs wait behind it.
const SLICE: Duration = Duration::from_millis(500);
/// Longest pause between two walks.
const PAUSE_MAX_MS: u64 = 10_000;
/// Longest wait for the engine to take a page of releases back; others do it later.
const RELEASE_MAX: Duration = Duration::from_secs(1);

/// Expires orders, a slice in each pass.
#[derive(Debug)]
pub struct Expiry {
    time_to_pay_ms: u64,
    /// Between the end of a walk and the beginning of the next.
    pause: Duration,
    copies: bool,
    due: Instant,
    walk: Option<Walk>,
    troubles: Troubles,
}

/// On the way through the orders.
#[derive(Clone, Copy, Debug)]
struct Walk {
    /// Everything up to here was looked at; the place, unless it is held.
    at: OrderId,
    /// Where the place is, somebody was writing a row, or a sale could not be changed: it stays
    /// there until the next walk.
    is_held: bool,
    /// The last that it looks at.
    until: OrderId,
}

/// What is needed to give back what was cancelled: the open terms, and an engine that this process
/// can release in.
struct Means<'a> {
    store: &'a Store,
    engine: Option<&'a dyn StockEngine>,
    terms: HashMap<SaleId, Term>,
}

impl Expiry {
    pub fn new(config: &Config) -> Self {
        let time_to_pay_ms = config.order.time_to_pay_s.saturating_mul(1_000);
        let pause_ms = (time_to_pay_ms / 10).min(PAUSE_MAX_MS);
        Self {
            time_to_pay_ms,
            pause: Duration::from_millis(pause_ms.max(config.reconciler.interval_ms)),
            copies: config.order.copies,
            due: Instant::now(),
            walk: None,
            troubles: Troubles::new("orders that were not paid in time cannot be cancelled yet"),
        }
    }

    /// Goes on with the walk, or begins the next if it is due. A walk that is not at its end is
    /// counted as left. `engine`: where its state is in a server.
    pub async fn advance(&mut self, store: &Store, engine: Option<&dyn StockEngine>) -> Pass {
        let mut pass = Pass::default();
        if self.time_to_pay_ms > 0
            && let Err(error) = self.go_on(store, engine, &mut pass).await
        {
            self.walk = None;
            pass.left += 1;
            self.troubles.add(error);
        }
        self.troubles.report();
        pass
    }

    async fn go_on(
        &mut self,
        store: &Store,
        engine: Option<&dyn StockEngine>,
        pass: &mut Pass,
    ) -> database::Result<()> {
        let Some(mut walk) = self.take_up(store).await? else {
            return Ok(());
        };
        let mut means = Means {
            store,
            engine,
            terms: HashMap::new(),
        };
        let started = Instant::now();
        while walk.at < walk.until && started.elapsed() < SLICE {
            let page = store.sweep_orders(walk.at, walk.until, PAGE).await?;
            if !page.unpaid.is_empty() {
                let (expired, is_whole) = self.expire(&mut means, &page.unpaid).await?;
                pass.orders_expired += expired;
                walk.is_held |= !is_whole;
            }
            let to = page.last.unwrap_or(walk.until);
            if !walk.is_held {
                failpoint::hit("reconciler.before_expiry_place");
                match store.move_expiry_place(walk.at, to).await? {
                    PlaceMove::Moved => {}
                    PlaceMove::Held => walk.is_held = true,
                    PlaceMove::TakenBack => {
                        pass.left += 1;
                        return Ok(());
                    }
                }
                failpoint::hit("reconciler.after_expiry_place");
            }
            walk.at = to;
        }
        let is_over = walk.at >= walk.until;
        if is_over {
            self.due = Instant::now() + self.pause;
        } else {
            self.walk = Some(walk);
        }
        pass.left += u64::from(!is_over || walk.is_held);
        Ok(())
    }

    /// The walk that is under way, or the next; `None`: none is due, or nobody's time to pay has
    /// ended since the last.
    async fn take_up(&mut self, store: &Store) -> database::Result<Option<Walk>> {
        if let Some(walk) = self.walk.take() {
            return Ok(Some(walk));
        }
        if Instant::now() < self.due {
            return Ok(None);
        }
        let ended_ms = hour(store)
            .await?
            .saturating_sub_unsigned(self.time_to_pay_ms);
        let (place, until) = (store.expiry_place().await?, last_minted_by(ended_ms));
        if place >= until {
            self.due = Instant::now() + self.pause;
            return Ok(None);
        }
        Ok(Some(Walk {
            at: place,
            is_held: false,
            until,
        }))
    }

    /// How many of `orders` it has cancelled, and whether it has seen to all: a sale that cannot be
    /// changed now keeps the others from nothing.
    async fn expire(
        &mut self,
        means: &mut Means<'_>,
        orders: &[OrderId],
    ) -> database::Result<(u64, bool)> {
        let changes: Vec<OrderChange> = orders
            .iter()
            .map(|order| OrderChange {
                order: *order,
                by: None,
                wish: OrderWish::Expire,
            })
            .collect();
        let changed = means.store.change_orders(&changes, self.copies).await?;
        failpoint::hit("reconciler.after_expiry");
        let (mut expired, mut released) = (0, Vec::new());
        let is_whole = changed.failed.is_empty();
        for (sale, error) in changed.failed {
            self.troubles.add(format!("sale {sale}: {error}"));
        }
        for changed in changed.answers {
            // The others were paid or cancelled meanwhile.
            if let OrderChanged::Done(release) = changed {
                expired += 1;
                released.extend(release);
            }
        }
        means.give_back(released).await?;
        Ok((expired, is_whole))
    }
}

impl Means<'_> {
    /// Gives back what the engine takes now; the rest stands in the outbox.
    async fn give_back(&mut self, released: Vec<Release>) -> database::Result<()> {
        let Some(engine) = self.engine.filter(|_| !released.is_empty()) else {
            return Ok(());
        };
        if self.terms.is_empty() {
            let rows = self.store.sales().await?.into_iter();
            let terms = rows.filter_map(|row| Some((row.sale, row.open?.term)));
            self.terms = terms.collect();
        }
        for (sale, released) in releases::by_sale(released) {
            let Some(term) = self.terms.get(&sale) else {
                continue;
            };
            let executing = releases::execute(engine, term, &released);
            let Ok(done) = tokio::time::timeout(RELEASE_MAX, executing).await else {
                // It is away: it is not waited for again in this slice.
                self.engine = None;
                return Ok(());
            };
            failpoint::hit("reconciler.after_expiry_release");
            self.store.mark_released(&done).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
