//! Where programs are kept that the lab has built for itself.

use std::path::PathBuf;

/// The folder of one program in the user's cache; with its version in its name, so that a newer lab
/// does not take an older program for its own. `None` where there is no home folder.
pub fn folder(name_and_version: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    Some(cache.join("flash-sale-lab").join(name_and_version))
}
