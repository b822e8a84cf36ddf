//! Files that hold secrets.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file that is not there yet, and that only its owner can read.
pub fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut create = OpenOptions::new();
    let mut file = create.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
