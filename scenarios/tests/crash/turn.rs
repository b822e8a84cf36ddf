//! Who is there at the same time: worlds that leave the shared servers alone are side by side, one
//! that makes them stand still, or takes the time, is alone.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::available_parallelism;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit};

static SERVERS: RwLock<()> = RwLock::const_new(());
/// One place per core, however many tests there are at once: their leases are short, and must not run
/// out because others keep a process waiting.
static PLACES: OnceLock<Semaphore> = OnceLock::new();
/// The names of all worlds so far.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Held while a world exists.
#[derive(Debug)]
pub enum Turn {
    Beside {
        _others: RwLockReadGuard<'static, ()>,
        _place: SemaphorePermit<'static>,
    },
    Alone {
        _nobody: RwLockWriteGuard<'static, ()>,
    },
}

impl Turn {
    pub async fn beside() -> Self {
        let cores = || available_parallelism().map_or(1, usize::from);
        let places = PLACES.get_or_init(|| Semaphore::new(cores()));
        let place = places.acquire().await.expect("nobody closes it");
        Self::Beside {
            _others: SERVERS.read().await,
            _place: place,
        }
    }

    pub async fn alone() -> Self {
        Self::Alone {
            _nobody: SERVERS.write().await,
        }
    }
}

/// Fails the second test that calls its world so.
pub fn only_one_is_called(name: &str) {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(
        names.insert(name.to_owned()),
        "two tests call their world {name:?} and would meet in one database"
    );
}
