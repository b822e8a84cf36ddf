//! A set of processes by pid and start, to see whether all of them have ended.

use std::time::{Duration, Instant};

use scenarios::usage::proc::{self, ProcessStat};

const POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Family {
    /// With the program's name.
    members: Vec<(ProcessStat, String)>,
    tag: Option<String>,
}

impl Family {
    /// What carries the run's id, and every guard or server below `parent` that names the run in
    /// its arguments.
    pub fn below(parent: u32, (name, value): (&str, &str)) -> Self {
        let tag = format!("{name}={value}");
        let processes = proc::all();
        let below: Vec<u32> = proc::descendants(&processes, &[parent])
            .map(|process| process.pid)
            .collect();
        let arguments =
            |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_member = |process: &ProcessStat| {
            proc::carries(process.pid, &tag)
                || (below.contains(&process.pid) && arguments(process.pid).contains(value))
        };
        let mut members: Vec<ProcessStat> = processes.iter().copied().filter(is_member).collect();
        let roots: Vec<u32> = members.iter().map(|member| member.pid).collect();
        members.extend(proc::descendants(&processes, &roots).copied());
        // Redis writes over its environment; it is a child of the parent in any case.
        let direct = |process: &&ProcessStat| {
            process.parent == parent && program(process.pid) == "redis-server"
        };
        if parent != std::process::id() {
            members.extend(processes.iter().filter(direct).copied());
        }
        Self::named(members, Some(tag))
    }

    pub fn of(pids: &[u32]) -> Self {
        Self::named(
            pids.iter().filter_map(|pid| proc::stat(*pid)).collect(),
            None,
        )
    }

    fn named(members: Vec<ProcessStat>, tag: Option<String>) -> Self {
        Self {
            members: members
                .into_iter()
                .map(|member| (member, program(member.pid)))
                .collect(),
            tag,
        }
    }

    pub fn has(&self, program: &str) -> bool {
        self.members.iter().any(|(_, name)| name == program)
    }

    pub fn assert_gone_within(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let mut left: Vec<&str> = Vec::new();
            for (member, name) in &self.members {
                let now = proc::stat(member.pid);
                if now.is_some_and(|now| now.start_ticks == member.start_ticks && !now.has_ended())
                {
                    left.push(name);
                }
            }
            let tagged = self.tag.as_ref().map_or(0, |tag| {
                proc::all()
                    .iter()
                    .filter(|it| !it.has_ended() && proc::carries(it.pid, tag))
                    .count()
            });
            if left.is_empty() && tagged == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "still alive after {limit:?}: {left:?}, {tagged} with the run's id"
            );
            std::thread::sleep(POLL);
        }
    }
}

fn program(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}
