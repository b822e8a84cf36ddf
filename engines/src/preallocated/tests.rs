//! Broken copies of this engine, each of which the conformance suite must catch.

use super::faults::{Fault, Faults};
use super::{FACTORY, Preallocated};
use crate::conformance::{self, Harness, Subject};
use crate::{EngineEnv, Params, Result, StockEngine};
use std::sync::Arc;

#[path = "../../tests/support/mariadb.rs"]
#[allow(dead_code)]
mod mariadb;
#[path = "../../tests/support/places.rs"]
#[allow(dead_code)]
mod places;
#[path = "../../tests/support/rest_of_system.rs"]
#[allow(dead_code)]
mod rest_of_system;

use places::Place;
use rest_of_system::Rest;

struct Copy {
    rest: Rest,
    faults: Faults,
}

#[async_trait::async_trait]
impl Subject for Copy {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        let env = EngineEnv { database_url: Some(self.rest.place.url.clone()), ..EngineEnv::default() };
        let params = Params::new(&"preallocated?block=7&partitions=8".parse()?, FACTORY.params)?;
        let engine = Preallocated { faults: self.faults, ..Preallocated::connect(&env, &params)? };
        Ok(self.rest.around(Arc::new(engine)))
    }
}

async fn first_failure(only: Option<Fault>) -> Option<(&'static str, String)> {
    let subject = Copy { rest: Rest::new(Place::sqlite().await), faults: Faults { only } };
    let harness = Harness::new(subject);
    let caught = conformance::first_failure(&harness).await.unwrap();
    caught.map(|(check, how)| (check.name, format!("{how}; {}", harness.seed_line())))
}

async fn is_caught(fault: Fault) {
    let (name, how) = first_failure(Some(fault)).await.unwrap_or_else(|| panic!("{fault:?} was not caught"));
    eprintln!("{fault:?}: caught by {name} ({})", how.lines().next().unwrap_or_default());
}

#[tokio::test]
async fn a_decrement_without_a_check_is_caught() {
    is_caught(Fault::SellsWithoutCheck).await;
}

#[tokio::test]
async fn a_release_that_counts_twice_is_caught() {
    is_caught(Fault::ReleasesTwice).await;
}

#[tokio::test]
async fn a_missing_user_gate_is_caught() {
    is_caught(Fault::NoUserGate).await;
}

#[tokio::test]
async fn partitions_that_nobody_heeds_are_caught() {
    is_caught(Fault::SellsToAnybody).await;
}

#[tokio::test]
async fn units_stranded_because_nobody_answers_a_want_are_caught() {
    is_caught(Fault::DeafToWants).await;
}

#[tokio::test]
async fn sold_out_without_looking_at_others_is_caught() {
    is_caught(Fault::IgnoresOthers).await;
}

#[tokio::test]
async fn a_refill_of_memory_before_the_database_is_caught() {
    is_caught(Fault::RefillsMemoryFirst).await;
}

#[tokio::test]
async fn units_kept_at_a_clean_stop_are_caught() {
    is_caught(Fault::KeepsItsUnits).await;
}

#[tokio::test]
async fn a_cancelled_order_given_back_a_second_time_is_caught() {
    is_caught(Fault::ForgetsCancels).await;
}

#[tokio::test]
async fn the_healthy_copy_is_not() {
    assert_eq!(first_failure(None).await, None);
}
