//! The binary whose roles are crashed.

use scenarios::bench::system_binary;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The system's debug binary, built once.
pub fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| system_binary::build().expect("the system builds"))
        .clone()
}
