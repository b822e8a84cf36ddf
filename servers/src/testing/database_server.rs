//! A private MariaDB or MySQL for one test or for all tests of a binary.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, MySqlConnection};
use tokio::sync::OnceCell;

use super::{Home, Life, unless_missing};
use crate::database;
use crate::error::{OrFailed, Result};
use crate::frozen::Frozen;

/// A database server that flushes at every commit; gone when dropped. One call at a time may take
/// it down or bring it back.
#[derive(Debug)]
pub struct DatabaseServer {
    life: Life,
    port: u16,
    databases: AtomicU32,
    home: Home,
}

impl DatabaseServer {
    /// Starts one, in a few seconds. None, with the reason printed, when neither mariadbd nor
    /// mysqld is installed.
    ///
    /// # Panics
    /// When one is installed and does not start; with `REQUIRE_SERVERS=1` also when none is.
    pub async fn start() -> Option<Self> {
        unless_missing(Self::try_start().await)
    }

    /// The same, one for all tests of this binary: use databases of your own.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<DatabaseServer>> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await.as_ref()
    }

    async fn try_start() -> Result<Self> {
        let home = Home::make()?;
        let started = database::start(&home.site()).await?;
        Ok(Self {
            life: Life::new(started.process),
            port: started.port,
            databases: AtomicU32::new(0),
            home,
        })
    }

    /// The URL of the server, for statements that concern all of it: `mysql://root@127.0.0.1:4001`.
    pub fn root_url(&self) -> String {
        database::url(self.port)
    }

    /// The URL of a database that does not exist yet and that nobody else is given.
    pub fn fresh_database_url(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        format!("{}/test_{number}", self.root_url())
    }

    /// The URL of a database of one's own, without tables.
    ///
    /// # Panics
    /// When the server does not make it.
    pub async fn create_database(&self) -> String {
        let url = self.fresh_database_url();
        let name = url.rsplit('/').next().unwrap_or_default();
        let mut root = MySqlConnection::connect(&self.root_url())
            .await
            .expect("a connection");
        sqlx::raw_sql(&format!("CREATE DATABASE {name}"))
            .execute(&mut root)
            .await
            .expect("a database");
        url
    }

    /// # Panics
    /// After [`DatabaseServer::kill`].
    pub fn pid(&self) -> u32 {
        self.life.pid()
    }

    /// SIGKILL, in the middle of whatever it does.
    pub async fn kill(&self) -> Result<()> {
        self.life.end().await
    }

    /// Starts it again on the same data and the same port; kills it first if it lives.
    pub async fn restart(&self) -> Result<()> {
        self.restart_with(&[]).await
    }

    /// The same with options of the command line that it did not have before.
    pub async fn restart_with(&self, options: &[&str]) -> Result<()> {
        self.kill().await?;
        let (process, connection) = database::run(&self.home.site(), self.port, options)
            .await
            .or_failed(|| "the database server on its old data".to_owned())?;
        drop(connection.close().await);
        self.life.begin(process);
        Ok(())
    }

    /// SIGSTOP until what is returned is dropped.
    pub fn freeze(&self) -> Frozen {
        Frozen::freeze(self.pid())
    }
}
