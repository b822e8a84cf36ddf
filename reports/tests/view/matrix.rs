//! Engines × scenarios: what is marked as best, and from whose legs.

use super::parts::{Figures, leg};
use super::runs;
use crate::{check, first, plain};
use reports::result::{Flag, Leg, LimitsWanted, Run, RunKind, Scenario};
use reports::view::{details, markdown};
use unicode_width::UnicodeWidthStr;

/// Five rounds of three scenarios: in the storm two engines are not told apart.
pub fn ranked() -> Run {
    let mut run = runs::engines();
    run.kind = RunKind::Matrix;
    let scenario = |name: &str, from: &Scenario| {
        let mut scenario = from.clone();
        name.clone_into(&mut scenario.name);
        scenario.sha256 = format!("{name} of its own");
        scenario.rounds = 5;
        scenario
    };
    let storm = runs::sold_out_storm();
    let mut legs = Vec::new();
    for round in 1..=5 {
        let own = 0.01 * f64::from(round % 2);
        for (name, id, rate, cpu_us) in [
            ("sold-out-storm", "preallocated", 131_900.0, 9.4),
            ("sold-out-storm", "lua-single-key", 131_200.0, 9.2),
            ("sold-out-storm", "database-row", 98_000.0, 11.2),
            ("many-products", "lua-single-key", 44_000.0, 31.0),
            ("many-products", "preallocated", 38_000.0, 36.0),
            ("many-products", "null", 110_000.0, 9.1),
        ] {
            let is_storm = name == "sold-out-storm";
            let figures = Figures {
                rate: rate
                    * if id == "lua-single-key" {
                        1.0 + own
                    } else {
                        1.0 - own
                    },
                p99_ms: 9.1,
                cpu_us,
                accepted: if is_storm { 1_000 } else { 200_000 },
                refused: if is_storm { 199_000 } else { 0 },
            };
            legs.push(leg(name, id, round, figures));
        }
    }
    run.scenarios
        .push(scenario("sold-out-storm", &storm.scenarios[0]));
    run.scenarios
        .push(scenario("many-products", &run.scenarios[0].clone()));
    // As they were run: round by round, the scenarios after each other.
    run.legs.extend(legs);
    run.legs.sort_by_key(|leg| leg.round);
    run
}

#[test]
fn a_matrix_looks_like_the_golden_files() {
    let run = ranked();
    check("matrix_ranked.80.txt", &first(&run, 80));
    check("matrix_ranked.140.txt", &first(&run, 140));
    let text = markdown(&run);
    let end = text.find("<details>").expect("figures are folded away");
    check("matrix_ranked.md", &text[..end]);
}

/// Lines of the tables by engine.
fn rows<'a>(text: &'a str, engine: &str) -> Vec<&'a str> {
    text.lines()
        .filter(|line| line.starts_with(&format!("{engine}  ")))
        .collect()
}

#[test]
fn the_best_is_marked_only_where_it_is_separated_from_every_other() {
    let text = first(&ranked(), 140);
    let marks = |engine: &str| rows(&text, engine)[0].matches('*').count();
    assert_eq!(marks("preallocated"), 1, "{text}");
    assert_eq!(marks("lua-single-key"), 1, "{text}");
    assert!(
        text.contains("sold-out-storm: Fastest: lua-single-key or preallocated, not separated"),
        "{text}"
    );
    // Three rounds separate nobody.
    let mut three = ranked();
    three.legs.retain(|leg| leg.round <= 3);
    assert!(!first(&three, 140).contains('*'), "{}", first(&three, 140));
}

/// What weakens the figures of one scenario is said with its name, and what several share once.
#[test]
fn a_matrix_says_what_weakens_the_figures_of_each_scenario() {
    let mut run = ranked();
    let wanted = Some(LimitsWanted {
        cpus: Some(1.5),
        memory_bytes: None,
    });
    run.scenarios[1].limits_wanted = wanted.clone();
    run.scenarios[2].limits_wanted = wanted;
    for leg in &mut run.legs {
        if leg.scenario == "many-products" && leg.subject == "preallocated" {
            leg.flags.insert(Flag::RateMissed);
            let stats = leg.phases[0].operations.values_mut().next();
            stats.expect("an operation").counts.error = 7;
        }
        if leg.scenario == "sold-out-storm" {
            let noise = &mut leg.phases[0].noise;
            noise.steal_ns = noise.window_ns / 2;
        }
    }
    let whole = markdown(&run);
    for text in [&first(&run, 300), &whole] {
        for said in [
            "many-products: failed: preallocated 35 of",
            "many-products: did not keep up with the schedule: preallocated",
            "sold-out-storm: the hypervisor took up to 50.0 % of a core: the figures are too low",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
    let shared =
        "sold-out-storm, many-products: the scenario wants 1.5 cores; no limit was in force";
    assert!(whole.contains(shared), "{whole}");
    assert!(first(&run, 80).lines().count() <= reports::view::LINES_MAX);
}

/// Four engines and null in one scenario, three in each of the others, five rounds of each.
#[test]
fn an_interrupted_matrix_counts_the_legs_of_each_scenario() {
    let mut run = ranked();
    run.complete = false;
    run.legs.retain(|leg| leg.round <= 2);
    let text = first(&run, 140);
    assert!(text.contains("22 of 55 legs ended"), "{text}");
    // In the first round nobody knows who will take part.
    run.legs.truncate(7);
    let text = first(&run, 140);
    assert!(text.contains("INCOMPLETE  7 legs ended"), "{text}");
}

/// Four rounds of five are no reason to call the next one the best.
#[test]
fn nobody_is_best_where_somebody_was_left_out_for_want_of_rounds() {
    let mut run = ranked();
    let legs = run.legs.iter_mut();
    let mut of_it = legs.filter(|leg| {
        (leg.scenario.as_str(), leg.subject.as_str()) == ("sold-out-storm", "preallocated")
    });
    of_it.next().expect("a leg").complete = false;
    let text = first(&run, 140);
    let marks = |engine: &str| rows(&text, engine)[0].matches('*').count();
    // Its other mark is that of another scenario.
    assert_eq!(marks("lua-single-key"), 1, "{text}");
    let markdown = markdown(&run);
    for said in [
        "sold-out-storm: Fastest of those with a place: lua-single-key",
        "Too few rounds for a place, and perhaps better: preallocated.",
    ] {
        assert!(markdown.contains(said), "{said}: {markdown}");
    }
}

/// Whatever another scenario's legs say, the order and the figures of one are its own.
#[test]
fn each_scenario_is_ranked_by_its_own_legs() {
    let whole = ranked();
    let storm = whole.scenario("sold-out-storm").expect("there");
    let mut disturbed = whole.clone();
    let others = disturbed.legs.iter_mut();
    let others = others.filter(|leg| leg.scenario != storm.name);
    for (index, leg) in others.enumerate() {
        slow_down(leg, 1 + index as u64 % 7);
    }
    let section = |run: &Run| {
        let text = markdown(run);
        let begin = text.find("## sold-out-storm\n").expect("a section");
        let end = text.find("## many-products\n").expect("the next");
        text[begin..end].to_owned()
    };
    let own = section(&whole);
    assert!(
        own.lines().filter(|line| line.starts_with('|')).count() == 5,
        "{own}"
    );
    assert_eq!(own, section(&disturbed));
    let figures = |run: &Run| {
        let text = first(run, 140);
        let cells = |row: &str| {
            row.split_whitespace()
                .skip(4)
                .take(3)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let row = rows(&text, "database-row")[0];
        assert!(row.contains("97,400"), "{text}");
        cells(row)
    };
    assert_eq!(figures(&whole), figures(&disturbed));
}

fn slow_down(leg: &mut Leg, times: u64) {
    for phase in &mut leg.phases {
        phase.length_ns *= times;
    }
}

#[test]
fn a_matrix_of_many_scenarios_is_divided_between_them_and_its_details_list_all() {
    let mut run = ranked();
    for (index, name) in ["spike", "bots", "mixed"].into_iter().enumerate() {
        let mut scenario = run.scenarios[index].clone();
        let of_it: Vec<Leg> = run
            .legs_of(&scenario.name, "preallocated")
            .cloned()
            .collect();
        name.clone_into(&mut scenario.name);
        run.scenarios.push(scenario);
        for mut leg in of_it {
            name.clone_into(&mut leg.scenario);
            run.legs.push(leg);
        }
    }
    let text = first(&run, 80);
    assert!(text.lines().count() <= reports::view::LINES_MAX, "{text}");
    for columns in [60, 80] {
        let text = first(&run, columns);
        for line in text.lines() {
            assert!(line.width() <= columns, "{line}");
        }
    }
    let all = details(&run, plain(80));
    for scenario in &run.scenarios {
        assert!(all.contains(&format!("{}: ", scenario.name)), "{all}");
    }
}
