//! A short name for a message, from its type and its body.

use sha2::{Digest, Sha256};

/// SHA-256 over the length of the type (eight bytes, little end first), the type and the body, in 64
/// hex digits: nobody can make two different messages that are called alike.
pub fn of(kind: &str, body: &[u8]) -> String {
    let length = kind.len() as u64;
    let parts = Sha256::new()
        .chain_update(length.to_le_bytes())
        .chain_update(kind)
        .chain_update(body);
    format!("{:x}", parts.finalize())
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn it_is_what_others_compute_too() {
        // printf '\x00\x00\x00\x00\x00\x00\x00\x00foobar' | sha256sum
        let digest = "32a754b8d47500f6cb916f78ab3053d658c9c91d2156a4ce83fdd9ee72a004da";
        assert_eq!(of("", b"foobar"), digest);
    }

    #[test]
    fn what_belongs_to_the_type_is_not_taken_for_the_body() {
        assert_ne!(of("a", b"b"), of("", b"ab"));
        assert_ne!(of("a", b""), of("", b"a"));
    }
}
