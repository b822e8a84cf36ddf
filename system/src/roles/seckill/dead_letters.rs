//! Whether a dead letter is open: a warning for operators, which balancers do not look at.

use crate::store::Store;
use std::time::Duration;
use tokio::sync::watch;

/// How often they are counted.
const INTERVAL: Duration = Duration::from_secs(2);

/// Looks for as long as it is polled, and says in `none_open` what it has seen last.
pub async fn watch(store: Store, none_open: watch::Sender<bool>) -> anyhow::Result<()> {
    loop {
        match store.open_dead_letters().await {
            Ok(letters) => {
                let is_none = letters.open == 0;
                none_open.send_if_modified(|known| std::mem::replace(known, is_none) != is_none);
            }
            Err(error) => tracing::debug!(%error, "dead letters cannot be counted"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
