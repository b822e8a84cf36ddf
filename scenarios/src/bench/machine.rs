//! Where the figures come from: the machine, and the version of this tool.

use std::path::Path;
use std::process::Command;

use reports::model::{Machine, ToolVersion};

/// `release` or `debug`, as this binary was built; the system is built the same way.
pub(super) const PROFILE: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};

pub(super) fn machine() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name", ':')
            .unwrap_or_else(|| "unknown CPU".to_owned()),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        memory_bytes: field(&read("/proc/meminfo"), "MemTotal", ':')
            .and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok())
            .map_or(0, |kib| kib * 1024),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        os: field(&read("/etc/os-release"), "PRETTY_NAME", '=').map_or_else(
            || std::env::consts::OS.to_owned(),
            |name| name.trim_matches('"').to_owned(),
        ),
    }
}

fn field(text: &str, name: &str, separator: char) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The commit is only known inside the repository.
pub(super) fn tool(workspace: Option<&Path>) -> ToolVersion {
    let git = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(workspace?)
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    ToolVersion {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default(),
        dirty: git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty()),
        profile: PROFILE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_and_os_release_are_found() {
        assert_eq!(
            field("MemTotal:   8000 kB\n", "MemTotal", ':').as_deref(),
            Some("8000 kB")
        );
        assert_eq!(
            field("A=1\nPRETTY_NAME=\"X 1\"\n", "PRETTY_NAME", '=').as_deref(),
            Some("\"X 1\"")
        );
        assert!(machine().cores >= 1);
    }
}
