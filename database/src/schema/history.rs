//! What has run in a database, and what is there.

use crate::{Connection, DatabaseKind, NO_ARGS, SetupError};

/// Beside the table of sqlx, which has no place for it.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version       BIGINT       NOT NULL PRIMARY KEY,
    name          VARCHAR(190) NOT NULL,
    oldest_binary BIGINT       NOT NULL
)";

/// Read at one moment.
#[derive(Debug)]
pub struct History {
    /// Every table of the database.
    pub tables: Vec<String>,
    pub ran: Vec<Ran>,
}

/// One migration that has run here.
#[derive(Debug)]
pub struct Ran {
    pub version: i64,
    pub name: String,
    pub oldest_binary: u32,
    pub checksum: Vec<u8>,
    /// `false`: it broke off in the middle, on a database that cannot undo that.
    pub is_whole: bool,
}

impl History {
    pub async fn read(connection: &mut Connection<'_>) -> Result<Self, SetupError> {
        let read = Self::try_read(connection).await;
        read.map_err(|error| SetupError::because("cannot look which migrations have run", error))
    }

    async fn try_read(connection: &mut Connection<'_>) -> crate::Result<Self> {
        let tables = match connection.kind() {
            DatabaseKind::MySql => {
                "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
            }
            DatabaseKind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        };
        let tables: Vec<String> = connection.rows(tables, NO_ARGS).await?;
        let has = |name: &str| tables.iter().any(|table| table == name);
        let mut ran = Vec::new();
        if has("_sqlx_migrations") {
            // A database of before there was `schema_migrations` has names only here.
            let sql = "SELECT version, description, checksum, CASE WHEN success THEN 1 ELSE 0 END
                       FROM _sqlx_migrations ORDER BY version";
            let rows: Vec<(i64, String, Vec<u8>, bool)> = connection.rows(sql, NO_ARGS).await?;
            ran.extend(
                rows.into_iter()
                    .map(|(version, name, checksum, is_whole)| Ran {
                        version,
                        name,
                        oldest_binary: 0,
                        checksum,
                        is_whole,
                    }),
            );
        }
        if has("schema_migrations") {
            let sql = "SELECT version, oldest_binary FROM schema_migrations";
            let rows: Vec<(i64, u32)> = connection.rows(sql, NO_ARGS).await?;
            for (version, oldest_binary) in rows {
                if let Some(ran) = ran.iter_mut().find(|ran| ran.version == version) {
                    ran.oldest_binary = oldest_binary;
                }
            }
        }
        Ok(Self { tables, ran })
    }

    pub fn of(&self, version: i64) -> Option<&Ran> {
        self.ran.iter().find(|ran| ran.version == version)
    }
}

/// Makes the place where the migrations to come are noted.
pub async fn prepare(connection: &mut Connection<'_>) -> Result<(), SetupError> {
    let created = connection.run(CREATE, NO_ARGS).await;
    created
        .map(drop)
        .map_err(|error| SetupError::because("cannot create table schema_migrations", error))
}
