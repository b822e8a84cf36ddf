//! What proves that a queue is drained: the sessions that consume it, and markers they committed.

use super::handle::Store;
use crate::ids::ConsumerSession;
use database::fixed_rows::{BULK, Statement};
use database::{Arg, Result};
use engines::IncarnationId;

/// Markers deleted in one go.
const MARKERS_FORGOTTEN_MAX: i64 = 1_000;

impl Store {
    /// The session that consumes the queue now; `None` when the queue counts as drained for ever
    /// (exclusive-route, R6) or never was.
    pub async fn consumer_session(&self, id: IncarnationId) -> Result<Option<ConsumerSession>> {
        let sql = "SELECT consumer_session FROM incarnations WHERE id = ? AND state <> 'gone' AND queue <> ''";
        self.database.row(sql, [id]).await
    }

    /// The session that committed this marker, if it is committed.
    pub async fn marker_session(&self, nonce: u64) -> Result<Option<ConsumerSession>> {
        let sql = "SELECT consumer_session FROM markers WHERE nonce = ?";
        self.database.row(sql, [nonce]).await
    }

    /// Deletes a bounded number of markers that were committed before; how many.
    pub async fn forget_markers(&self, before_ms: i64) -> Result<u64> {
        static DELETE: Statement =
            Statement::new(BULK, "DELETE FROM markers WHERE nonce IN (", "?", ")");
        let sql = "SELECT nonce FROM markers WHERE committed_at_ms < ? LIMIT ?";
        let args = [Arg::from(before_ms), MARKERS_FORGOTTEN_MAX.into()];
        let nonces: Vec<u64> = self.database.rows(sql, args).await?;
        for slice in BULK.cut(&nonces) {
            let delete = DELETE.for_rows(slice.len());
            self.database.run(delete, slice.iter().copied()).await?;
        }
        Ok(nonces.len() as u64)
    }
}
