//! Which allocation was the open pool of a sale when it was looked for last. It may be closed by now,
//! so it is believed only under its lock.

use engines::{AllocationId, SaleId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sales remembered; all are forgotten when there is one more.
const SALES_MAX: usize = 1_000;

/// Cheap to clone; all clones remember together.
#[derive(Clone, Debug, Default)]
pub struct Pools(Arc<Mutex<HashMap<SaleId, AllocationId>>>);

impl Pools {
    pub(super) fn of(&self, sale: SaleId) -> Option<AllocationId> {
        self.known().get(&sale).copied()
    }

    pub(super) fn remember(&self, sale: SaleId, pool: AllocationId) {
        let mut known = self.known();
        if known.len() >= SALES_MAX {
            known.clear();
        }
        known.insert(sale, pool);
    }

    pub(super) fn forget(&self, sale: SaleId) {
        self.known().remove(&sale);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SaleId, AllocationId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
