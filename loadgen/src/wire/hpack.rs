//! Decoding of reply headers (RFC 7541), keeping only what a gRPC client looks at. The table of the
//! connection holds what each entry *means* instead of its text, so a steady reply costs a few
//! table look-ups.

use super::{huffman, static_table};
use std::collections::VecDeque;

/// Size of the table that the peer may use: the protocol's default, which we never change.
const TABLE_SIZE_MAX: usize = 4_096;
/// What an entry counts in addition to its text, RFC 7541 section 4.1.
const ENTRY_OVERHEAD: usize = 32;
/// Longest name or value that is accepted.
const TEXT_LEN_MAX: usize = 16_384;

/// What one header field tells a gRPC client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `:status`.
    HttpStatus(u16),
    /// `grpc-status`; `u32::MAX` if it is not a number.
    GrpcStatus(u32),
    /// `grpc-message`, percent-decoded.
    GrpcMessage(String),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    HttpStatus,
    GrpcStatus,
    GrpcMessage,
    Other,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    name_len: usize,
    field: Field,
    size: usize,
}

/// Decoder of one connection, which can no longer be used after an error.
#[derive(Debug)]
pub struct Decoder {
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_SIZE_MAX,
        }
    }
}

impl Decoder {
    /// Calls `found` with each field of a whole header block; `None` if the block breaks the rules.
    pub fn decode(&mut self, mut block: &[u8], found: &mut impl FnMut(&Field)) -> Option<()> {
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                self.indexed(index, found)?;
            } else if first & 0xc0 == 0x40 {
                let entry = self.literal(&mut block, 6)?;
                found(&entry.field);
                self.insert(entry);
            } else if first & 0xe0 == 0x20 {
                self.size_max =
                    Some(integer(&mut block, 5)?).filter(|size| *size <= TABLE_SIZE_MAX)?;
                self.evict();
            } else {
                found(&self.literal(&mut block, 4)?.field);
            }
        }
        Some(())
    }

    fn indexed(&self, index: usize, found: &mut impl FnMut(&Field)) -> Option<()> {
        let statuses =
            static_table::FIRST_STATUS..static_table::FIRST_STATUS + static_table::STATUSES.len();
        if statuses.contains(&index) {
            found(&Field::HttpStatus(
                static_table::STATUSES[index - static_table::FIRST_STATUS],
            ));
        } else if index > static_table::NAMES.len() {
            found(
                &self
                    .entries
                    .get(index - static_table::NAMES.len() - 1)?
                    .field,
            );
        } else if index == 0 {
            return None;
        }
        Some(())
    }

    fn literal(&self, block: &mut &[u8], prefix_bits: u32) -> Option<Entry> {
        let index = integer(block, prefix_bits)?;
        let (name, name_len) = if index == 0 {
            let text = string(block)?;
            (name_of(&text), text.len())
        } else if let Some(text) = static_table::NAMES.get(index - 1) {
            (name_of(text.as_bytes()), text.len())
        } else {
            let entry = self.entries.get(index - static_table::NAMES.len() - 1)?;
            (entry.name, entry.name_len)
        };
        let value = string(block)?;
        let size = name_len + value.len() + ENTRY_OVERHEAD;
        Some(Entry {
            name,
            name_len,
            field: field_of(name, &value),
            size,
        })
    }

    fn insert(&mut self, entry: Entry) {
        self.size += entry.size;
        self.entries.push_front(entry);
        // An entry larger than the table empties it, and goes with the rest.
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.size_max {
            let Some(entry) = self.entries.pop_back() else {
                return;
            };
            self.size -= entry.size;
        }
    }
}

fn name_of(text: &[u8]) -> Name {
    match text {
        b":status" => Name::HttpStatus,
        b"grpc-status" => Name::GrpcStatus,
        b"grpc-message" => Name::GrpcMessage,
        _ => Name::Other,
    }
}

fn field_of(name: Name, value: &[u8]) -> Field {
    let text = std::str::from_utf8(value).unwrap_or_default();
    match name {
        Name::HttpStatus => Field::HttpStatus(text.parse().unwrap_or(0)),
        Name::GrpcStatus => Field::GrpcStatus(text.parse().unwrap_or(u32::MAX)),
        Name::GrpcMessage => Field::GrpcMessage(percent_decoded(value)),
        Name::Other => Field::Other,
    }
}

/// gRPC's percent encoding; what is not an escape stays as it is.
fn percent_decoded(value: &[u8]) -> String {
    let hex = |at: usize| {
        value
            .get(at)
            .and_then(|digit| char::from(*digit).to_digit(16))
    };
    let mut out = Vec::with_capacity(value.len());
    let mut at = 0;
    while at < value.len() {
        match (value[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn integer(block: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let mask = (1usize << prefix_bits) - 1;
    let mut value = usize::from(take_byte(block)?) & mask;
    if value < mask {
        return Some(value);
    }
    // Three continuation bytes hold 21 bits, more than any length or index that is accepted.
    for shift in [0, 7, 14] {
        let byte = take_byte(block)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn string(block: &mut &[u8]) -> Option<Vec<u8>> {
    let huffman_coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block
        .split_at_checked(length)
        .filter(|_| length <= TEXT_LEN_MAX)?;
    *block = rest;
    if !huffman_coded {
        return Some(text.to_vec());
    }
    let mut out = Vec::with_capacity(length * 2);
    huffman::decode(text, &mut out)?;
    Some(out)
}

fn take_byte(block: &mut &[u8]) -> Option<u8> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    Some(*first)
}

/// Appends a string without Huffman coding, for blocks that a client writes. It must be at most 126
/// bytes long, as all of ours are.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    assert!(
        text.len() < 0x7f,
        "a longer string needs a continuation byte"
    );
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<Field>> {
        let mut found = Vec::new();
        decoder.decode(block, &mut |field| found.push(field.clone()))?;
        Some(found)
    }

    fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
        let mut block = vec![first];
        write_string(&mut block, name);
        write_string(&mut block, value);
        block
    }

    #[test]
    fn what_was_indexed_once_is_looked_up_later() {
        let mut decoder = Decoder::default();
        let mut first = vec![0x88];
        first.extend(literal(0x40, "grpc-status", "14"));
        first.extend(literal(0x40, "grpc-message", "a%20b%"));
        let expected = vec![
            Field::HttpStatus(200),
            Field::GrpcStatus(14),
            Field::GrpcMessage("a b%".into()),
        ];
        assert_eq!(fields(&mut decoder, &first), Some(expected));
        let again = vec![Field::GrpcMessage("a b%".into()), Field::GrpcStatus(14)];
        assert_eq!(fields(&mut decoder, &[0x80 | 62, 0x80 | 63]), Some(again));
        let mut named = vec![0x0f, 63 - 15];
        write_string(&mut named, "5");
        assert_eq!(
            fields(&mut decoder, &named),
            Some(vec![Field::GrpcStatus(5)])
        );
    }

    #[test]
    fn entries_leave_when_the_table_is_full_or_shrinks() {
        let mut decoder = Decoder::default();
        for n in 0..200 {
            fields(
                &mut decoder,
                &literal(0x40, "x-some-header", &n.to_string()),
            )
            .expect("valid");
        }
        assert!(decoder.size <= TABLE_SIZE_MAX && decoder.entries.len() < 100);
        assert_eq!(
            decoder.size,
            decoder
                .entries
                .iter()
                .map(|entry| entry.size)
                .sum::<usize>()
        );
        fields(&mut decoder, &[0x20]).expect("shrinks to nothing");
        assert_eq!((decoder.entries.len(), decoder.size), (0, 0));
        fields(&mut decoder, &literal(0x40, "grpc-status", "0")).expect("not kept");
        assert_eq!(fields(&mut decoder, &[0x80 | 62]), None);
    }

    #[test]
    fn broken_blocks_are_refused() {
        for block in [
            &[0x80][..],
            &[0xff],
            &[0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xbe],
            &[0x40, 3, b'a'],
            &[0x3f, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(fields(&mut Decoder::default(), block), None, "{block:?}");
        }
    }
}
