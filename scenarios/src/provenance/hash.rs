//! Hashes as a result shows them.

use sha2::{Digest, Sha256};

/// In lower-case hexadecimal digits.
pub(crate) fn hex(digest: impl AsRef<[u8]>) -> String {
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// The first 16 digits of a hash of a name that shall not be told, such as the machine's id. `of`
/// keeps it from being the hash that somebody else makes of the same name. Empty for no name.
pub(super) fn pseudonym(of: &str, name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let mut digits = hex(Sha256::digest(format!("flash-sale lab, {of}: {name}")));
    digits.truncate(16);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_the_same_every_time_and_tells_no_name() {
        let id = "3d1219c7c4c5404aaa1f6d2a48adfda4";
        let told = pseudonym("machine", id);
        assert_eq!(told, pseudonym("machine", id));
        assert_eq!(told.len(), 16);
        assert!(!told.contains(&id[..4]) && told != pseudonym("boot", id));
        assert_eq!(pseudonym("machine", ""), "");
    }
}
