//! How much of a disk files take up.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the kernel counts a file's blocks in, whatever those of the file system are.
const BLOCK_BYTES: u64 = 512;

/// Bytes that are really allocated to a file, or to everything in a folder: holes count for
/// nothing, and what is preallocated counts in full. What vanishes meanwhile counts as not there,
/// links are not followed.
pub fn disk_bytes(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else {
        return 0;
    };
    let own = metadata.blocks() * BLOCK_BYTES;
    if !metadata.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| disk_bytes(&entry.path())).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_written_counts_and_holes_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = disk_bytes(folder.path());
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).expect("a folder");
        let mut file = std::fs::File::create(inner.join("full")).expect("a file");
        file.write_all(&vec![7; 1 << 20]).expect("written");
        file.sync_all().expect("allocated");
        let hole = std::fs::File::create(inner.join("hole")).expect("a file");
        hole.set_len(1 << 30).expect("a hole");
        let bytes = disk_bytes(folder.path()) - empty;
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
        assert_eq!(disk_bytes(&folder.path().join("none")), 0);
    }
}
