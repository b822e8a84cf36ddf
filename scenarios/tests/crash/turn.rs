//! Who is there at the same time: worlds that leave the shared servers alone are side by side, one
//! that makes them stand still, or takes the time, is alone.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static SERVERS: RwLock<()> = RwLock::const_new(());
/// The names of all worlds so far.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Held while a world exists.
#[derive(Debug)]
pub enum Turn {
    Beside {
        _others: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _nobody: RwLockWriteGuard<'static, ()>,
    },
}

impl Turn {
    pub async fn beside() -> Self {
        Self::Beside {
            _others: SERVERS.read().await,
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
