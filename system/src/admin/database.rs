//! What every role needs: its database.

use super::state::Admin;
use crate::metrics::Kind;
use crate::store::Store;
use std::time::Duration;

/// Longest wait for a sign of life, within what a look may take.
const ANSWER_MAX: Duration = Duration::from_millis(800);

impl Admin {
    /// The role is ready only while its database answers.
    pub(crate) fn needs_database(&self, store: &Store) {
        let counted = store.clone();
        let help = "Connections of the pool";
        let name = "seckill_database_connections";
        self.metrics()
            .register(Kind::Gauge, name, help, move |out| {
                let (used, idle) = counted.connections();
                out.count(&[("state", "used")], used.into());
                out.count(&[("state", "idle")], idle.into());
            });
        let asked = store.clone();
        self.look("the database", move || {
            let store = asked.clone();
            async move {
                match tokio::time::timeout(ANSWER_MAX, store.now_ms()).await {
                    Ok(Ok(_)) => None,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "the database does not answer");
                        Some("the database does not answer".to_owned())
                    }
                    Err(_) => Some(format!("the database is silent for {ANSWER_MAX:?}")),
                }
            }
        });
    }
}
