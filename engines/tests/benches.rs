//! Every bench, tiny: what nobody measures for a month must still run and still measure right
//! answers.

#[path = "../benches/support/all.rs"]
#[allow(dead_code)]
mod support;

use engines::Registry;
use support::cases::{self, CASES};
use support::stand::{CANDIDATES, Candidate, On, Stand};
use support::{memory, pure};

/// Enough for every thread to make its calls more than once.
const ITERATIONS: u64 = 2;
/// Enough for a table to grow.
const USERS: i64 = 5_000;

fn runs_tiny(is_chosen: impl Fn(&Candidate) -> bool) {
    for candidate in CANDIDATES.iter().filter(|candidate| is_chosen(candidate)) {
        let Some(mut stand) = Stand::start(*candidate) else {
            continue;
        };
        for case in CASES {
            let elapsed = cases::run(&mut stand, case, ITERATIONS);
            assert!(!elapsed.is_zero(), "{candidate}: {case}");
        }
    }
}

#[test]
fn every_case_runs_in_the_process() {
    runs_tiny(|candidate| candidate.on == On::Memory);
}

#[test]
fn every_case_runs_on_sqlite() {
    runs_tiny(|candidate| candidate.on == On::Sqlite);
}

#[test]
fn every_case_runs_on_mariadb() {
    runs_tiny(|candidate| candidate.on == On::MariaDb);
}

#[test]
fn every_case_runs_on_redis() {
    runs_tiny(|candidate| candidate.on == On::Redis);
}

#[test]
fn every_registered_engine_that_keeps_the_contract_has_benches() {
    let registry = Registry::standard();
    let safe = registry.list().iter().filter(|factory| !factory.is_unsafe);
    for factory in safe {
        let has_benches = CANDIDATES
            .iter()
            .any(|candidate| candidate.name() == factory.name);
        assert!(has_benches, "{} is in no line of CANDIDATES", factory.name);
    }
}

#[test]
fn a_buyer_takes_bytes_where_the_engine_keeps_him() {
    for candidate in CANDIDATES {
        let Some(taken) = memory::measure(candidate, USERS) else {
            continue;
        };
        assert!(!taken.reopened_in.is_zero(), "{candidate}");
        // Here the process is not fresh: memory that others have freed is used again.
        if !memory::needs_fresh_process(&candidate) {
            assert!(
                taken.bytes_per_user > 8.0,
                "{candidate}: {taken:?}; a user id alone takes 8 bytes"
            );
        }
    }
}

#[test]
fn what_is_counted_in_instructions_runs_without_valgrind() {
    pure::settle(pure::reserved(256));
    assert_eq!(pure::cut(&(0..1_234).collect::<Vec<_>>()), 2 + 2 + 1 + 14);
    assert_eq!(
        pure::parse_and_check(&Registry::standard()),
        pure::SPECS_KNOWN
    );
}

#[test]
fn the_runner_that_is_asked_for_is_the_one_that_fits() {
    let locked = include_str!("../../Cargo.lock");
    let package = format!(
        "name = \"gungraun-runner\"\nversion = \"{}\"\n",
        servers::counting::RUNNER_VERSION
    );
    assert!(
        locked.contains(&package),
        "Cargo.lock has another release than {}",
        servers::counting::RUNNER_VERSION
    );
}
