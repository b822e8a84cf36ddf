//! What is remembered of products, so that a crowd of readers costs the database a few statements a
//! second, whoever they are and whatever they ask for.
//!
//! Products are remembered until somebody changes them: every change, through whichever instance,
//! raises a version in the database, and each instance reads often which products have one that it
//! does not know. Purchases change no product. How many units are left is read apart, and shown with
//! its age; lists are remembered for a moment.

mod changes;
mod looks;
mod recent;

use crate::clock::unix_ms;
use crate::config::ProductConfig;
use crate::metrics::Metrics;
use crate::store::{ProductPage, ProductView, Store};
use changes::{Changes, TRUST_MAX};
use engines::SaleId;
use looks::Looks;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

pub use looks::Unseen;

/// Products are looked at again after so long, although nobody has changed them.
const PRODUCT_AGE_MAX: Duration = Duration::from_secs(30);
/// Lists are looked at again after so long: what is on sale is a matter of the time, too.
const PAGE_AGE_MAX: Duration = Duration::from_millis(500);
/// Memory for products, for numbers of units and for lists, bytes, roughly.
const PRODUCTS_BYTES_MAX: usize = 64 << 20;
const UNITS_BYTES_MAX: usize = 8 << 20;
const PAGES_BYTES_MAX: usize = 8 << 20;
/// Pause after a look that failed.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest wait of who has changed a product until that is seen here, and how many wait.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);
const CATCHING_UP_MAX: usize = 64;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub ids: Arc<[SaleId]>,
    /// How many products there are on all pages.
    pub total: i64,
}

/// What is remembered; cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache {
    products: Looks<SaleId, Arc<ProductView>>,
    units: Looks<SaleId, i64>,
    pages: Looks<ProductPage, Page>,
    catch_up: mpsc::Sender<oneshot::Sender<()>>,
}

impl Cache {
    /// With what looks into the database for it, which is to run for as long as anybody reads.
    pub async fn start(
        store: &Store,
        config: &ProductConfig,
    ) -> database::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let unit_age = Duration::from_millis(config.stock_age_ms);
        let (catch_up, asked) = mpsc::channel(CATCHING_UP_MAX);
        let this = Self {
            products: Looks::new(PRODUCTS_BYTES_MAX, PRODUCT_AGE_MAX, |product| {
                let texts = [&product.name, &product.description, &product.image_url];
                size_of::<ProductView>() + texts.iter().map(|text| text.len()).sum::<usize>()
            }),
            units: Looks::new(UNITS_BYTES_MAX, unit_age, |_| 0),
            pages: Looks::new(PAGES_BYTES_MAX, PAGE_AGE_MAX, |page| {
                size_of_val(&*page.ids)
            }),
            catch_up,
        };
        let read_at = Instant::now();
        let changes = Changes {
            store: store.clone(),
            products: this.products.clone(),
            pages: this.pages.clone(),
            version: store.products_version().await?,
            interval: Duration::from_millis(config.changes_interval_ms),
        };
        this.products.trust_until(read_at + TRUST_MAX);
        let (units, pages) = (this.units.clone(), this.pages.clone());
        let store = store.clone();
        let running = async move {
            tokio::select! {
                () = changes.follow(asked) => {}
                () = count_units(&store, &units) => {}
                () = list(&store, &pages) => {}
            }
        };
        Ok((this, running))
    }

    /// Registers what is counted of each kind of reading.
    pub fn observe(&self, metrics: &Metrics) {
        self.products.observe(metrics, "products");
        self.units.observe(metrics, "units");
        self.pages.observe(metrics, "pages");
    }

    /// One product, as it is or was a moment ago; `None`: there is none.
    pub async fn product(&self, sale: SaleId) -> Result<Option<Arc<ProductView>>, Unseen> {
        Ok(self.products.get(sale).await?.value)
    }

    /// How many units of a sale were left, and when.
    pub async fn units_left(&self, sale: SaleId) -> Result<(i64, Instant), Unseen> {
        let seen = self.units.get(sale).await?;
        Ok((seen.value.unwrap_or_default(), seen.at))
    }

    /// What is on a page.
    pub async fn page(&self, page: ProductPage) -> Result<Page, Unseen> {
        let seen = self.pages.get(page).await?;
        // Of every page there is something to say.
        seen.value.ok_or(Unseen::TooLate)
    }

    /// Waits, within a bound, until whoever asks here sees what was changed before.
    pub async fn catch_up(&self) {
        let (done, caught_up) = oneshot::channel();
        if self.catch_up.try_send(done).is_ok() {
            let _ = tokio::time::timeout(CATCH_UP_MAX, caught_up).await;
        }
    }
}

/// Counts the units of all sales that are asked for, in one look, again and again.
async fn count_units(store: &Store, units: &Looks<SaleId, i64>) {
    loop {
        units.wanted().await;
        let Some(look) = units.next() else { continue };
        let found = store.units_left(&look.keys).await;
        let has_failed = found.is_err();
        units.done(look, found.map_err(|error| error.to_string()));
        pause_if(has_failed).await;
    }
}

/// Looks at the pages that are asked for.
async fn list(store: &Store, pages: &Looks<ProductPage, Page>) {
    loop {
        pages.wanted().await;
        let Some(look) = pages.next() else { continue };
        let found = read_pages(store, &look.keys).await;
        let has_failed = found.is_err();
        pages.done(look, found.map_err(|error| error.to_string()));
        pause_if(has_failed).await;
    }
}

async fn read_pages(
    store: &Store,
    pages: &[ProductPage],
) -> database::Result<HashMap<ProductPage, Page>> {
    let mut found = HashMap::with_capacity(pages.len());
    for page in pages {
        let (ids, total) = store.product_page(page, unix_ms() / 1_000).await?;
        let ids = ids.into();
        found.insert(*page, Page { ids, total });
    }
    Ok(found)
}

async fn pause_if(has_failed: bool) {
    if has_failed {
        tokio::time::sleep(PAUSE).await;
    }
}
