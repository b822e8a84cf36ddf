//! MySQL or MariaDB: a pool of sessions, each prepared once, when it is opened, so that no
//! transaction pays for it.

use crate::session::{LastLoss, Session, Transaction};
use crate::{PoolLimits, fault};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{MySqlConnection, MySqlPool, Result};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest wait for an answer where whoever opened the pool did not say.
const STATEMENT_MAX: Duration = Duration::from_secs(5);

/// MariaDB's limit for a session that says nothing in a transaction.
const IDLE_TRANSACTION: &str = "idle_transaction_timeout";
/// The limit for any session that says nothing. For MySQL, which has no other.
const IDLE: &str = "wait_timeout";

/// One database of a server; cheap to clone.
#[derive(Clone, Debug)]
pub struct MySqlServer {
    pool: MySqlPool,
    statement_max: Duration,
    losses: Arc<LastLoss>,
}

/// A pool that somebody else has set up.
impl From<MySqlPool> for MySqlServer {
    fn from(pool: MySqlPool) -> Self {
        Self {
            pool,
            statement_max: STATEMENT_MAX,
            losses: Arc::default(),
        }
    }
}

impl MySqlServer {
    /// Sessions are opened when first used.
    pub(crate) fn open(options: MySqlConnectOptions, limits: PoolLimits) -> Self {
        Self::open_with(options, limits, IDLE_TRANSACTION)
    }

    fn open_with(
        options: MySqlConnectOptions,
        limits: PoolLimits,
        idle_transaction: &'static str,
    ) -> Self {
        let losses = Arc::<LastLoss>::default();
        let lost = losses.clone();
        // Set where the server ends sessions that are idle, in a transaction or not.
        let ends_idle = Arc::new(AtomicBool::new(false));
        let may_have_ended = ends_idle.clone();
        let idle_max = limits.idle_transaction_max.map(|max| max / 2);
        let pool = MySqlPoolOptions::new()
            .max_connections(limits.connections_max)
            .acquire_timeout(limits.acquire_max)
            .test_before_acquire(false)
            .before_acquire(move |_, session| {
                let has_ended = may_have_ended.load(Ordering::Relaxed)
                    && idle_max.is_some_and(|max| session.idle_for > max);
                Box::pin(ready(Ok(!has_ended && !lost.concerns(session.age))))
            })
            .after_connect(move |connection, _| {
                let ends_idle = ends_idle.clone();
                Box::pin(async move {
                    if prepare(connection, limits, idle_transaction).await? {
                        ends_idle.store(true, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Self {
            pool,
            statement_max: limits.statement_max,
            losses,
        }
    }

    pub(crate) fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    pub(crate) fn with_statement_max(&self, statement_max: Duration) -> Self {
        Self {
            statement_max,
            ..self.clone()
        }
    }

    pub(crate) async fn session(&self) -> Result<Session> {
        let connection = self.pool.acquire().await?;
        Ok(Session::new(
            connection,
            self.statement_max,
            self.losses.clone(),
        ))
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static>> {
        Transaction::begin(self.session().await?).await
    }
}

/// Whether the server ends the session when it is idle.
async fn prepare(
    connection: &mut MySqlConnection,
    limits: PoolLimits,
    idle_transaction: &str,
) -> Result<bool> {
    // Every look sees what others have committed since the last, and no gap between rows is locked.
    sqlx::query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .execute(&mut *connection)
        .await?;
    if let Some(wait) = limits.lock_wait_max {
        set(connection, "innodb_lock_wait_timeout", wait).await?;
    }
    let Some(idle) = limits.idle_transaction_max else {
        return Ok(false);
    };
    match set(connection, idle_transaction, idle).await {
        Err(error) if fault::is_unknown_variable(&error) => {
            set(connection, IDLE, idle).await.map(|()| true)
        }
        set => set.map(|()| false),
    }
}

/// In whole seconds, at least one.
async fn set(connection: &mut MySqlConnection, variable: &str, value: Duration) -> Result<()> {
    let sql = format!("SET SESSION {variable} = {}", value.as_secs().max(1));
    sqlx::query(&sql).execute(connection).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, NO_ARGS};
    use servers::DatabaseServer;
    use sqlx::Connection;
    use std::str::FromStr;

    #[tokio::test]
    async fn where_only_idle_sessions_end_a_forgotten_transaction_does_and_the_pool_goes_on() {
        let Some(server) = DatabaseServer::start().await else {
            return;
        };
        let url = server.create_database().await;
        let limits = PoolLimits {
            connections_max: 2,
            acquire_max: Duration::from_secs(10),
            statement_max: Duration::from_secs(20),
            lock_wait_max: Some(Duration::from_secs(10)),
            idle_transaction_max: Some(Duration::from_secs(1)),
        };
        let options = MySqlConnectOptions::from_str(&url).unwrap();
        let server = MySqlServer::open_with(options, limits, "known_to_no_server");
        let database = Database::MySql(server);
        let create = "CREATE TABLE t (n BIGINT NOT NULL)";
        database.run(create, NO_ARGS).await.unwrap();
        let insert = "INSERT INTO t VALUES (1)";
        database.run(insert, NO_ARGS).await.unwrap();

        let mut forgotten = database.begin().await.unwrap();
        let add = "UPDATE t SET n = n + 1";
        forgotten.connection().run(add, NO_ARGS).await.unwrap();
        database.run(add, NO_ARGS).await.expect("the lock is free");
        let n: Option<i64> = database.row("SELECT n FROM t", NO_ARGS).await.unwrap();
        assert_eq!(n, Some(2), "one of the two was undone");
        forgotten.commit().await.expect_err("it was ended");

        // Until every idle session has been ended.
        let mut other = MySqlConnection::connect(&url).await.unwrap();
        let count = "SELECT COUNT(*) FROM information_schema.PROCESSLIST
                     WHERE DB = DATABASE() AND ID <> CONNECTION_ID()";
        for _ in 0..200 {
            let sessions: i64 = sqlx::query_scalar(count)
                .fetch_one(&mut other)
                .await
                .unwrap();
            if sessions == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for _ in 0..3 {
            let n: Option<i64> = database.row("SELECT n FROM t", NO_ARGS).await.unwrap();
            assert_eq!(n, Some(2));
        }
    }

    /// Whoever opens an epoch has the turn for longer than a transaction may say nothing.
    #[tokio::test]
    async fn a_named_lock_outlasts_what_ends_idle_sessions_and_transactions() {
        const IDLE_MAX: Duration = Duration::from_secs(1);
        let Some(server) = DatabaseServer::start().await else {
            return;
        };
        let url = server.create_database().await;
        for variable in [IDLE_TRANSACTION, "known_to_no_server"] {
            let limits = PoolLimits {
                connections_max: 2,
                acquire_max: Duration::from_secs(10),
                statement_max: Duration::from_secs(20),
                lock_wait_max: None,
                idle_transaction_max: Some(IDLE_MAX),
            };
            let options = MySqlConnectOptions::from_str(&url).unwrap();
            let database = Database::MySql(MySqlServer::open_with(options, limits, variable));
            let held = database.try_lock("turn").await.unwrap();
            let held = held.expect("nobody else has it");
            tokio::time::sleep(3 * IDLE_MAX).await;
            let again = database.try_lock("turn").await.unwrap();
            assert!(again.is_none(), "{variable}: it was lost");
            held.give_back().await;
            assert!(database.try_lock("turn").await.unwrap().is_some());
        }
    }
}
