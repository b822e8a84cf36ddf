//! What a reader must know before they use a leg's figures.

use std::collections::BTreeSet;
use std::time::Duration;

use reports::result::{Flag, Leg, LimitBy, Phase, Purpose};

use crate::scenario::Scenario;

/// Shorter than this says little: one pause of the machine decides it.
const WINDOW_MIN: Duration = Duration::from_secs(3);
/// How a service that has nothing left refuses.
const SOLD_OUT: &str = "sold out";

pub(super) fn of(leg: &Leg, scenario: &Scenario, is_tmpfs: bool) -> BTreeSet<Flag> {
    let mut flags = BTreeSet::new();
    if is_tmpfs {
        flags.insert(Flag::Tmpfs);
    }
    let Some(measured) = leg.measured() else {
        return flags;
    };
    let warm_up_ns: u64 = leg
        .phases
        .iter()
        .filter(|phase| phase.purpose != Purpose::Measure)
        .map(|phase| phase.length_ns)
        .sum();
    let is_short = |length_ns: u64| Duration::from_nanos(length_ns) < WINDOW_MIN;
    let found = [
        (Flag::ShortWindow, is_short(measured.length_ns)),
        // A little less than three seconds of a phase that was to last as long is as long.
        (Flag::ShortWarmUp, is_short(warm_up_ns + 50_000_000)),
        (
            Flag::StockEnded,
            !scenario.may_sell_out && leg.phases.iter().any(sold_out),
        ),
        (
            Flag::RateMissed,
            leg.phases.iter().any(Phase::missed_its_rate),
        ),
        (Flag::DriverSaturated, measured.limit.by == LimitBy::Driver),
        (
            Flag::LittleBroken,
            leg.phases
                .iter()
                .filter_map(|phase| phase.little.as_ref())
                .any(|little| !little.holds()),
        ),
    ];
    flags.extend(
        found
            .into_iter()
            .filter(|(_, is_so)| *is_so)
            .map(|(flag, _)| flag),
    );
    flags
}

fn sold_out(phase: &Phase) -> bool {
    phase
        .statuses
        .iter()
        .any(|(status, count)| *count > 0 && status.contains(SOLD_OUT))
}
