//! Running consumers: that each of them lives, and what it consumes.
//!
//! As with incarnations, whether one is silent is for the reader to find out, on a clock of their
//! own: the times in the rows are for people.

use super::handle::Store;
use super::types::ConsumerLife;
use crate::ids::ConsumerId;
use database::{Arg, Result};

impl Store {
    /// Adds a consumer of this kind.
    pub async fn join_consumers(&self, kind: &str, queues: &str) -> Result<ConsumerId> {
        let mut tx = self.heartbeats.begin().await?;
        let sql = format!(
            "INSERT INTO consumers (kind, queue, heartbeat_at_ms) VALUES (?, ?, {})",
            self.database.now_ms()
        );
        let id = tx.connection().insert(&sql, [kind, queues]).await?;
        tx.commit().await?;
        Ok(ConsumerId(id))
    }

    /// Brings back a consumer whose row was taken away although it lives, as who it was.
    pub async fn rejoin_consumers(&self, id: ConsumerId, kind: &str, queues: &str) -> Result<()> {
        let sql = format!(
            "INSERT INTO consumers (id, kind, queue, heartbeat_at_ms) VALUES (?, ?, ?, {})",
            self.database.now_ms()
        );
        let args = [Arg::from(id), kind.into(), queues.into()];
        self.heartbeats.run(&sql, args).await.map(drop)
    }

    /// Says that a consumer lives, and what it consumes; `false` means that its row is gone.
    pub async fn beat_of_consumer(&self, id: ConsumerId, queues: &str) -> Result<bool> {
        let sql = format!(
            "UPDATE consumers SET beats = beats + 1, queue = ?, heartbeat_at_ms = {} WHERE id = ?",
            self.database.now_ms()
        );
        let args = [Arg::from(queues), id.into()];
        Ok(self.heartbeats.run(&sql, args).await? == 1)
    }

    /// What the row of every consumer of this kind says of its life, ascending.
    pub async fn consumers(&self, kind: &str) -> Result<Vec<ConsumerLife>> {
        let sql = "SELECT id, beats FROM consumers WHERE kind = ? ORDER BY id";
        let rows: Vec<(ConsumerId, i64)> = self.heartbeats.rows(sql, [kind]).await?;
        let lives = rows.into_iter();
        Ok(lives
            .map(|(id, beats)| ConsumerLife { id, beats })
            .collect())
    }

    /// Takes away a consumer that has not beaten since `life` was read; `false` if it has, or is gone.
    pub async fn forget_consumer(&self, life: ConsumerLife) -> Result<bool> {
        let sql = "DELETE FROM consumers WHERE id = ? AND beats = ?";
        let args = [Arg::from(life.id), life.beats.into()];
        Ok(self.heartbeats.run(sql, args).await? == 1)
    }

    /// Takes away a consumer by its own wish.
    pub async fn leave_consumers(&self, id: ConsumerId) -> Result<()> {
        let sql = "DELETE FROM consumers WHERE id = ?";
        self.heartbeats.run(sql, [id]).await.map(drop)
    }
}
