//! The store on either database: a file of its own, or a database of its own on a private server.

mod changes;
mod changing;
mod consuming;
mod dead_letters;
mod made_orders;
mod migrating;
mod parking;
mod releases;
mod retention;
mod sales;
mod silence;
mod telling;
pub(crate) mod writing;

use super::*;
use crate::config::DatabaseConfig;
use database::{DatabaseKind, NO_ARGS};
use engines::Registry;
use std::time::Duration;

/// Runs each scenario on a file, and all of them on one server.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod on_a_file {
            $(#[tokio::test]
            async fn $scenario() {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}", folder.path().join("a.db").display());
                super::$scenario(url).await;
            })+
        }

        #[tokio::test]
        async fn on_a_server() {
            let Some(server) = servers::DatabaseServer::start().await else {
                return;
            };
            $(eprintln!("{}", stringify!($scenario));
            $scenario(server.create_database().await).await;)+
        }
    };
}
pub(crate) use on_both;

fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: url.to_owned(),
        ..DatabaseConfig::default()
    }
}

pub(crate) async fn migrated(url: &str) -> Store {
    let registry = Registry::standard();
    Store::migrate(&config(url), &registry).await.unwrap()
}

impl Store {
    async fn number(&self, sql: &str) -> i64 {
        let number = self.database.row(sql, NO_ARGS).await;
        number.unwrap().unwrap_or_else(|| panic!("{sql}: no row"))
    }

    pub(crate) async fn change(&self, sql: &str) {
        self.database.run(sql, NO_ARGS).await.unwrap();
    }

    async fn tables(&self) -> Vec<String> {
        let sql = match self.database.kind() {
            DatabaseKind::MySql => "SHOW TABLES",
            DatabaseKind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        };
        let mut tables: Vec<String> = self.database.rows(sql, NO_ARGS).await.unwrap();
        tables.sort();
        tables
    }
}
