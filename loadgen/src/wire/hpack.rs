//! Decoding of reply headers (RFC 7541), keeping only what a gRPC client looks at. The table of the
//! connection holds what each entry *means* instead of its text, so a steady reply costs a few
//! table look-ups.

#[cfg(test)]
mod tests;

use super::WireError::{self, Unsupported, Violation};
use super::{Result, huffman, static_table};
use std::collections::VecDeque;

/// Size of the table that the peer may use: the protocol's default, which we never change.
pub const TABLE_SIZE_MAX: usize = 4_096;
/// What an entry counts in addition to its text, RFC 7541 section 4.1.
const ENTRY_OVERHEAD: usize = 32;
/// Longest name or value that is accepted, as it is coded.
const TEXT_LEN_MAX: usize = 16_384;

const NO_ENTRY: WireError = Violation("a header block names an entry that is not in the table");
const TOO_SHORT: WireError = Violation("a header block ends in the middle of a field");
const HUFFMAN: WireError = Violation("a header block has a wrong Huffman code");
const RESIZED_LATE: WireError =
    Violation("a header block changes the size of the table behind its first field");
const RESIZED_TOO_LARGE: WireError =
    Violation("a header block makes the table larger than 4,096 bytes");
const NUMBER: WireError = Unsupported("a header block has a number of more than 21 bits");
const TEXT_TOO_LONG: WireError = Unsupported("a header is longer than 16,384 bytes");

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
    /// Calls `found` with each field of a whole header block.
    pub fn decode(&mut self, mut block: &[u8], found: &mut impl FnMut(&Field)) -> Result<()> {
        let mut has_fields = false;
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                if has_fields {
                    return Err(RESIZED_LATE);
                }
                self.resize(integer(&mut block, 5)?)?;
                continue;
            }
            has_fields = true;
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                self.indexed(index, found)?;
            } else if first & 0x40 != 0 {
                let entry = self.literal(&mut block, 6)?;
                found(&entry.field);
                self.insert(entry);
            } else {
                found(&self.literal(&mut block, 4)?.field);
            }
        }
        Ok(())
    }

    fn resize(&mut self, size: usize) -> Result<()> {
        if size > TABLE_SIZE_MAX {
            return Err(RESIZED_TOO_LARGE);
        }
        self.size_max = size;
        self.evict();
        Ok(())
    }

    /// Entry of the dynamic table, which follows the static one and counts from its end on.
    fn entry(&self, index: usize) -> Result<&Entry> {
        let index = index.checked_sub(static_table::NAMES.len() + 1);
        index
            .and_then(|index| self.entries.get(index))
            .ok_or(NO_ENTRY)
    }

    fn indexed(&self, index: usize, found: &mut impl FnMut(&Field)) -> Result<()> {
        let status = index.checked_sub(static_table::FIRST_STATUS);
        if let Some(status) = status.and_then(|at| static_table::STATUSES.get(at)) {
            found(&Field::HttpStatus(*status));
        } else if !(1..=static_table::NAMES.len()).contains(&index) {
            found(&self.entry(index)?.field);
        }
        Ok(())
    }

    fn literal(&self, block: &mut &[u8], prefix_bits: u32) -> Result<Entry> {
        let index = integer(block, prefix_bits)?;
        let (name, name_len) = if index == 0 {
            let text = string(block)?;
            (name_of(&text), text.len())
        } else if let Some(text) = static_table::NAMES.get(index - 1) {
            (name_of(text.as_bytes()), text.len())
        } else {
            let entry = self.entry(index)?;
            (entry.name, entry.name_len)
        };
        let value = string(block)?;
        let size = name_len + value.len() + ENTRY_OVERHEAD;
        Ok(Entry {
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

fn integer(block: &mut &[u8], prefix_bits: u32) -> Result<usize> {
    let mask = (1usize << prefix_bits) - 1;
    let mut value = usize::from(take_byte(block)?) & mask;
    if value < mask {
        return Ok(value);
    }
    // Three continuation bytes hold 21 bits, more than any length or index that is accepted.
    for shift in [0, 7, 14] {
        let byte = take_byte(block)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(NUMBER)
}

fn string(block: &mut &[u8]) -> Result<Vec<u8>> {
    let huffman_coded = block.first().ok_or(TOO_SHORT)? & 0x80 != 0;
    let length = integer(block, 7)?;
    if length > TEXT_LEN_MAX {
        return Err(TEXT_TOO_LONG);
    }
    let (text, rest) = block.split_at_checked(length).ok_or(TOO_SHORT)?;
    *block = rest;
    if !huffman_coded {
        return Ok(text.to_vec());
    }
    let mut out = Vec::with_capacity(length * 2);
    huffman::decode(text, &mut out).ok_or(HUFFMAN)?;
    Ok(out)
}

fn take_byte(block: &mut &[u8]) -> Result<u8> {
    let (first, rest) = block.split_first().ok_or(TOO_SHORT)?;
    *block = rest;
    Ok(*first)
}

/// Appends an integer behind the bits of `first` that its prefix leaves free, RFC 7541 section 5.1.
pub fn write_integer(out: &mut Vec<u8>, first: u8, prefix_bits: u32, value: usize) {
    let mask = (1usize << prefix_bits) - 1;
    if value < mask {
        return out.push(first | value as u8);
    }
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string without Huffman coding.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    write_integer(out, 0, 7, text.len());
    out.extend_from_slice(text.as_bytes());
}
