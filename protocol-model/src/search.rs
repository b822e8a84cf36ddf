//! Runs a complete search and says what it found. The state counts go straight to stderr, past the
//! test harness.

use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::io::Write;
use std::time::Instant;

/// A step and the state it leads to; both are made in one place, so that a step's condition stands
/// beside its effect.
#[derive(Clone, PartialEq)]
pub struct Edge<W> {
    /// What happens, ending with what the number counts: "order is consumed, buyer".
    pub what: &'static str,
    pub number: usize,
    pub next: W,
}

impl<W> Debug for Edge<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.what, self.number)
    }
}

/// Searches everything and panics with the shortest way to a violation, or if a state that matters
/// was not reached.
pub fn holds<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Send + Sync + Clone + Debug + PartialEq + Hash,
    M::Action: Debug + Clone + PartialEq,
{
    let started = Instant::now();
    let checker = model
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    report(name, &checker, started, "holds");
    for property in checker.model().properties() {
        let path = checker.discovery(property.name);
        if property.expectation.discovery_is_failure() {
            let way = path.map(|path| lines(&path.into_actions()));
            assert!(
                way.is_none(),
                "{name}: {} is violated by\n{}",
                property.name,
                way.unwrap_or_default()
            );
        } else {
            assert!(path.is_some(), "{name}: never reached: {}", property.name);
        }
    }
}

/// Searches for a violation of the invariant with this letter; panics if there is none.
pub fn violates<M>(name: &str, invariant: char, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Send + Sync + Clone + Debug + PartialEq + Hash,
    M::Action: Debug + Clone + PartialEq,
{
    let started = Instant::now();
    let names = model.properties().into_iter().map(|property| property.name);
    let wanted: BTreeSet<&str> = names
        .filter(|name| name.starts_with(&format!("({invariant}")))
        .collect();
    assert!(!wanted.is_empty(), "no invariant ({invariant})");
    let until = HasDiscoveries::AnyOf(wanted.clone());
    let checker = model
        .checker()
        .threads(1)
        .finish_when(until)
        .spawn_bfs()
        .join();
    let Some(path) = wanted.iter().find_map(|name| checker.discovery(name)) else {
        report(name, &checker, started, "NOT FOUND");
        panic!("{name}: {wanted:?} was to be violated, and is not");
    };
    let way = path.into_actions();
    report(
        name,
        &checker,
        started,
        &format!("violates ({invariant}) in {} steps", way.len()),
    );
    println!("{}", lines(&way));
}

fn report<M: Model>(name: &str, checker: &impl Checker<M>, started: Instant, verdict: &str) {
    let (states, seconds) = (
        checker.unique_state_count(),
        started.elapsed().as_secs_f64(),
    );
    let _ = writeln!(
        std::io::stderr(),
        "model: {name}: {states} states, {seconds:.1} s, {verdict}"
    );
}

fn lines<A: Debug>(way: &[A]) -> String {
    way.iter()
        .map(|step| format!("  {step:?}"))
        .collect::<Vec<_>>()
        .join("\n")
}
