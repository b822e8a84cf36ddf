//! Gives the units of cancelled orders back to the engine, each release at least once: an engine
//! compares the order, so that a second time changes nothing.
//!
//! release-by-epoch (R12): a release is done when an engine of its epoch or a later one has executed
//! it, when a later epoch is open, whose gate and stock were made of the rows without the order, or
//! when the sale has ended. "Not open" and "somebody else's buyer" mean: later.

mod older;

pub use older::OlderReleases;

use crate::failpoint;
use crate::store::{Release, ReleaseCursor, ReleasesLeft, Store};
use engines::{BATCH_MAX, Finish, FinishKind, Finished, SaleId, StockEngine, Term};
use std::collections::{BTreeMap, HashMap};

/// Rows of releases read in one statement; each has what one transaction has cancelled.
pub const PAGE: usize = 100;
/// Most releases of one engine call.
const CHUNK: usize = if BATCH_MAX < 500 { BATCH_MAX } else { 500 };

/// What a look at what is left came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many are done now, by sale.
    pub done: HashMap<SaleId, u64>,
    /// How many are left.
    pub left: u64,
}

impl Swept {
    /// How many are done now.
    pub fn done(&self) -> u64 {
        self.done.values().sum()
    }
}

/// Each sale's, in their order.
pub fn by_sale(releases: impl IntoIterator<Item = Release>) -> BTreeMap<SaleId, Vec<Release>> {
    let mut sales: BTreeMap<SaleId, Vec<Release>> = BTreeMap::new();
    for release in releases {
        sales.entry(release.sale).or_default().push(release);
    }
    sales
}

/// Executes releases of one sale under its open term; says which of them are done.
///
/// Also of an epoch that is over: what that answers is not needed for it.
pub async fn execute(engine: &dyn StockEngine, term: &Term, releases: &[Release]) -> Vec<Release> {
    let (mut done, mut now) = (Vec::new(), Vec::new());
    for release in releases {
        match release.epoch.cmp(&term.epoch) {
            std::cmp::Ordering::Less => done.push(*release),
            std::cmp::Ordering::Equal => now.push(*release),
            // It was cancelled while the next epoch, which is not open here yet, was being opened.
            std::cmp::Ordering::Greater => {}
        }
    }
    for chunk in now.chunks(CHUNK) {
        let finishes: Vec<Finish> = chunk.iter().map(finish).collect();
        let finished = engine.finish(term, &finishes).await;
        for (release, finished) in chunk.iter().zip(finished) {
            match finished {
                Ok(Finished::Done | Finished::AlreadyDone) => done.push(*release),
                Ok(Finished::NotOpen | Finished::WrongInstance) => {}
                Err(error) => tracing::debug!(%error, "a release is left for later"),
            }
        }
        failpoint::hit("release.after_engine");
    }
    done
}

fn finish(release: &Release) -> Finish {
    Finish {
        user: release.user,
        order: release.order,
        kind: FinishKind::Release,
    }
}

/// Goes once through everything that is left, page by page. Without an engine, what has to be
/// executed is left to whoever can. `may_take` says which rows of releases are this caller's business;
/// `older` is kept by whoever goes through them again and again.
pub async fn sweep(
    store: &Store,
    engine: Option<&dyn StockEngine>,
    older: &mut OlderReleases,
    mut may_take: impl FnMut(&ReleasesLeft) -> bool,
) -> database::Result<Swept> {
    older.take_over(store).await?;
    let mut result = Swept::default();
    let mut cursor = ReleaseCursor::default();
    loop {
        let page = store.release_page(cursor, PAGE as i64).await?;
        let Some(last) = page.last() else {
            return Ok(result);
        };
        let is_last = page.len() < PAGE;
        cursor = last.place();
        let found: usize = page.iter().map(|left| left.releases.len()).sum();
        let done = finish_page(engine, page, &mut may_take).await;
        store.mark_released(&done).await?;
        failpoint::hit("release.after_mark");
        result.left += (found - done.len()) as u64;
        for release in done {
            *result.done.entry(release.sale).or_default() += 1;
        }
        if is_last {
            return Ok(result);
        }
    }
}

async fn finish_page(
    engine: Option<&dyn StockEngine>,
    page: Vec<ReleasesLeft>,
    may_take: &mut impl FnMut(&ReleasesLeft) -> bool,
) -> Vec<Release> {
    let mut done = Vec::new();
    let mut open: BTreeMap<SaleId, (Term, Vec<Release>)> = BTreeMap::new();
    for left in page {
        if !may_take(&left) {
            continue;
        }
        match left.term {
            _ if left.is_over() => done.extend(left.releases),
            Some(term) => {
                let of_sale = open.entry(left.sale).or_insert((term, Vec::new()));
                of_sale.1.extend(left.releases);
            }
            None => {}
        }
    }
    if let Some(engine) = engine {
        for (term, releases) in open.into_values() {
            done.extend(execute(engine, &term, &releases).await);
        }
    }
    done
}
