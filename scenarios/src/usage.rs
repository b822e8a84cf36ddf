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

pub use counters::Counters;
pub(crate) use life::Life;
pub use limit::{LimitInputs, OpenLoop, limit};
pub use machine::MachineCounters;
pub use ticker::{SAMPLE_PERIOD, Ticker};

#[cfg(test)]
mod tests {
    use super::*;

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
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}
