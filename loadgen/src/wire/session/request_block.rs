//! The header block of the one kind of request that a connection sends again and again. The first
//! time it is spelled out and enters the peer's table; after that it is a few index bytes. If the
//! peer's table is too small, it is spelled out every time.

use crate::wire::hpack::write_string;

/// Longest value of a header, so that one byte holds its length.
const VALUE_LEN_MAX: usize = 120;
/// Static-table index of the names that have one, RFC 7541 appendix A.
const STATIC_NAMES: [(&str, u8); 4] = [
    (":authority", 1),
    (":path", 4),
    ("content-type", 31),
    ("user-agent", 58),
];
/// `:method: POST` and `:scheme: http` from the static table.
const METHOD_AND_SCHEME: [u8; 2] = [0x83, 0x86];
const INDEX_FIRST_DYNAMIC: u8 = 62;

/// What every request of a run has in common.
#[derive(Clone, Debug)]
pub struct Target {
    headers: Vec<(&'static str, String)>,
}

impl Target {
    /// `None` if the authority is longer than 120 bytes. The time-out is announced in
    /// `grpc-timeout`, as ghz does.
    pub fn new(authority: &str, path: &str, timeout_ms: u64) -> Option<Self> {
        // gRPC allows eight digits; a longer time-out (27 hours) is not worth announcing precisely.
        let timeout_ms = timeout_ms.min(99_999_999);
        let headers = vec![
            (":path", path.to_owned()),
            (":authority", authority.to_owned()),
            ("te", "trailers".to_owned()),
            ("content-type", "application/grpc".to_owned()),
            (
                "user-agent",
                concat!("lab-loadgen/", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
            ("grpc-timeout", format!("{timeout_ms}m")),
        ];
        headers
            .iter()
            .all(|(_, value)| value.len() <= VALUE_LEN_MAX)
            .then_some(Self { headers })
    }

    /// Bytes that the headers occupy in a peer's table.
    fn table_size(&self) -> usize {
        self.headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum()
    }
}

#[derive(Debug)]
pub struct RequestBlock {
    /// The block of the next request only, if it differs from `steady`.
    once: Option<Vec<u8>>,
    current: Vec<u8>,
    steady: Vec<u8>,
    spelled_out: Vec<u8>,
    table_size: usize,
}

impl RequestBlock {
    pub fn new(target: &Target) -> Self {
        let count = target.headers.len() as u8;
        let mut steady = METHOD_AND_SCHEME.to_vec();
        // The first inserted has the highest index.
        steady.extend(
            (0..count)
                .rev()
                .map(|age| 0x80 | (INDEX_FIRST_DYNAMIC + age)),
        );
        Self {
            once: Some(block(target, 0x40, 6)),
            current: Vec::new(),
            steady,
            spelled_out: block(target, 0x00, 4),
            table_size: target.table_size(),
        }
    }

    /// The peer's table has this many bytes from now on.
    pub fn table_resized(&mut self, size: usize) {
        if size < self.table_size && self.steady != self.spelled_out {
            self.steady.clone_from(&self.spelled_out);
            // A shrunk table must be acknowledged at the start of the next block: "my table is
            // empty".
            let mut once = vec![0x20];
            once.extend_from_slice(&self.spelled_out);
            self.once = Some(once);
        }
    }

    pub fn next(&mut self) -> &[u8] {
        match self.once.take() {
            Some(once) => {
                self.current = once;
                &self.current
            }
            None => &self.steady,
        }
    }
}

fn block(target: &Target, first: u8, prefix_bits: u32) -> Vec<u8> {
    let mut out = METHOD_AND_SCHEME.to_vec();
    let mask = (1u8 << prefix_bits) - 1;
    for (name, value) in &target.headers {
        match STATIC_NAMES.iter().find(|(known, _)| known == name) {
            Some((_, index)) if *index < mask => out.push(first | index),
            Some((_, index)) => out.extend([first | mask, index - mask]),
            None => {
                out.push(first);
                write_string(&mut out, name);
            }
        }
        write_string(&mut out, value);
    }
    out
}
