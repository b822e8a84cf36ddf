//! What makes a block void: only what lies outside both builds. Whatever a worse head may cause, an
//! audit that fails, a rate that is missed, counts against it instead.

use super::rules::VoidLimits;
use crate::result::{DRIVER, Leg, Phase, Purpose};

/// Why a block does not count, as a short reason that stays the same: `steal`, `foreign_cpu` or
/// `missed_samples` in a measured phase of any of its legs, `driver_saturated` in one of the base's
/// (in a head's, a thread of the driver may be busy because the head answers faster). None when the
/// block counts. `base` is the id of the base's subject.
///
/// Without `cores` shares of them cannot be told, and nothing is void for such a share.
pub fn void_reason(
    legs_of_block: &[&Leg],
    base: &str,
    cores: u32,
    limits: &VoidLimits,
) -> Option<String> {
    let phases = || legs_of_block.iter().flat_map(|leg| measured(leg));
    let share = |phase: &Phase, ns: u64| {
        let capacity_ns = phase.noise.window_ns as f64 * f64::from(cores);
        if capacity_ns > 0.0 {
            ns as f64 / capacity_ns
        } else {
            0.0
        }
    };
    let mut phases_of_base = legs_of_block
        .iter()
        .filter(|leg| leg.subject == base)
        .flat_map(|leg| measured(leg));
    let reason = if phases().any(|it| share(it, it.noise.steal_ns) > limits.steal_share_max) {
        "steal"
    } else if phases().any(|it| share(it, it.noise.foreign_cpu_ns) > limits.foreign_share_max) {
        "foreign_cpu"
    } else if phases().any(|it| it.noise.samples_missed > limits.samples_missed_max) {
        "missed_samples"
    } else if phases_of_base.any(|it| driver_busy_share(it) > limits.driver_busy_share_max) {
        "driver_saturated"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

fn measured(leg: &Leg) -> impl Iterator<Item = &Phase> {
    let phases = leg.phases.iter();
    phases.filter(|phase| phase.purpose == Purpose::Measure)
}

/// 0 where the driver's threads were not read.
fn driver_busy_share(phase: &Phase) -> f64 {
    let driver = phase.usage.get(DRIVER);
    let busiest = driver.and_then(|usage| usage.busiest_thread.as_ref());
    busiest.map_or(0.0, |thread| thread.share)
}
