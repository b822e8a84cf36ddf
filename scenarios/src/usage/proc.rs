//! What `/proc` says about processes: parent, state, start, CPU, peak memory, environment. A
//! process that ends while it is being read counts as not there.

/// `/proc` counts in USER_HZ, which is 100 on every architecture that this runs on, whatever the
/// kernel's own tick is.
const US_PER_TICK: u64 = 10_000;

/// One line of `/proc/<pid>/stat`, as far as it is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    pub pid: u32,
    pub parent: u32,
    /// `R`, `S`, `D`, `T`, or `Z` for one that has ended and whose parent has not waited for it.
    pub state: char,
    /// Clock ticks after boot. Together with the pid it names a process for good: pids are used
    /// again.
    pub start_ticks: u64,
    /// User and system time of all threads and of children that were waited for.
    pub cpu_ticks: u64,
}

impl ProcessStat {
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    pub fn cpu_us(&self) -> u64 {
        self.cpu_ticks * US_PER_TICK
    }
}

pub fn stat(pid: u32) -> Option<ProcessStat> {
    parse_stat(
        pid,
        &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?,
    )
}

/// The name in parentheses may hold spaces and parentheses; the fields after it are plain.
fn parse_stat(pid: u32, text: &str) -> Option<ProcessStat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let cpu_ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    Some(ProcessStat {
        pid,
        parent: u32::try_from(number(1)?).ok()?,
        state: fields.first()?.chars().next()?,
        start_ticks: number(19)?,
        cpu_ticks,
    })
}

/// Every process that this one may see.
pub fn all() -> Vec<ProcessStat> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// Those below `roots`, without the roots.
pub fn descendants<'a>(
    processes: &'a [ProcessStat],
    roots: &[u32],
) -> impl Iterator<Item = &'a ProcessStat> + use<'a> {
    let mut found: Vec<&ProcessStat> = Vec::new();
    let mut parents = roots.to_vec();
    while !parents.is_empty() {
        let known = found.len();
        found.extend(
            processes
                .iter()
                .filter(|process| parents.contains(&process.parent)),
        );
        parents = found[known..].iter().map(|process| process.pid).collect();
    }
    found.into_iter()
}

/// Starts the peak of resident memory anew. Where the kernel does not allow that, the peak stays
/// the one ever.
pub fn reset_peak_rss(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").ok();
}

/// Largest resident memory since the start or the last reset; 0 for a process that has ended.
pub fn peak_rss_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    });
    kib.map_or(0, |kib: u64| kib * 1024)
}

/// Whether the process was started with exactly this `NAME=value`. Processes of other users cannot
/// be read and count as no.
pub fn carries(pid: u32, entry: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|byte| *byte == 0)
            .any(|found| found == entry.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_spaces_and_parentheses() {
        let text = "12 (a b) c) S 7 12 12 0 -1 4 9 9 0 0 30 12 3 1 20 0 1 0 8812 4096 77";
        let expected = ProcessStat {
            pid: 12,
            parent: 7,
            state: 'S',
            start_ticks: 8812,
            cpu_ticks: 46,
        };
        assert_eq!(parse_stat(12, text), Some(expected));
        assert_eq!(parse_stat(12, "12 (cut) S 7"), None);
    }

    #[test]
    fn this_process_is_there_and_knows_its_environment() {
        let own = std::process::id();
        assert!(
            all()
                .iter()
                .any(|process| process.pid == own && !process.has_ended())
        );
        assert!(peak_rss_bytes(own) > 0);
        let path = std::env::var("PATH").expect("a path");
        assert!(carries(own, &format!("PATH={path}")));
        assert!(!carries(own, "PATH="));
    }
}
