//! The database of a fixture: one on the shared server, or a SQLite file of its own, with the
//! system's own tables.

use sqlx::{
    ConnectOptions, Connection, MySqlConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use std::str::FromStr;

const MYSQL: [&str; 7] = [
    include_str!("../../../system/migrations/mysql/products.sql"),
    include_str!("../../../engines/sql/allocations.mysql.sql"),
    include_str!("../../../system/migrations/mysql/orders.sql"),
    include_str!("../../../system/migrations/mysql/incarnations.sql"),
    include_str!("../../../system/migrations/mysql/outbox.sql"),
    include_str!("../../../system/migrations/mysql/after_sale.sql"),
    include_str!("../../../system/migrations/mysql/releases.sql"),
];
const SQLITE: [&str; 7] = [
    include_str!("../../../system/migrations/sqlite/products.sql"),
    include_str!("../../../engines/sql/allocations.sqlite.sql"),
    include_str!("../../../system/migrations/sqlite/orders.sql"),
    include_str!("../../../system/migrations/sqlite/incarnations.sql"),
    include_str!("../../../system/migrations/sqlite/outbox.sql"),
    include_str!("../../../system/migrations/sqlite/after_sale.sql"),
    include_str!("../../../system/migrations/sqlite/releases.sql"),
];

pub enum Database {
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Database {
    pub async fn create_on_server(url: &str) -> Self {
        let (server_url, name) = url.rsplit_once('/').expect("a database in the URL");
        let mut server = MySqlConnection::connect(&format!("{server_url}/"))
            .await
            .expect("the server answers");
        sqlx::raw_sql(&format!("CREATE DATABASE {name}"))
            .execute(&mut server)
            .await
            .expect("created");
        let mut database = Self::MySql(
            MySqlConnection::connect(url)
                .await
                .expect("the database exists"),
        );
        for statements in MYSQL {
            database.execute(statements).await;
        }
        database
    }

    /// Stays open in WAL mode, so that the audit reads beside a writer.
    pub async fn create_file(url: &str) -> Self {
        let options = SqliteConnectOptions::from_str(url)
            .expect("a URL")
            .create_if_missing(true);
        let connection = options
            .journal_mode(SqliteJournalMode::Wal)
            .connect()
            .await
            .expect("a file");
        let mut database = Self::Sqlite(connection);
        for statements in SQLITE {
            database.execute(statements).await;
        }
        database
    }

    pub async fn execute(&mut self, statements: &str) {
        let sql = sqlx::raw_sql(statements);
        let result = match self {
            Self::MySql(connection) => sql.execute(connection).await.map(drop),
            Self::Sqlite(connection) => sql.execute(connection).await.map(drop),
        };
        result.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    pub async fn number(&mut self, query: &str) -> i64 {
        let number = match self {
            Self::MySql(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
            Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
        };
        number.expect("one number")
    }

    pub async fn unprotect(&mut self, table: &str, constraint: &str) {
        let statements = match self {
            Self::MySql(_) => format!("ALTER TABLE {table} DROP {constraint}"),
            Self::Sqlite(_) => format!(
                "CREATE TABLE bare AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE bare RENAME TO {table}"
            ),
        };
        self.execute(&statements).await;
    }
}
