//! Heads that fail requests.

use super::runs::{BASE, HEAD, run};
use crate::{judged, only};
use reports::result::Verdict;

/// A service that refuses to work answers at once and costs nothing.
#[test]
fn a_head_that_fails_more_requests_than_the_base_is_infinitely_worse() {
    let failing = |share: f64, of_base: bool| {
        let mut run = run(10, [1.2, 0.5, 0.5]);
        for leg in &mut run.legs {
            if leg.subject == HEAD || of_base {
                for phase in &mut leg.phases {
                    let stats = phase.operations.values_mut().next().expect("one");
                    stats.counts.error = (phase.due as f64 * share) as u64;
                    stats.counts.accepted -= stats.counts.error;
                }
            }
        }
        judged(&run)
    };
    let worse = failing(0.02, false);
    let head = only(&worse);
    assert_eq!(head.verdict, Verdict::Fail);
    assert!(head.metrics.iter().all(|it| it.hl_ln.0.is_infinite()));
    // Nor is a head that refuses what the base sells.
    let refusing = |subject: &str| {
        let mut run = run(10, [1.2, 0.5, 0.5]);
        for leg in run.legs.iter_mut().filter(|leg| leg.subject == subject) {
            for phase in &mut leg.phases {
                let stats = phase.operations.values_mut().next().expect("one");
                stats.counts.refused = phase.due / 2;
                stats.counts.accepted -= stats.counts.refused;
            }
        }
        judged(&run)
    };
    assert_eq!(only(&refusing(HEAD)).verdict, Verdict::Fail);
    assert_eq!(only(&refusing(BASE)).verdict, Verdict::Pass);
    // A few in ten thousand, or as many as the base's own, change nothing.
    assert_eq!(only(&failing(0.0005, false)).verdict, Verdict::Pass);
    assert_eq!(only(&failing(0.02, true)).verdict, Verdict::Pass);
}
