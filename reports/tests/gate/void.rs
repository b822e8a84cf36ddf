//! What makes a block void.

use super::runs::{BASE, HEAD, USUAL, leg, lost_order};
use reports::gate::{VoidLimits, void_reason};
use reports::result::{Leg, Noise, Purpose};

#[test]
fn only_what_lies_outside_both_builds_makes_a_block_void() {
    let reason = |change: &dyn Fn(&mut Leg, &mut Leg)| {
        let (mut base, mut head) = (leg(BASE, 1, 1, USUAL), leg(HEAD, 1, 1, USUAL));
        change(&mut base, &mut head);
        void_reason(&[&base, &head], BASE, 2, &VoidLimits::default())
    };
    let disturbed = |leg: &mut Leg, noise: fn(u64) -> Noise| {
        let window_ns = leg.phases[0].noise.window_ns;
        leg.phases[0].noise = Noise {
            window_ns,
            ..noise(window_ns)
        };
    };
    let steal = |window_ns: u64| Noise {
        steal_ns: window_ns * 2 / 10,
        ..Noise::default()
    };
    let foreign = |window_ns: u64| Noise {
        foreign_cpu_ns: window_ns * 2 / 10,
        ..Noise::default()
    };
    let missed = |_| Noise {
        samples_missed: 1,
        ..Noise::default()
    };
    let saturated = |leg: &mut Leg| {
        let driver = leg.phases[1].usage.get_mut("driver").expect("it was read");
        driver.busiest_thread.as_mut().expect("it was read").share = 0.95;
    };
    let said = |name: &str| Some(name.to_owned());
    assert_eq!(reason(&|_, _| {}), None);
    assert_eq!(reason(&|_, head| disturbed(head, steal)), said("steal"));
    assert_eq!(
        reason(&|base, _| disturbed(base, foreign)),
        said("foreign_cpu")
    );
    assert_eq!(
        reason(&|_, head| disturbed(head, missed)),
        said("missed_samples")
    );
    assert_eq!(reason(&|base, _| saturated(base)), said("driver_saturated"));
    // What a head may cause itself, and what was not measured.
    assert_eq!(reason(&|_, head| saturated(head)), None);
    assert_eq!(reason(&|_, head| head.audit = Some(lost_order())), None);
    let warm_up = |leg: &mut Leg| {
        disturbed(leg, steal);
        leg.phases[0].purpose = Purpose::WarmUp;
    };
    assert_eq!(reason(&|base, _| warm_up(base)), None);
}
