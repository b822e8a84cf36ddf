//! Which engines take part in a run: those that were asked for and can run on its stack, and
//! stand-ins for those that cannot. The system's binary says what each engine needs; nothing here
//! knows the needs of a particular engine.

use super::CannotRun;
use super::subjects::NULL_ENGINE;
use super::system_binary::{EngineEntry, engine_name};
use crate::scenario::Scenario;
use crate::stack::{ANY_REDIS, ONE_REDIS, Place};

/// The engines that run when none of a scenario's own selling engines can, the fastest first.
const STAND_INS: [&str; 2] = ["preallocated", "database-row"];

/// An engine that was asked for and cannot run on this stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SkippedEngine {
    pub engine: String,
    /// `needs redis`.
    pub why: String,
}

#[derive(Debug)]
pub(super) struct Lineup {
    pub engines: Vec<String>,
    pub skipped: Vec<SkippedEngine>,
    /// Those of `engines` that the scenario does not list.
    pub stand_ins: Vec<String>,
}

/// `by_hand`: the engines come from the command line, and none of them may be replaced.
/// `is_fallback`: `auto` chose this place because the servers were not to be had.
pub(super) fn line_up(
    scenario: &Scenario,
    by_hand: bool,
    known: &[EngineEntry],
    place: Place,
    is_fallback: bool,
) -> Result<Lineup, CannotRun> {
    if place == Place::Embedded && scenario.consumer_held_back {
        return Err(CannotRun(format!(
            "the scenario {} holds the consumer back as a process of its own, and on the embedded stack every role is \
             in one process; use --stack servers",
            scenario.name
        )));
    }
    let lacks = |engine: &str| {
        known
            .iter()
            .find(|entry| entry.name == engine_name(engine))?
            .lacks(place)
    };
    let mut lineup = Lineup {
        engines: Vec::new(),
        skipped: Vec::new(),
        stand_ins: Vec::new(),
    };
    for engine in &scenario.engines {
        match lacks(engine) {
            None => lineup.engines.push(engine.clone()),
            Some(why) => lineup.skipped.push(SkippedEngine {
                engine: engine.clone(),
                why,
            }),
        }
    }
    if by_hand {
        // A fallback may leave engines out, because the user did not ask for this stack.
        let refused = !is_fallback || lineup.engines.is_empty();
        return match lineup.skipped.first().filter(|_| refused) {
            Some(skipped) => Err(CannotRun(refusal(skipped, known, place, is_fallback))),
            None => Ok(lineup),
        };
    }
    let sells = lineup
        .engines
        .iter()
        .any(|engine| engine_name(engine) != NULL_ENGINE);
    if !sells && !lineup.skipped.is_empty() {
        let can = |name: &str| {
            known
                .iter()
                .any(|entry| entry.name == name && entry.lacks(place).is_none())
        };
        lineup.stand_ins = STAND_INS
            .into_iter()
            .filter(|name| can(name))
            .map(str::to_owned)
            .collect();
        lineup.engines.extend(lineup.stand_ins.iter().cloned());
    }
    match lineup.skipped.first().filter(|_| lineup.engines.is_empty()) {
        Some(skipped) => Err(CannotRun(refusal(skipped, known, place, is_fallback))),
        None => Ok(lineup),
    }
}

fn refusal(
    skipped: &SkippedEngine,
    known: &[EngineEntry],
    place: Place,
    is_fallback: bool,
) -> String {
    let able: Vec<&str> = known
        .iter()
        .filter(|entry| entry.lacks(place).is_none())
        .map(|entry| entry.name.as_str())
        .collect();
    let stack = match (place, is_fallback) {
        (Place::Servers, _) => "this stack",
        (Place::Cluster, _) => "a Redis Cluster",
        (Place::Embedded, true) => {
            "the embedded stack, which is all that auto can have here (lab doctor says why)"
        }
        (Place::Embedded, false) => "the embedded stack",
    };
    let SkippedEngine { engine, why } = skipped;
    format!(
        "engine {engine} cannot run on {stack}: it {why}; engines that can: {}",
        able.join(", ")
    )
}

impl EngineEntry {
    /// The first thing that the engine needs and the place does not offer, in words: `needs redis`.
    pub(crate) fn lacks(&self, place: Place) -> Option<String> {
        let offers = place.offers();
        let need = self
            .needs
            .iter()
            .find(|need| !offers.contains(&need.as_str()))?;
        Some(match need.as_str() {
            ONE_REDIS if offers.contains(&ANY_REDIS) => {
                "needs a single redis, not a cluster".to_owned()
            }
            ONE_REDIS | ANY_REDIS => "needs redis".to_owned(),
            need => format!("needs {need}"),
        })
    }
}

impl Lineup {
    /// The scenario with the engines that run.
    pub(super) fn scenario(&self, asked_for: &Scenario) -> Scenario {
        Scenario {
            engines: self.engines.clone(),
            ..asked_for.clone()
        }
    }

    /// What the user should know before the first leg. Empty when every engine that was asked for
    /// runs.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.skipped.is_empty() {
            let list: Vec<String> = self
                .skipped
                .iter()
                .map(|it| format!("{} ({})", it.engine, it.why))
                .collect();
            remarks.push(format!("skipped on this stack: {}", list.join(", ")));
        }
        if !self.stand_ins.is_empty() {
            remarks.push(format!("in their place: {}", self.stand_ins.join(", ")));
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn known() -> Vec<EngineEntry> {
        [
            ("null", vec![]),
            ("database-row", vec!["database"]),
            ("lua-single-key", vec!["redis"]),
            ("sharded-slots", vec!["redis-or-cluster"]),
            ("preallocated", vec!["database"]),
        ]
        .map(|(name, needs)| EngineEntry {
            name: name.to_owned(),
            needs: needs.into_iter().map(str::to_owned).collect(),
            ..EngineEntry::default()
        })
        .to_vec()
    }

    fn scenario(engines: &[&str]) -> Scenario {
        let mut scenario = catalog::load("laptop").expect("known");
        scenario.engines = engines.iter().map(|engine| (*engine).to_owned()).collect();
        scenario
    }

    fn lined_up(
        engines: &[&str],
        by_hand: bool,
        place: Place,
        is_fallback: bool,
    ) -> (Vec<String>, Vec<String>) {
        let lineup =
            line_up(&scenario(engines), by_hand, &known(), place, is_fallback).expect("it can run");
        let remarks = lineup.remarks();
        (lineup.engines, remarks)
    }

    #[test]
    fn engines_that_need_redis_are_skipped_on_the_embedded_stack_and_named_with_the_reason() {
        let (engines, remarks) = lined_up(
            &["null", "database-row", "lua-single-key"],
            false,
            Place::Embedded,
            false,
        );
        assert_eq!(engines, ["null", "database-row"]);
        assert_eq!(
            remarks,
            ["skipped on this stack: lua-single-key (needs redis)"]
        );
    }

    #[test]
    fn a_scenario_of_which_nothing_that_sells_is_left_gets_stand_ins() {
        let (engines, remarks) = lined_up(
            &["lua-single-key", "sharded-slots?slots=4"],
            false,
            Place::Embedded,
            false,
        );
        assert_eq!(engines, ["preallocated", "database-row"]);
        let skipped = "skipped on this stack: lua-single-key (needs redis), sharded-slots?slots=4 (needs redis)";
        assert_eq!(
            remarks,
            [skipped, "in their place: preallocated, database-row"]
        );
        let (engines, _) = lined_up(&["null", "lua-single-key"], false, Place::Embedded, false);
        assert_eq!(engines, ["null", "preallocated", "database-row"]);
        // Only null was asked for, so only null runs.
        assert_eq!(
            lined_up(&["null"], false, Place::Embedded, false).0,
            ["null"]
        );
    }

    #[test]
    fn engines_of_the_command_line_are_refused_and_never_replaced() {
        let refused = |engines: &[&str], is_fallback: bool| {
            let refused = line_up(
                &scenario(engines),
                true,
                &known(),
                Place::Embedded,
                is_fallback,
            );
            refused.expect_err("refused").to_string()
        };
        assert_eq!(
            refused(&["null", "lua-single-key"], false),
            "engine lua-single-key cannot run on the embedded stack: it needs redis; engines that can: null, \
             database-row, preallocated"
        );
        assert!(refused(&["lua-single-key"], true).contains("auto"));
        let (engines, remarks) = lined_up(&["null", "lua-single-key"], true, Place::Embedded, true);
        assert_eq!((engines.len(), remarks.len()), (1, 1));
    }

    #[test]
    fn a_cluster_is_for_engines_that_can_use_one_or_need_none() {
        let (engines, remarks) = lined_up(
            &["lua-single-key", "sharded-slots", "null"],
            false,
            Place::Cluster,
            false,
        );
        assert_eq!(engines, ["sharded-slots", "null"]);
        assert_eq!(
            remarks,
            ["skipped on this stack: lua-single-key (needs a single redis, not a cluster)"]
        );
    }

    #[test]
    fn a_consumer_cannot_be_held_back_inside_one_process() {
        let backlog = catalog::load("backlog").expect("known");
        let refused = line_up(&backlog, false, &known(), Place::Embedded, false)
            .expect_err("refused")
            .to_string();
        assert!(
            refused.contains("the scenario backlog holds the consumer back"),
            "{refused}"
        );
    }
}
