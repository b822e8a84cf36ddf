//! CPU and memory of each process in the two windows of a leg: until the last reply, and until
//! everything is drained. The counters of a process only rise, so a window is the difference of two
//! readings.

use reports::model::{Usage, UsageByProcess};
use rustix::time::{ClockId, clock_gettime};

use super::namespace::Namespace;

/// Names that are not the system: the load's own process and this one.
const DRIVER: &str = "driver";
const LAB: &str = "lab";

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
        .filter(|(name, _)| *name != DRIVER && *name != LAB)
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

/// This process's own counters.
pub(super) fn with_lab(mut usage: UsageByProcess) -> UsageByProcess {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let own = Usage {
        cpu_us: time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000,
        peak_rss_bytes: peak_rss_kib(&status) * 1024,
    };
    usage.insert(LAB.to_owned(), own);
    usage
}

fn peak_rss_kib(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .trim_end_matches("kB")
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0)
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
        assert_eq!(peak_rss_kib("VmPeak: 9 kB\nVmHWM:\t  812 kB\n"), 812);
        assert!(with_lab(UsageByProcess::new())[LAB].peak_rss_bytes > 0);
    }
}
