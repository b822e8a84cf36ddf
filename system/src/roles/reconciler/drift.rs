//! Drift: what an engine says of its stock against what the database says of it. Looked at when a
//! sale is quiet, and told, never repaired: an engine is not believed over the rows, and numbers are
//! not copied from one to the other; the next epoch makes both from the rows.

use super::counts::Counts;
use crate::store::{Allocated, Store};
use engines::{SaleId, StockEngine, StockView, Term};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Pause between two looks of a reconciler that runs for ever.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Most sales looked at in one of its looks.
const SALES_PER_LOOK: usize = 100;

/// The two views of a quiet sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    pub product_id: SaleId,
    /// Units that the engine can still sell.
    pub engine_remaining: i64,
    /// Units that the open allocation of the database has not sold.
    pub database_remaining: i64,
    /// By how much the engine has more than the database.
    pub units: i64,
    /// In words.
    pub means: String,
}

/// Both sides of one sale, read while nothing changed.
#[derive(Clone, Copy, Debug)]
struct Sides {
    remaining: i64,
    unsold: i64,
}

/// `None`: the sale is not quiet, or not open, so the two cannot be compared; or the engine has no
/// stock of its own, or none that this process can see.
pub async fn of_sale(
    store: &Store,
    engine: &dyn StockEngine,
    term: &Term,
) -> anyhow::Result<Option<Drift>> {
    let guarantees = engine.info().guarantees;
    if !guarantees.keeps_stock || guarantees.needs_one_engine_per_process {
        return Ok(None);
    }
    let Some(before) = quiet(store, term).await? else {
        return Ok(None);
    };
    let view = engine.stock(term).await?;
    // Units that were on their way between parts of the engine have arrived elsewhere by now.
    let again = engine.stock(term).await?;
    let is_same = (view.remaining, view.open_units) == (again.remaining, again.open_units);
    // Whatever became a row, was cancelled or was granted meanwhile shows here.
    let is_same = is_same && quiet(store, term).await? == Some(before);
    Ok((is_same && is_at_rest(&view, term)).then(|| {
        let sides = Sides {
            remaining: view.remaining,
            unsold: before.granted - before.sold,
        };
        tell(term.sale, sides)
    }))
}

/// What is granted and sold, if the term is open and no release is left in the outbox.
async fn quiet(store: &Store, term: &Term) -> database::Result<Option<Allocated>> {
    let allocated = store.allocated(&[term.sale]).await?;
    let releases = store.releases_left(&[term.sale]).await?;
    let state = store.sale_state(term.sale).await?;
    let is_open = state.and_then(|state| state.term) == Some(*term);
    let is_quiet = is_open && releases.is_empty();
    Ok(allocated.get(&term.sale).copied().filter(|_| is_quiet))
}

fn is_at_rest(view: &StockView, term: &Term) -> bool {
    view.is_open && view.open_units == 0 && view.epoch == Some(term.epoch)
}

fn tell(sale: SaleId, Sides { remaining, unsold }: Sides) -> Drift {
    let units = remaining - unsold;
    let means = match units {
        0 => "engine and database agree".to_owned(),
        1.. => format!(
            "the engine would sell {units} units more than the database allows; their orders would be refused and parked"
        ),
        _ => format!(
            "{} units are missing in the engine; nobody can buy them before the next epoch",
            units.unsigned_abs()
        ),
    };
    Drift {
        product_id: sale,
        engine_remaining: remaining,
        database_remaining: unsold,
        units,
        means,
    }
}

/// Looks now and then, and warns.
#[derive(Debug)]
pub struct DriftWatch {
    looked: Instant,
    /// The last sale looked at: with very many, a look goes on where the one before ended.
    last: SaleId,
}

impl DriftWatch {
    /// The first look is due after a pause.
    pub fn new() -> Self {
        Self {
            looked: Instant::now(),
            last: SaleId(0),
        }
    }

    /// Warns of what has drifted in some of the open sales, if a look is due.
    pub async fn look(
        &mut self,
        store: &Store,
        engine: &dyn StockEngine,
        counts: &Counts,
    ) -> anyhow::Result<()> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.looked = Instant::now();
        let sales = store.sales().await?;
        let mut terms: Vec<Term> = sales
            .into_iter()
            .filter_map(|row| Some(row.open?.term))
            .collect();
        let passed = terms.partition_point(|term| term.sale <= self.last);
        terms.rotate_left(passed);
        for term in terms.iter().take(SALES_PER_LOOK) {
            self.last = term.sale;
            let drift = of_sale(store, engine, term).await?;
            if let Some(drift) = &drift {
                counts.drift(drift.product_id, drift.units);
            }
            if let Some(drift) = drift.filter(|drift| drift.units != 0) {
                tracing::warn!(sale = term.sale.0, ?drift, "engine and database disagree");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_says_on_which_side_the_units_are_and_what_follows() {
        let of = |remaining, unsold| tell(SaleId(7), Sides { remaining, unsold });
        assert_eq!((of(4, 4).units, of(0, 0).units), (0, 0));
        let more = of(5, 3);
        assert_eq!(more.units, 2);
        assert!(more.means.contains("2 units more"), "{}", more.means);
        let fewer = of(1, 4);
        assert_eq!(fewer.units, -3);
        assert!(
            fewer.means.starts_with("3 units are missing"),
            "{}",
            fewer.means
        );
    }
}
