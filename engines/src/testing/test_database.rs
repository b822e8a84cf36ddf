//! A database with all tables that an engine with leases needs: a file, or one of its own on a
//! private server. An engine with other tables adds them with
//! [`EngineFactory::create_tables`](crate::EngineFactory::create_tables).

use crate::Registry;
use database::{Database, DatabaseKind, NO_ARGS, PoolLimits};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const LIMITS: PoolLimits = PoolLimits {
    connections_max: 10,
    acquire_max: Duration::from_secs(30),
    statement_max: Duration::from_secs(30),
    lock_wait_max: None,
    idle_transaction_max: None,
};

/// The columns of the system's table that engines and their tests read. Checks that compare two
/// sales make the same orders in both, so here an order id is unique per sale.
const ORDERS: &str = "CREATE TABLE orders (order_id BIGINT NOT NULL, user_id BIGINT NOT NULL,
    product_id BIGINT NOT NULL, quantity BIGINT NOT NULL, allocation_id BIGINT NOT NULL, status BIGINT NOT NULL,
    live BIGINT NULL, PRIMARY KEY (order_id, product_id), CONSTRAINT orders_one_live_per_buyer UNIQUE (product_id, live, user_id))";

/// The database of one test. Its methods panic when the database does not do as it is told, except
/// where they return an error.
#[derive(Debug)]
pub struct TestDatabase {
    /// As an engine is given it.
    pub url: String,
    database: Database,
    turn: Arc<tokio::sync::Mutex<()>>,
    _folder: Option<Folder>,
}

/// Removed with all that is in it when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn create() -> Self {
        let name = format!("engine-test-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a scratch folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is the temporary folder's business.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl TestDatabase {
    /// A fresh file.
    pub async fn sqlite() -> Arc<Self> {
        let folder = Folder::create();
        let url = format!("sqlite://{}", folder.0.join("leases.db").display());
        let this = Self {
            database: Database::open(&url, &LIMITS).expect("a url"),
            url,
            turn: Arc::default(),
            _folder: Some(folder),
        };
        this.create_tables().await;
        Arc::new(this)
    }

    /// An empty database on a server, `mysql://root@127.0.0.1:40001/test_0`.
    pub async fn mysql(url: String) -> Arc<Self> {
        let this = Self {
            database: Database::open(&url, &LIMITS).expect("a url"),
            url,
            turn: Arc::default(),
            _folder: None,
        };
        this.create_tables().await;
        Arc::new(this)
    }

    async fn create_tables(&self) {
        let registry = Registry::standard();
        let factory = registry.get("preallocated").expect("a stock engine");
        factory.create_tables(&self.url).await.expect("tables");
        self.transaction(&[ORDERS.to_owned()])
            .await
            .expect("the system's table");
    }

    /// All statements or none; to the end, even if the caller is dropped: see what sqlx makes of a
    /// dropped connection in the engine.
    pub async fn transaction(&self, script: &[String]) -> Result<(), String> {
        let (database, turn, script) = (self.database.clone(), self.turn.clone(), script.to_vec());
        let run = async move {
            // One at a time: two openers of which the first was given up would wait for each
            // other's rows.
            let _turn = turn.lock().await;
            let mut tx = database.begin().await?;
            for sql in &script {
                tx.connection().run(sql, NO_ARGS).await?;
            }
            tx.commit().await
        };
        let run = async {
            run.await
                .map_err(|error: database::Error| error.to_string())
        };
        tokio::spawn(run).await.expect("no panic")
    }

    /// Rows of `N` numbers.
    pub async fn rows<const N: usize>(&self, sql: &str) -> Result<Vec<[i64; N]>, String> {
        let rows = self.database.rows(sql, NO_ARGS).await;
        rows.map_err(|error| error.to_string())
    }

    /// One number.
    pub async fn number(&self, sql: &str) -> i64 {
        let rows = self
            .rows::<1>(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.first().unwrap_or_else(|| panic!("{sql}: no row"))[0]
    }

    /// Closes the leases of a retired process, as the reconciler does in its own transaction.
    pub async fn close_leases_of(&self, owner: crate::IncarnationId) {
        let mut tx = self.database.begin().await.unwrap();
        crate::close_leases(&mut tx.connection(), owner)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
}

/// Lets the database at `url` answer a commit before it is on disk, or, with `false`, no longer, as
/// [`Subject::let_forget`](crate::conformance::Subject::let_forget) is asked to. `false` as the
/// answer: it is a file, and how that is opened is the engine's own doing.
pub async fn let_database_forget(url: &str, may_forget: bool) -> Result<bool, String> {
    let database = Database::open(url, &LIMITS).map_err(|error| error.to_string())?;
    if database.kind() == DatabaseKind::Sqlite {
        return Ok(false);
    }
    let flush = if may_forget { 2 } else { 1 };
    let set = async {
        let mut tx = database.begin().await?;
        let sql = format!("SET GLOBAL innodb_flush_log_at_trx_commit = {flush}");
        tx.connection().run(&sql, NO_ARGS).await?;
        tx.commit().await
    };
    let set = set.await;
    set.map(|()| true)
        .map_err(|error: database::Error| error.to_string())
}
