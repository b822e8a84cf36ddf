//! How an engine is listed, what it needs, and how it is built.

use super::params::{ParamSpec, Params};
use super::settings::{EngineEnv, SettingSpec};
use crate::helpers::database_server;
use crate::{EngineError, Guarantees, Result, StockEngine};
use database::schema::{Migration, Schema};
use serde::Serialize;
use std::{future::Future, pin::Pin, sync::Arc};

/// What a [`EngineFactory::build`] returns.
pub type BuildFuture = Pin<Box<dyn Future<Output = Result<Arc<dyn StockEngine>>> + Send>>;

/// How an engine is listed and built.
#[derive(Clone, Debug, Serialize)]
pub struct EngineFactory {
    /// The name it is selected by.
    pub name: &'static str,
    /// Where the stock lives and what it is for, one sentence.
    pub about: &'static str,
    /// Servers it cannot do without: `redis` (a single one), `redis-or-cluster`, `database`.
    pub needs: &'static [&'static str],
    /// Every parameter it takes.
    pub params: &'static [ParamSpec],
    /// Every setting that it takes.
    pub settings: &'static [SettingSpec],
    /// The tables that it needs beside the system's; `seckill migrate` creates them.
    #[serde(skip)]
    pub migrations: &'static [Migration],
    /// What it promises.
    pub guarantees: Guarantees,
    /// It does not keep the contract, and is here to show what comes of that. Listed as `unsafe`,
    /// and refused wherever nobody has said that it may be used.
    #[serde(rename = "unsafe")]
    pub is_unsafe: bool,
    /// Builds it. Connections belong to the runtime that polls the future.
    #[serde(skip)]
    pub build: fn(EngineEnv, Params) -> BuildFuture,
}

impl EngineFactory {
    /// Creates this engine's tables in the database at `url`, which is what `seckill migrate` does
    /// for all engines together; for whoever has an engine without the system around it.
    pub async fn create_tables(&self, url: &str) -> Result<()> {
        let database = database_server::connect(self.name, url)?;
        let refused = |error| EngineError::Config(format!("engine {}: {error}", self.name));
        let owner = format!("engine {}", self.name);
        let schema = Schema::new([(owner, self.migrations)]).map_err(refused)?;
        schema.migrate(&database).await.map_err(refused)?;
        database.close().await;
        Ok(())
    }

    /// What it declares about the setting called `name`; an unknown one lists the known ones.
    pub fn setting(&self, name: &str) -> Result<&SettingSpec> {
        let found = self.settings.iter().find(|known| known.name == name);
        found.ok_or_else(|| {
            let known: Vec<_> = self.settings.iter().map(|known| known.name).collect();
            let known = match known.is_empty() {
                true => "it takes none".to_owned(),
                false => format!("known: {}", known.join(", ")),
            };
            EngineError::Config(format!(
                "unknown setting {name:?} of engine {}; {known}",
                self.name
            ))
        })
    }

    /// Refuses an engine that is registered as unsafe, unless somebody has said that it may be used.
    pub fn check_safe(&self, allow_unsafe: bool) -> Result<()> {
        if self.is_unsafe && !allow_unsafe {
            return Err(EngineError::Config(format!(
                "engine {} is unsafe: it tells more buyers yes than there are units, to show how that is found out; \
                 only engine.allow_unsafe = true (or --allow-unsafe) lets it run",
                self.name
            )));
        }
        Ok(())
    }

    /// Refuses a setting that it does not take, and the want of one that it needs.
    pub fn check_settings(&self, env: &EngineEnv) -> Result<()> {
        for name in env.settings.keys() {
            self.setting(name)?;
        }
        let required = self.settings.iter().filter(|setting| setting.required);
        for setting in required {
            env.required(self.name, setting.name)?;
        }
        Ok(())
    }
}
