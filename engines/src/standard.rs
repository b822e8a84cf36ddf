//! The engines of this crate, by name. A new one here is its file and one line below.

use crate::{
    Registry, database_row, lua_single_key, null, optimistic_row, preallocated, sharded_slots,
    unsafe_counter,
};

impl Registry {
    /// The engines of this crate.
    pub fn standard() -> Self {
        [
            null::FACTORY,
            database_row::FACTORY,
            lua_single_key::FACTORY,
            sharded_slots::FACTORY,
            preallocated::FACTORY,
            optimistic_row::FACTORY,
            unsafe_counter::FACTORY,
        ]
        .into_iter()
        .fold(Self::default(), Self::register)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineEnv, EngineSpec, Params};

    #[test]
    fn an_unknown_engine_lists_the_known_ones() {
        let refused = Registry::standard().get("redsi").unwrap_err().to_string();
        assert_eq!(
            refused,
            r#"unknown engine "redsi"; known: null, database-row, lua-single-key, sharded-slots, preallocated, optimistic-row, unsafe-counter"#
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
    fn a_registration_replaces_the_engine_of_the_same_name() {
        let mut mine = null::FACTORY;
        mine.about = "mine";
        let registry = Registry::standard().register(mine);
        assert_eq!(registry.get("null").unwrap().about, "mine");
        assert_eq!(registry.list().len(), Registry::standard().list().len());
    }
}
