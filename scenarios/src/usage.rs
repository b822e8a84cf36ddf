//! What processes and the machine used, read from `/proc` and from the kernel's clocks of processes:
//! [`Counters`] and [`MachineCounters`] are readings, whose differences are the figures of a window;
//! a [`Ticker`] notices when nobody was run at all.

mod counters;
mod life;
mod limit;
mod machine;
pub mod proc;
mod sums;
mod ticker;

use reports::model::{Usage, UsageByProcess};

use self::proc::ProcessStat;

pub use counters::Counters;
pub(crate) use life::Life;
pub use limit::{LimitInputs, OpenLoop, limit};
pub use machine::MachineCounters;
pub use ticker::{SAMPLE_PERIOD, Ticker};

/// CPU of every process in the tree and of those it has waited for, such as the child with which
/// Redis rewrites its log; memory is the sum of the peaks, so pages that two of them share count
/// twice. None when the root is not among `processes`, which come from [`proc::all`].
pub fn of_tree(processes: &[ProcessStat], root: u32) -> Option<Usage> {
    let start = processes.iter().find(|process| process.pid == root)?;
    let below = proc::descendants(processes, &[root]);
    Some(
        std::iter::once(start)
            .chain(below)
            .fold(Usage::default(), |total, process| Usage {
                cpu_us: total.cpu_us + process.cpu_us(),
                peak_rss_bytes: total.peak_rss_bytes + proc::peak_rss_bytes(process.pid),
            }),
    )
}

/// One after the other under one name, as with a role that was killed and started again: CPU adds
/// up, the peak is the larger one.
pub(crate) fn add_life(usages: &mut UsageByProcess, name: &str, life: Usage) {
    let total = usages.entry(name.to_owned()).or_default();
    total.cpu_us += life.cpu_us;
    total.peak_rss_bytes = total.peak_rss_bytes.max(life.peak_rss_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_process_keeps_the_cpu_of_its_earlier_life() {
        let mut usages = UsageByProcess::new();
        add_life(
            &mut usages,
            "seckill",
            Usage {
                cpu_us: 30,
                peak_rss_bytes: 9,
            },
        );
        add_life(
            &mut usages,
            "seckill",
            Usage {
                cpu_us: 12,
                peak_rss_bytes: 4,
            },
        );
        assert_eq!(
            usages["seckill"],
            Usage {
                cpu_us: 42,
                peak_rss_bytes: 9
            }
        );
    }

    #[test]
    fn a_tree_holds_its_children_and_nothing_else() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep");
        let processes = proc::all();
        let below: Vec<u32> = proc::descendants(&processes, &[std::process::id()])
            .map(|found| found.pid)
            .collect();
        assert!(below.contains(&child.id()), "{below:?}");
        assert!(!below.contains(&std::process::id()));
        assert!(
            of_tree(&processes, child.id())
                .expect("alive")
                .peak_rss_bytes
                > 0
        );
        assert_eq!(of_tree(&processes, u32::MAX), None);
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}
