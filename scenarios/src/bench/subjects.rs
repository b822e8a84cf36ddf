//! What the legs of a run measure: each engine of the line-up under each variant of the scenario.

use std::collections::BTreeMap;

use reports::result::{Ack, Build, DriverKind, Standing, Subject};

use super::lineup::{Lineup, SkippedEngine};
use super::system_binary::{ALLOW_UNSAFE, EngineEntry, engine_name};
use crate::scenario::{Scenario, Variant};

/// Name of the engine that sells nothing: the ceiling of the path around an engine.
pub(super) const NULL_ENGINE: &str = "null";

/// One subject, with what is needed to start it.
#[derive(Clone, Debug)]
pub(super) struct SubjectPlan {
    /// `lua-single-key`, or `lua-single-key, published` under a variant.
    pub id: String,
    /// As `--engine` takes it.
    pub engine: String,
    pub ack: Ack,
    pub driver: DriverKind,
    /// Settings of the roles: the user's, with the variant's on top of them.
    pub settings: BTreeMap<String, String>,
    pub standing: Standing,
    pub record: Subject,
}

impl SubjectPlan {
    /// Whether it makes orders, so that there is something to drain and to judge.
    pub(super) fn sells(&self) -> bool {
        self.standing != Standing::Ceiling
    }

    /// Whether an audit that catches it is what is expected.
    pub(super) fn is_unsafe(&self) -> bool {
        self.standing == Standing::Unsafe
    }
}

/// All subjects that run, in the order of the scenario.
pub(super) fn subjects(
    scenario: &Scenario,
    known: &[EngineEntry],
    overrides: &BTreeMap<String, String>,
    build: &Build,
) -> Vec<SubjectPlan> {
    let variants = scenario.all_variants();
    let of_engine = |engine: &String| {
        let one = |variant: &Variant| subject(scenario, engine, variant, known, overrides, build);
        variants.iter().map(one).collect::<Vec<_>>()
    };
    scenario.engines.iter().flat_map(of_engine).collect()
}

fn subject(
    scenario: &Scenario,
    engine: &str,
    variant: &Variant,
    known: &[EngineEntry],
    overrides: &BTreeMap<String, String>,
    build: &Build,
) -> SubjectPlan {
    let entry = known.iter().find(|entry| entry.name == engine_name(engine));
    let is_unsafe = entry.is_some_and(|entry| entry.is_unsafe);
    let standing = match engine_name(engine) {
        NULL_ENGINE => Standing::Ceiling,
        _ if is_unsafe => Standing::Unsafe,
        _ => Standing::Ranked,
    };
    let mut settings = overrides.clone();
    settings.extend(variant.settings_of_roles());
    if is_unsafe && scenario.unsafe_engines {
        settings.insert(ALLOW_UNSAFE.to_owned(), "true".to_owned());
    }
    let id = match variant.name.as_str() {
        "" => engine.to_owned(),
        name => format!("{engine}, {name}"),
    };
    let named = !variant.name.is_empty();
    SubjectPlan {
        id: id.clone(),
        engine: engine.to_owned(),
        ack: variant.ack.clone().unwrap_or_else(|| scenario.ack.clone()),
        driver: variant
            .driver
            .clone()
            .unwrap_or_else(|| scenario.driver.clone()),
        settings,
        standing: standing.clone(),
        record: Subject {
            variant: named.then(|| variant.name.clone()),
            overrides: variant.settings.clone(),
            ack: variant.ack.clone().filter(|ack| *ack != scenario.ack),
            driver: variant.driver.clone(),
            standing,
            ..record(id, engine, entry, build)
        },
    }
}

fn record(id: String, engine: &str, entry: Option<&EngineEntry>, build: &Build) -> Subject {
    Subject {
        id,
        engine: engine_name(engine).to_owned(),
        params: params(engine),
        guarantees: entry.map(EngineEntry::guarantee_flags).unwrap_or_default(),
        build: build.clone(),
        variant: None,
        overrides: BTreeMap::new(),
        ack: None,
        driver: None,
        side: None,
        head: None,
        standing: Standing::Ranked,
        skipped_why: None,
    }
}

/// An engine that was asked for and cannot run here.
pub(super) fn skipped(skipped: &SkippedEngine, lineup: &Lineup, build: &Build) -> Subject {
    let known = lineup.known.iter();
    let entry = known
        .clone()
        .find(|entry| entry.name == engine_name(&skipped.engine));
    Subject {
        skipped_why: Some(skipped.why.clone()),
        ..record(skipped.engine.clone(), &skipped.engine, entry, build)
    }
}

/// `slots` = `4` of `sharded-slots?slots=4`.
fn params(engine: &str) -> BTreeMap<String, String> {
    let (_, list) = engine.split_once('?').unwrap_or((engine, ""));
    list.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn an_engine_runs_once_per_variant_with_its_settings() {
        let scenario = catalog::load("acks").expect("known");
        let overrides = BTreeMap::from([("SECKILL__LOG__LEVEL".to_owned(), "warn".to_owned())]);
        let plans = subjects(&scenario, &[], &overrides, &Build::default());
        let ids: Vec<&str> = plans.iter().map(|plan| plan.id.as_str()).collect();
        assert_eq!(
            ids,
            ["lua-single-key, confirmed", "lua-single-key, published"]
        );
        assert_eq!(plans[1].ack, Ack::Published);
        assert_eq!(plans[1].record.ack, Some(Ack::Published));
        assert_eq!(plans[0].settings, overrides);

        let scenario = catalog::load("batching").expect("known");
        let plans = subjects(&scenario, &[], &overrides, &Build::default());
        assert_eq!(plans[1].settings["SECKILL__GROUP_COMMIT__MAX_BATCH"], "1");
    }

    #[test]
    fn parameters_are_recorded_apart() {
        let found = params("preallocated?block=5000&partitions=64");
        assert_eq!(found["partitions"], "64");
        assert!(params("null").is_empty());
    }
}
