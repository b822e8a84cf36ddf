//! CPU and memory of each process in the two windows of a leg: until the last reply, and until
//! everything is drained. The counters of a process only rise, so a window is the difference of two
//! readings.

use loadgen::process;
use reports::model::{DRIVER, LAB, Usage, UsageByProcess, is_system_process};

use super::namespace::Namespace;

/// CPU used since `before`, and the peak of memory as it is now. A process that did not exist
/// before counts from zero.
pub(super) fn since(before: &UsageByProcess, now: &UsageByProcess) -> UsageByProcess {
    now.iter()
        .map(|(name, usage)| {
            let earlier = before.get(name).map_or(0, |usage| usage.cpu_us);
            let cpu_us = usage.cpu_us.saturating_sub(earlier);
            (
                name.clone(),
                Usage {
                    cpu_us,
                    peak_rss_bytes: usage.peak_rss_bytes,
                },
            )
        })
        .collect()
}

/// CPU of the whole system per accepted order; none when no order was accepted.
pub(super) fn system_cpu_us_per_order(usage: &UsageByProcess, accepted: u64) -> Option<f64> {
    let system: u64 = usage
        .iter()
        .filter(|(name, _)| is_system_process(name))
        .map(|(_, usage)| usage.cpu_us)
        .sum();
    (accepted > 0).then(|| system as f64 / accepted as f64)
}

pub(super) fn with_driver(
    mut usage: UsageByProcess,
    cpu_us: u64,
    peak_rss_bytes: u64,
) -> UsageByProcess {
    usage.insert(
        DRIVER.to_owned(),
        Usage {
            cpu_us,
            peak_rss_bytes,
        },
    );
    usage
}

/// The servers and this leg's roles, by their plain names; roles of other legs are left out.
pub(super) fn of_leg(usage: UsageByProcess, namespace: &Namespace) -> UsageByProcess {
    usage
        .into_iter()
        .filter_map(
            |(name, usage)| match name.strip_prefix(&namespace.role_prefix) {
                Some(role) => Some((role.to_owned(), usage)),
                None => (!Namespace::is_role_of_a_leg(&name)).then_some((name, usage)),
            },
        )
        .collect()
}

/// Adds this process's own counters.
pub(super) fn with_lab(mut usage: UsageByProcess) -> UsageByProcess {
    let own = Usage {
        cpu_us: process::cpu_us(),
        peak_rss_bytes: process::peak_rss_bytes(),
    };
    usage.insert(LAB.to_owned(), own);
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(list: &[(&str, u64)]) -> UsageByProcess {
        list.iter()
            .map(|(name, cpu_us)| {
                (
                    (*name).to_owned(),
                    Usage {
                        cpu_us: *cpu_us,
                        peak_rss_bytes: 7,
                    },
                )
            })
            .collect()
    }

    #[test]
    fn a_window_is_what_was_used_since_its_beginning() {
        let window = since(
            &usages(&[("redis", 100)]),
            &usages(&[("redis", 350), ("seckill", 40)]),
        );
        assert_eq!(window, usages(&[("redis", 250), ("seckill", 40)]));
    }

    #[test]
    fn the_driver_and_the_lab_are_not_the_system() {
        let usage = usages(&[
            ("redis", 250),
            ("seckill", 50),
            ("driver", 9_000),
            ("lab", 9_000),
        ]);
        assert_eq!(system_cpu_us_per_order(&usage, 100), Some(3.0));
        assert_eq!(system_cpu_us_per_order(&usage, 0), None);
    }

    #[test]
    fn roles_of_other_legs_are_left_out() {
        let usage = usages(&[
            ("redis", 1),
            ("leg1-seckill", 2),
            ("leg12-seckill", 3),
            ("leg2-seckill", 4),
        ]);
        assert_eq!(
            of_leg(usage, &Namespace::new("lab", 2)),
            usages(&[("redis", 1), ("seckill", 4)])
        );
    }

    #[test]
    fn own_memory_is_read() {
        assert!(with_lab(UsageByProcess::new())[LAB].peak_rss_bytes > 0);
    }
}
