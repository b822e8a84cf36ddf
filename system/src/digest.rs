//! A short name for a body of bytes.

/// 64-bit FNV-1a (Fowler, Noll, Vo) in 16 hex digits: the same in every version, unlike the
/// standard library's hash.
pub fn of(bytes: &[u8]) -> String {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = bytes.iter().fold(BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_what_others_compute_too() {
        assert_eq!(super::of(b"foobar"), "85944171f73967e8");
    }
}
