//! Tables as named, explicitly versioned migrations, from whoever brings some: checked together
//! before anything is changed, then run, each once.
//!
//! sqlx keeps what has run, with its checksum, and the lock under which it runs. Beside it,
//! `schema_migrations` keeps each one's name and the oldest binary that it allows, so that an older
//! one notices that it must not touch the database any more.

mod checks;
mod history;
mod migration;

pub use migration::{BINARY, Migration};

use crate::session::Session;
use crate::{Connection, Database, SetupError, lock};
use history::History;
use migration::Part;
use sqlx::migrate::Migrator;
use std::time::Duration;

/// Longest wait for another process that migrates, s.
const TURN_MAX_S: i64 = 600;
/// Longest migration: it may fill or rebuild a large table.
const STATEMENT_MAX: Duration = Duration::from_secs(3_600);

/// Migrations that do not contradict each other.
#[derive(Clone, Debug)]
pub struct Schema {
    parts: Vec<Part>,
}

impl Schema {
    /// All migrations of all owners, such as `the system` or `engine x`. The very same one may be
    /// brought by several; it counts once.
    ///
    /// # Errors
    /// When two have the same version or create the same table, when one does not name a table that
    /// it creates, and when one is for a newer binary.
    pub fn new<O: Into<String>>(
        owners: impl IntoIterator<Item = (O, &'static [Migration])>,
    ) -> Result<Self, SetupError> {
        let mut parts: Vec<Part> = Vec::new();
        for (owner, migrations) in owners {
            let owner = owner.into();
            for migration in migrations.iter().copied() {
                if parts.iter().all(|part| part.migration != migration) {
                    parts.push(Part {
                        owner: owner.clone(),
                        migration,
                    });
                }
            }
        }
        checks::agree(&parts)?;
        Ok(Self { parts })
    }

    /// Runs what has not run yet. One process at a time; what it refuses it refuses before anything
    /// is changed.
    ///
    /// # Errors
    /// When a migration that has run is another one here, when the database asks for a newer
    /// binary, when a table to be created is there already, and when a statement fails.
    pub async fn migrate(&self, database: &Database) -> Result<(), SetupError> {
        let cannot = |error| SetupError::because("cannot write to the database", error);
        match database {
            Database::MySql(server) => {
                // Closed at the end, which lets go of the lock however this ends.
                let session = server.with_statement_max(STATEMENT_MAX).session().await;
                let mut session = session.map_err(cannot)?.detached();
                wait_for_turn(&mut session).await?;
                let run = self.run(Connection::MySql(&mut session)).await;
                session.close().await;
                run
            }
            Database::Sqlite(_) => {
                let mut tx = database.begin().await.map_err(cannot)?;
                self.run(tx.connection()).await?;
                tx.commit().await.map_err(cannot)
            }
        }
    }

    async fn run(&self, mut connection: Connection<'_>) -> Result<(), SetupError> {
        let history = History::read(&mut connection).await?;
        checks::allowed(&history)?;
        checks::whole(&history)?;
        checks::unchanged(&self.parts, &history, connection.kind())?;
        checks::not_there(&self.parts, &history, connection.kind())?;
        history::prepare(&mut connection).await?;
        let migrator = Migrator {
            migrations: self
                .parts
                .iter()
                .map(|part| part.migration.to_sqlx(connection.kind()))
                .collect(),
            // Those of engines that this binary does not have.
            ignore_missing: true,
            locking: false,
            ..Migrator::DEFAULT
        };
        let ran = match connection {
            Connection::MySql(session) => session.migrate(&migrator).await,
            Connection::Sqlite(connection) => migrator.run_direct(connection).await,
        };
        ran.map_err(failed)
    }

    /// Refuses a database in which one of these has not run or was another one, and one that asks
    /// for a newer binary.
    ///
    /// # Errors
    /// With the name of the first that is missing, and what to do about it.
    pub async fn check(&self, database: &Database) -> Result<(), SetupError> {
        let mut tx = database.begin().await.map_err(|error| {
            SetupError::because("cannot look which tables the database has", error)
        })?;
        let history = History::read(&mut tx.connection()).await?;
        checks::allowed(&history)?;
        checks::unchanged(&self.parts, &history, database.kind())?;
        checks::has_run(&self.parts, &history)
    }
}

/// sqlx's own lock waits without end, which MariaDB answers with NULL and no lock.
async fn wait_for_turn(session: &mut Session) -> Result<(), SetupError> {
    let taken = lock::take(session, "seckill.migrate", TURN_MAX_S).await;
    match taken.map_err(|error| SetupError::because("cannot lock the schema", error))? {
        true => Ok(()),
        false => Err(SetupError::new(format!(
            "another process has been migrating this database for {TURN_MAX_S} s; try again when it has ended"
        ))),
    }
}

fn failed(error: sqlx::migrate::MigrateError) -> SetupError {
    SetupError::because("cannot bring the schema up to date", error.into())
}

#[cfg(test)]
mod tests;
