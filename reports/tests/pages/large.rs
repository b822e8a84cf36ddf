//! As much as one run is likely to hold.

use crate::view::parts::{Figures, leg, run, scenario, subject};
use reports::result::*;

/// Nine engines over five rounds of a minute, in as many intervals as a page shows.
pub fn large() -> Run {
    let mut scenario = scenario(
        "large",
        "nine engines",
        "Which of nine engines is fastest here?",
    );
    scenario.rounds = 5;
    let ids: Vec<String> = (1..=9)
        .map(|index| format!("an-engine-with-a-long-name-{index}"))
        .collect();
    let mut legs = Vec::new();
    for round in 1..=5 {
        for (index, id) in (0u8..).zip(&ids) {
            let rate = 10_000.0 + 5_000.0 * f64::from(index) + 37.0 * f64::from(round);
            let mut leg = leg(
                "large",
                id,
                round,
                Figures {
                    rate,
                    p99_ms: 20.0,
                    cpu_us: 30.0,
                    accepted: 100_000,
                    refused: 0,
                },
            );
            let timeline = &mut leg.phases[0].timeline;
            let pattern = timeline.clone();
            *timeline = (0..64u64)
                .map(|interval| Interval {
                    t_ns: interval * 1_000_000_000,
                    length_ns: 1_000_000_000,
                    ..pattern[interval as usize % pattern.len()].clone()
                })
                .collect();
            legs.push(leg);
        }
    }
    let subjects = ids.iter().map(|id| subject(id, Standing::Ranked));
    run(scenario, subjects.collect(), legs)
}

/// The same in three scenarios.
pub fn large_matrix() -> Run {
    let mut run = large();
    let (scenario, legs) = (run.scenarios.remove(0), std::mem::take(&mut run.legs));
    for name in ["large", "larger", "largest"] {
        run.scenarios.push(Scenario {
            name: name.to_owned(),
            ..scenario.clone()
        });
        run.legs.extend(legs.iter().map(|leg| Leg {
            id: format!("{name}-{}", leg.id),
            scenario: name.to_owned(),
            ..leg.clone()
        }));
    }
    run
}
