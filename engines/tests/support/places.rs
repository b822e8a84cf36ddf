//! A database with all tables that an engine with leases needs: a file, or one of its own on a
//! private server.

use super::mariadb::MariaDb;
use database::sqlite::SqliteFile;
use engines::{ALLOCATIONS_MYSQL, ALLOCATIONS_SQLITE, PREALLOCATED_MYSQL, PREALLOCATED_SQLITE};
use sqlx::{MySqlPool, Row};
use std::sync::Arc;

/// The columns of the system's table that engines and their tests read. Checks that compare two
/// sales make the same orders in both, so here an order id is unique per sale.
const ORDERS: &str = "CREATE TABLE orders (order_id BIGINT NOT NULL, user_id BIGINT NOT NULL,
    product_id BIGINT NOT NULL, quantity BIGINT NOT NULL, allocation_id BIGINT NOT NULL, status BIGINT NOT NULL,
    live BIGINT NULL, PRIMARY KEY (order_id, product_id), CONSTRAINT orders_one_live_per_buyer UNIQUE (user_id, product_id, live))";

#[derive(Debug)]
pub struct Place {
    pub url: String,
    connections: Connections,
    turn: Arc<tokio::sync::Mutex<()>>,
    _folder: Option<tempfile::TempDir>,
}

#[derive(Clone, Debug)]
enum Connections {
    Sqlite(Arc<SqliteFile>),
    MySql(MySqlPool),
}

impl Connections {
    async fn run(&self, script: &[String]) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(file) => {
                let mut transaction = file.write().await?;
                for sql in script {
                    sqlx::query(sql)
                        .persistent(false)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await
            }
            Self::MySql(pool) => {
                let mut transaction = pool.begin().await?;
                for sql in script {
                    sqlx::query(sql)
                        .persistent(false)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await
            }
        }
    }
}

impl Place {
    /// A fresh file.
    pub async fn sqlite() -> Arc<Self> {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let url = format!("sqlite://{}", folder.path().join("leases.db").display());
        let file = SqliteFile::open(&url).expect("a url");
        let place = Self {
            url,
            connections: Connections::Sqlite(file),
            turn: Arc::default(),
            _folder: Some(folder),
        };
        for script in [ALLOCATIONS_SQLITE, PREALLOCATED_SQLITE, ORDERS] {
            place
                .transaction(&statements(script))
                .await
                .expect("tables");
        }
        Arc::new(place)
    }

    /// A fresh database on `server`.
    pub async fn mariadb(server: &MariaDb) -> Arc<Self> {
        let url = server.create_database().await;
        let pool = MySqlPool::connect(&url).await.expect("a connection");
        let place = Self {
            url,
            connections: Connections::MySql(pool),
            turn: Arc::default(),
            _folder: None,
        };
        for script in [ALLOCATIONS_MYSQL, PREALLOCATED_MYSQL, ORDERS] {
            place
                .transaction(&statements(script))
                .await
                .expect("tables");
        }
        Arc::new(place)
    }

    /// All statements or none; to the end, even if the caller is dropped: see what sqlx makes of a
    /// dropped connection in the engine.
    pub async fn transaction(&self, script: &[String]) -> Result<(), String> {
        let (connections, turn, script) =
            (self.connections.clone(), self.turn.clone(), script.to_vec());
        let run = async move {
            // One at a time: two openers of which the first was given up would wait for each
            // other's rows.
            let _turn = turn.lock().await;
            connections
                .run(&script)
                .await
                .map_err(|error| error.to_string())
        };
        tokio::spawn(run).await.expect("no panic")
    }

    /// Rows of `N` numbers.
    pub async fn rows<const N: usize>(&self, sql: &str) -> Result<Vec<[i64; N]>, String> {
        let text = |error: sqlx::Error| error.to_string();
        let mut numbers = Vec::new();
        match &self.connections {
            Connections::Sqlite(file) => {
                for row in sqlx::query(sql)
                    .persistent(false)
                    .fetch_all(file.readers())
                    .await
                    .map_err(text)?
                {
                    numbers.push(std::array::from_fn(|index| row.get(index)));
                }
            }
            Connections::MySql(pool) => {
                for row in sqlx::query(sql)
                    .persistent(false)
                    .fetch_all(pool)
                    .await
                    .map_err(text)?
                {
                    numbers.push(std::array::from_fn(|index| row.get(index)));
                }
            }
        }
        Ok(numbers)
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
    pub async fn close_leases_of(&self, owner: engines::IncarnationId) {
        match &self.connections {
            Connections::Sqlite(file) => {
                let mut transaction = file.write().await.unwrap();
                engines::close_leases_sqlite(&mut transaction, owner)
                    .await
                    .unwrap();
                transaction.commit().await.unwrap();
            }
            Connections::MySql(pool) => {
                let mut transaction = pool.begin().await.unwrap();
                engines::close_leases_mysql(&mut transaction, owner)
                    .await
                    .unwrap();
                transaction.commit().await.unwrap();
            }
        }
    }
}

/// The statements of a script, without its comments, which may hold semicolons.
fn statements(script: &str) -> Vec<String> {
    let lines: Vec<_> = script
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect();
    let statements = lines.join("\n");
    statements
        .split(';')
        .map(str::trim)
        .filter(|sql| !sql.is_empty())
        .map(str::to_owned)
        .collect()
}
