//! The header block of the one kind of request that a connection sends again and again. The first
//! time it is spelled out and enters the peer's table; after that it is a few index bytes. If the
//! peer's table is too small, it is spelled out every time.

use crate::wire::hpack::{self, write_string};

/// Longest value of a header: more than any host name, and all of them fit into the peer's table.
const VALUE_LEN_MAX: usize = 512;
/// Static-table index of the names that have one, RFC 7541 appendix A.
const STATIC_NAMES: [(&str, usize); 4] = [
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
    /// `None` if the authority or the path is longer than 512 bytes. The time-out is announced in
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
    /// Spelled out for the peer's table, until it has been sent.
    first: Option<Vec<u8>>,
    steady: Vec<u8>,
    spelled_out: Vec<u8>,
    /// The last block that was not `steady`.
    once: Vec<u8>,
    /// Bytes that the headers need in the peer's table.
    needed_size: usize,
    /// Bytes of the peer's table that we use at most.
    table_size: usize,
    /// The peer has not been told of `table_size`.
    was_resized: bool,
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
            first: Some(block(target, 0x40, 6)),
            steady,
            spelled_out: block(target, 0x00, 4),
            once: Vec::new(),
            needed_size: target.table_size(),
            table_size: hpack::TABLE_SIZE_MAX,
            was_resized: false,
        }
    }

    /// The peer allows a table of this many bytes from now on. A smaller one must be acknowledged
    /// at the start of the next block, even if a larger one is allowed before that; a larger one
    /// need not be used.
    pub fn table_resized(&mut self, size: usize) {
        if size >= self.table_size {
            return;
        }
        self.was_resized = true;
        self.table_size = size;
        if size < self.needed_size {
            self.table_size = 0;
            self.first = None;
            self.steady.clone_from(&self.spelled_out);
        }
    }

    pub fn next(&mut self) -> &[u8] {
        if !self.was_resized && self.first.is_none() {
            return &self.steady;
        }
        self.once.clear();
        if std::mem::take(&mut self.was_resized) {
            hpack::write_integer(&mut self.once, 0x20, 5, self.table_size);
        }
        let first = self.first.take();
        self.once.extend(first.as_ref().unwrap_or(&self.steady));
        &self.once
    }
}

fn block(target: &Target, first: u8, prefix_bits: u32) -> Vec<u8> {
    let mut out = METHOD_AND_SCHEME.to_vec();
    for (name, value) in &target.headers {
        match STATIC_NAMES.iter().find(|(known, _)| known == name) {
            Some((_, index)) => hpack::write_integer(&mut out, first, prefix_bits, *index),
            None => {
                out.push(first);
                write_string(&mut out, name);
            }
        }
        write_string(&mut out, value);
    }
    out
}
