//! What the legs of a run measure: each engine of the line-up under each variant of the scenario.

use std::collections::BTreeMap;

use std::path::PathBuf;
use std::time::Duration;

use reports::result::{Ack, DriverKind, Standing, Subject};

use super::lineup::SkippedEngine;
use super::program::{Program, TIME_TO_PAY_S, after_the_yes};
use super::system_binary::{ALLOW_UNSAFE, EngineEntry, engine_name};
use crate::scenario::{Scenario, Variant};

/// Name of the engine that sells nothing: the ceiling of the path around an engine.
pub(super) const NULL_ENGINE: &str = "null";

/// One subject, with what is needed to start it.
#[derive(Clone, Debug)]
pub(super) struct SubjectPlan {
    /// `lua-single-key`, or `lua-single-key, published` under a variant; in a comparison of builds
    /// with the side in front of it, `base: lua-single-key`.
    pub id: String,
    /// The binary that is measured.
    pub program: PathBuf,
    /// As `--engine` takes it.
    pub engine: String,
    pub ack: Ack,
    pub driver: DriverKind,
    /// Settings of the roles: the lab's about what comes after the yes, the user's on top of them, and
    /// the variant's on top of those.
    pub settings: BTreeMap<String, String>,
    pub standing: Standing,
    pub record: Subject,
}

impl SubjectPlan {
    /// Whether it makes orders, so that there is something to drain and to judge.
    pub(super) fn sells(&self) -> bool {
        self.standing != Standing::Ceiling
    }

    /// After how long an order that is not paid expires; none: never.
    pub(super) fn time_to_pay(&self) -> Option<Duration> {
        let seconds: u64 = self.settings.get(TIME_TO_PAY_S)?.parse().ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// Whether an audit that catches it is what is expected.
    pub(super) fn is_unsafe(&self) -> bool {
        self.standing == Standing::Unsafe
    }
}

/// All subjects that run, in the order of the scenario.
pub(super) fn subjects(
    scenario: &Scenario,
    program: &Program,
    overrides: &BTreeMap<String, String>,
) -> Vec<SubjectPlan> {
    let variants = scenario.all_variants();
    let of_engine = |engine: &String| {
        let one = |variant: &Variant| subject(scenario, engine, variant, program, overrides);
        variants.iter().map(one).collect::<Vec<_>>()
    };
    scenario.engines.iter().flat_map(of_engine).collect()
}

fn subject(
    scenario: &Scenario,
    engine: &str,
    variant: &Variant,
    program: &Program,
    overrides: &BTreeMap<String, String>,
) -> SubjectPlan {
    let entry = entry(program, engine);
    let is_unsafe = entry.is_some_and(|entry| entry.is_unsafe);
    let standing = match engine_name(engine) {
        NULL_ENGINE => Standing::Ceiling,
        _ if is_unsafe => Standing::Unsafe,
        _ => Standing::Ranked,
    };
    let mut settings = match program.has_orders {
        true => after_the_yes(),
        false => BTreeMap::new(),
    };
    settings.extend(program.other_listeners.clone());
    if let Some(time) = scenario.products.time_to_pay {
        settings.insert(TIME_TO_PAY_S.to_owned(), time.as_secs().to_string());
    }
    settings.extend(overrides.clone());
    settings.extend(variant.settings_of_roles());
    if is_unsafe && scenario.unsafe_engines {
        settings.insert(ALLOW_UNSAFE.to_owned(), "true".to_owned());
    }
    let id = match variant.name.as_str() {
        "" => engine.to_owned(),
        name => format!("{engine}, {name}"),
    };
    let id = sided(id, program);
    let named = !variant.name.is_empty();
    SubjectPlan {
        id: id.clone(),
        program: program.path.clone(),
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
            ..record(id, engine, program)
        },
    }
}

/// What the binary says of an engine.
fn entry<'a>(program: &'a Program, engine: &str) -> Option<&'a EngineEntry> {
    let mut known = program.known.iter();
    known.find(|entry| entry.name == engine_name(engine))
}

fn sided(id: String, program: &Program) -> String {
    match &program.side {
        Some(side) => format!("{}: {id}", side.name),
        None => id,
    }
}

fn record(id: String, engine: &str, program: &Program) -> Subject {
    let guarantees = entry(program, engine).map(EngineEntry::guarantee_flags);
    let side = program.side.as_ref();
    Subject {
        id,
        engine: engine_name(engine).to_owned(),
        params: params(engine),
        guarantees: guarantees.unwrap_or_default(),
        build: program.build.clone(),
        variant: None,
        overrides: BTreeMap::new(),
        ack: None,
        driver: None,
        side: side.map(|side| side.side.clone()),
        head: side.and_then(|side| side.head),
        standing: Standing::Ranked,
        skipped_why: None,
    }
}

/// An engine that was asked for and cannot run here.
pub(super) fn skipped(skipped: &SkippedEngine, program: &Program) -> Subject {
    let id = sided(skipped.engine.clone(), program);
    Subject {
        skipped_why: Some(skipped.why.clone()),
        ..record(id, &skipped.engine, program)
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
    use crate::bench::ProgramSide;
    use crate::catalog;
    use reports::result::{Build, Side};

    fn program(side: Option<ProgramSide>) -> Program {
        Program {
            path: PathBuf::from("seckill"),
            known: Vec::new(),
            build: Build::default(),
            has_orders: false,
            other_listeners: BTreeMap::new(),
            side,
        }
    }

    #[test]
    fn the_subjects_of_a_comparison_are_called_by_their_side() {
        let scenario = catalog::load("laptop").expect("known");
        let side = ProgramSide {
            side: Side::Head,
            head: Some(1),
            name: "head fix/slow-path".to_owned(),
        };
        let plans = subjects(&scenario, &program(Some(side)), &BTreeMap::new());
        assert_eq!(plans[0].id, "head fix/slow-path: lua-single-key");
        let record = &plans[0].record;
        assert_eq!((&record.side, record.head), (&Some(Side::Head), Some(1)));
        assert_eq!(record.engine, "lua-single-key");
    }

    #[test]
    fn an_engine_runs_once_per_variant_with_its_settings() {
        let scenario = catalog::load("acks").expect("known");
        let overrides = BTreeMap::from([("SECKILL__LOG__LEVEL".to_owned(), "warn".to_owned())]);
        let plans = subjects(&scenario, &program(None), &overrides);
        let ids: Vec<&str> = plans.iter().map(|plan| plan.id.as_str()).collect();
        assert_eq!(
            ids,
            ["lua-single-key, confirmed", "lua-single-key, published"]
        );
        assert_eq!(plans[1].ack, Ack::Published);
        assert_eq!(plans[1].record.ack, Some(Ack::Published));
        assert_eq!(plans[0].settings, overrides);

        let scenario = catalog::load("batching").expect("known");
        let plans = subjects(&scenario, &program(None), &overrides);
        assert_eq!(plans[1].settings["SECKILL__GROUP_COMMIT__MAX_BATCH"], "1");
    }

    #[test]
    fn orders_expire_only_where_the_scenario_or_the_user_says_so() {
        let time_to_pay = |scenario: &Scenario, overrides: &BTreeMap<String, String>| {
            let program = Program {
                has_orders: true,
                ..program(None)
            };
            let plans = subjects(scenario, &program, overrides);
            assert_eq!(plans[0].settings["SECKILL__ORDER__LISTEN"], "127.0.0.1:0");
            plans[0].time_to_pay()
        };
        let mut scenario = catalog::load("laptop").expect("known");
        let nothing = BTreeMap::new();
        assert_eq!(time_to_pay(&scenario, &nothing), None);
        let by_hand = BTreeMap::from([(TIME_TO_PAY_S.to_owned(), "3".to_owned())]);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(time_to_pay(&scenario, &by_hand), seconds(3));
        scenario.products.time_to_pay = seconds(2);
        assert_eq!(time_to_pay(&scenario, &nothing), seconds(2));
    }

    #[test]
    fn parameters_are_recorded_apart() {
        let found = params("preallocated?block=5000&partitions=64");
        assert_eq!(found["partitions"], "64");
        assert!(params("null").is_empty());
    }
}
