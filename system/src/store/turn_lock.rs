//! Holds the turn to open epochs, as a connection that the database watches.

/// Whose turn it is to open epochs; kept for as long as this lives.
#[derive(Debug)]
pub struct TurnLock {
    pub(super) connection: Option<sqlx::MySqlConnection>,
}

impl TurnLock {
    /// Of a process that need not take turns with another.
    pub(super) fn alone() -> Self {
        Self { connection: None }
    }

    /// Lets others open; dropping it does so too, a little later.
    pub async fn give_back(self) {
        if let Some(connection) = self.connection {
            let _ = sqlx::Connection::close(connection).await;
        }
    }
}
