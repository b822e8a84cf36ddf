//! A small file system in memory, to run out of room on.

use std::path::PathBuf;
use std::process::Command;

const MIB: u64 = 1 << 20;

#[derive(Debug)]
pub struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// None, with the reason printed, where this may not mount anything.
    pub fn mount(size_mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size_mib}m"),
                "lab-test",
            ])
            .arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("ignored: mounting a small tmpfs needs root");
        }
        mounted.then(|| Self(folder))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().to_path_buf()
    }

    /// Leaves about this many bytes free.
    pub fn fill_up_to(&self, left_bytes: u64) {
        let free = scenarios::stack::scratch::free_bytes(self.0.path()).expect("readable");
        let mut file = std::fs::File::create(self.0.path().join("filler")).expect("writable");
        let block = vec![1; MIB as usize];
        for _ in 0..free.saturating_sub(left_bytes) / MIB {
            std::io::Write::write_all(&mut file, &block).expect("room");
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily, so that a test that failed half-way leaves no mount behind.
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "the mount is left"
        );
    }
}
