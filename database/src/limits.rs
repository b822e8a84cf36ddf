//! What a pool of connections may cost, and how long anybody waits for it.

use std::time::Duration;

/// Bounds of one pool. A SQLite file, which no network can take away, has bounds of its own.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Most connections.
    pub connections_max: u32,
    /// Longest wait for one.
    pub acquire_max: Duration,
    /// Longest wait for the answer to one statement, a commit included, and then for each further
    /// row of it. After that the connection is closed, and what became of the statement is unknown.
    /// Longer than `lock_wait_max`, which ends a statement with an answer. See also
    /// [`Database::with_statement_max`].
    ///
    /// [`Database::with_statement_max`]: crate::Database::with_statement_max
    pub statement_max: Duration,
    /// Longest wait of a statement for a row lock, in whole seconds; `None`: as the server has it.
    pub lock_wait_max: Option<Duration>,
    /// After so long without a statement the server ends a transaction, and with it its locks, in
    /// whole seconds; `None`: never. MySQL, which cannot, ends every session that is idle for so
    /// long.
    pub idle_transaction_max: Option<Duration>,
}
