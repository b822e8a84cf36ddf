//! Engines by name: specifications such as `sharded-slots?slots=16`, their parameters, and who
//! builds them.
//!
//! A `main` of another crate adds its own engine with [`Registry::register`] and passes the
//! registry on; nothing here knows a particular engine beyond the list in [`Registry::standard`].

mod params;
mod settings;
mod spec;

pub use params::{ParamKind, ParamSpec, Params};
pub use settings::{EngineEnv, SettingSpec};
pub use spec::EngineSpec;

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
}

/// Every engine that can be selected.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    factories: Vec<EngineFactory>,
}

impl Registry {
    /// Adds an engine, or replaces the one of the same name.
    pub fn register(mut self, factory: EngineFactory) -> Self {
        self.factories.retain(|known| known.name != factory.name);
        self.factories.push(factory);
        self
    }

    /// The factory called `name`; an unknown name lists the known ones.
    pub fn get(&self, name: &str) -> Result<&EngineFactory> {
        self.factories
            .iter()
            .find(|factory| factory.name == name)
            .ok_or_else(|| {
                let known: Vec<_> = self.factories.iter().map(|factory| factory.name).collect();
                EngineError::Config(format!(
                    "unknown engine {name:?}; known: {}",
                    known.join(", ")
                ))
            })
    }

    /// Checks that `spec` names a known engine, parameters that it takes and values that they take.
    pub fn check(&self, spec: &EngineSpec) -> Result<&EngineFactory> {
        let factory = self.get(spec.name())?;
        Params::new(spec, factory.params)?;
        Ok(factory)
    }

    /// As [`Self::check`], and for a sale of `stock` units.
    pub fn check_for(&self, spec: &EngineSpec, stock: u64) -> Result<()> {
        Params::new(spec, self.get(spec.name())?.params)?.fit(stock)
    }

    /// Builds the engine of `spec` on the current runtime.
    pub async fn build(&self, spec: &EngineSpec, env: &EngineEnv) -> Result<Arc<dyn StockEngine>> {
        let factory = self.get(spec.name())?;
        let params = Params::new(spec, factory.params)?;
        factory.check_settings(env)?;
        (factory.build)(env.clone(), params).await
    }

    /// Everything known, in order of registration; serialise it for `seckill engines --json`.
    pub fn list(&self) -> &[EngineFactory] {
        &self.factories
    }
}
