//! The scratch folder: one of its own per run, with enough room at the start and never quite full.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Below this a stack is not started: the database's log takes 256 MiB at once, and a small run as
/// much again.
pub const START_FREE_BYTES_MIN: u64 = 768 << 20;
/// The same for the embedded stack, whose only file grows with the orders.
pub const EMBEDDED_FREE_BYTES_MIN: u64 = 256 << 20;
/// Below this a run ends: what servers do when a write fails differs too much to be waited for.
pub const RUN_FREE_BYTES_MIN: u64 = 48 << 20;

/// The folder of all logs; every other folder holds a server's data.
pub(super) const LOGS: &str = "logs";

const MIB: u64 = 1 << 20;

/// Where scratch folders go without an option.
pub fn base(option: Option<&Path>) -> PathBuf {
    option.map_or_else(std::env::temp_dir, Path::to_path_buf)
}

/// Makes `lab-<run id>` in `base`, with a folder `logs` in it.
pub(super) fn create(base: &Path, run_id: &str, free_bytes_min: u64) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(base)
        .with_context(|| format!("scratch folder {} cannot be made", base.display()))?;
    require_free(base, free_bytes_min, "a stack needs at least")?;
    let folder = std::fs::canonicalize(base)?.join(format!("lab-{run_id}"));
    std::fs::create_dir_all(folder.join(LOGS))
        .with_context(|| format!("scratch folder {} cannot be made", folder.display()))?;
    Ok(folder)
}

/// Free bytes for an ordinary user.
pub fn free_bytes(folder: &Path) -> anyhow::Result<u64> {
    let volume = rustix::fs::statvfs(folder)
        .with_context(|| format!("free space of {} cannot be read", folder.display()))?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}

/// Refuses a folder with less room, naming it and both numbers.
pub(super) fn require_free(folder: &Path, bytes_min: u64, need: &str) -> anyhow::Result<()> {
    let free = free_bytes(folder)?;
    ensure!(
        free >= bytes_min,
        "scratch folder {} has {} MiB free ({free} bytes), and {need} {} MiB",
        folder.display(),
        free / MIB,
        bytes_min / MIB
    );
    Ok(())
}

/// Type of the file system that holds `folder`, from `/proc/mounts`: `tmpfs` says that nothing
/// reaches a disk.
pub fn file_system(folder: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    deepest_mount(&mounts, folder)
        .unwrap_or("unknown")
        .to_owned()
}

fn deepest_mount<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (fields.next(), fields.next()) else {
            continue;
        };
        // A later mount hides an earlier one at the same place.
        if folder.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_room_is_refused_with_both_numbers() {
        let folder = std::env::temp_dir();
        let refused = require_free(&folder, u64::MAX, "a stack needs at least")
            .unwrap_err()
            .to_string();
        let free = free_bytes(&folder).expect("readable") / MIB;
        assert!(
            refused.contains("MiB free") && refused.contains(&(u64::MAX / MIB).to_string()),
            "{refused}"
        );
        assert!(
            free > 0 && refused.contains(&folder.display().to_string()),
            "{refused}"
        );
        require_free(&folder, 0, "nothing needs").expect("room for nothing");
    }

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        let mounts =
            "a / ext4 rw 0 0\nb /tmp xfs rw 0 0\nc /tmp tmpfs rw 0 0\nd /tmpfoo btrfs rw 0 0\n";
        assert_eq!(
            deepest_mount(mounts, Path::new("/tmp/lab-1")),
            Some("tmpfs")
        );
        assert_eq!(deepest_mount(mounts, Path::new("/var/lab-1")), Some("ext4"));
        assert_eq!(deepest_mount("", Path::new("/")), None);
    }
}
