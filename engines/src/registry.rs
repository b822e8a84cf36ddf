//! Engines by name: specifications such as `sharded-slots?slots=16`, their parameters, and who
//! builds them.
//!
//! A `main` of another crate adds its own engine with [`Registry::register`] and passes the
//! registry on; nothing here knows a particular engine beyond the list in [`Registry::standard`].

mod factory;
mod params;
mod settings;
mod spec;

pub use factory::{BuildFuture, EngineFactory};
pub use params::{ParamKind, ParamSpec, Params};
pub use settings::{EngineEnv, SettingSpec};
pub use spec::EngineSpec;

use crate::{EngineError, Result, StockEngine};
use std::sync::Arc;

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
