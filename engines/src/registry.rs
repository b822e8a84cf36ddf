//! Engines by name: specifications such as `sharded-slots?slots=16`, their parameters, and who
//! builds them.
//!
//! A `main` of another crate adds its own engine with [`Registry::register`] and passes the
//! registry on; nothing here knows a particular engine beyond the list in [`Registry::standard`].

mod params;
mod spec;

pub use params::{ParamKind, ParamSpec, Params};
pub use spec::EngineSpec;

use crate::{
    EngineError, Guarantees, Result, StockEngine, database_row, lua_single_key, null, preallocated,
    sharded_slots,
};
use serde::Serialize;
use std::{fmt, future::Future, pin::Pin, sync::Arc};

/// What an engine may reach; who needs something that is missing says so when it is built.
#[derive(Clone, Default)]
pub struct EngineEnv {
    /// `redis://[user[:password]@]host:port/[db]`, or
    /// `redis-cluster://[user:password@]host:port,host:port,…` with any nodes of a Redis Cluster,
    /// which only `sharded-slots` can use.
    pub redis_url: Option<String>,
    /// Put in front of every key that an engine writes.
    pub key_prefix: String,
    /// `mysql://user[:password]@host:port/database`.
    pub database_url: Option<String>,
}

impl fmt::Debug for EngineEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineEnv")
            .field("redis_url", &self.redis_url.as_deref().map(masked))
            .field("key_prefix", &self.key_prefix)
            .field("database_url", &self.database_url.as_deref().map(masked))
            .finish()
    }
}

/// `url` with the password, if it has one, replaced by `***`.
pub(crate) fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority_len = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_len);
    match authority.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:***@{host}{path}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

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
    /// What it promises.
    pub guarantees: Guarantees,
    /// Builds it. Connections belong to the runtime that polls the future.
    #[serde(skip)]
    pub build: fn(EngineEnv, Params) -> BuildFuture,
}

/// Every engine that can be selected.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    factories: Vec<EngineFactory>,
}

impl Registry {
    /// The engines of this crate.
    pub fn standard() -> Self {
        Self {
            factories: vec![
                null::FACTORY,
                database_row::FACTORY,
                lua_single_key::FACTORY,
                sharded_slots::FACTORY,
                preallocated::FACTORY,
            ],
        }
    }

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
        (factory.build)(env.clone(), params).await
    }

    /// Everything known, in order of registration; serialise it for `seckill engines --json`.
    pub fn list(&self) -> &[EngineFactory] {
        &self.factories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_engine_lists_the_known_ones() {
        let refused = Registry::standard().get("redsi").unwrap_err().to_string();
        assert_eq!(
            refused,
            r#"unknown engine "redsi"; known: null, database-row, lua-single-key, sharded-slots, preallocated"#
        );
    }

    #[tokio::test]
    async fn an_unknown_parameter_is_refused_when_building() {
        let spec: EngineSpec = "null?slots=4".parse().unwrap();
        let refused = Registry::standard()
            .build(&spec, &EngineEnv::default())
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(
            refused,
            r#"unknown parameter "slots" of engine null; it takes none"#
        );
    }

    #[test]
    fn every_default_is_a_value_that_its_parameter_takes() {
        for factory in Registry::standard().list() {
            for param in factory.params {
                let spec: EngineSpec = format!("{}?{}={}", factory.name, param.name, param.default)
                    .parse()
                    .unwrap();
                Params::new(&spec, factory.params).unwrap();
            }
        }
    }

    #[test]
    fn passwords_are_masked() {
        assert_eq!(masked("redis://u:p@w@h:1/0"), "redis://u:***@h:1/0");
        assert_eq!(masked("redis://h:1/0"), "redis://h:1/0");
        assert_eq!(masked("mysql://root@h/db"), "mysql://root@h/db");
        assert!(!format!("{:?}", env_with_password()).contains("secret"));
    }

    fn env_with_password() -> EngineEnv {
        EngineEnv {
            redis_url: Some("redis://:secret@h:1/".to_owned()),
            ..EngineEnv::default()
        }
    }

    #[test]
    fn a_registration_replaces_the_engine_of_the_same_name() {
        let mut mine = null::FACTORY;
        mine.about = "mine";
        let registry = Registry::standard().register(mine);
        assert_eq!(registry.get("null").unwrap().about, "mine");
        assert_eq!(registry.list().len(), Registry::standard().list().len());
    }
}
