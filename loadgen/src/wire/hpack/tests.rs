//! Header blocks, in order and out of it, and random ones against a plain model of RFC 7541.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Field>> {
    let mut found = Vec::new();
    decoder.decode(block, &mut |field| found.push(field.clone()))?;
    Ok(found)
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
    assert_eq!(fields(&mut decoder, &first), Ok(expected));
    let again = vec![Field::GrpcMessage("a b%".into()), Field::GrpcStatus(14)];
    assert_eq!(fields(&mut decoder, &[0x80 | 62, 0x80 | 63]), Ok(again));
    let mut named = vec![0x0f, 63 - 15];
    write_string(&mut named, "5");
    assert_eq!(fields(&mut decoder, &named), Ok(vec![Field::GrpcStatus(5)]));
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
    assert_eq!(fields(&mut decoder, &[0x80 | 62]), Err(NO_ENTRY));
}

#[test]
fn a_table_size_update_is_obeyed_before_the_first_field_and_refused_behind_it() {
    let mut decoder = Decoder::default();
    fields(&mut decoder, &literal(0x40, "grpc-status", "0")).expect("valid");
    assert!(
        fields(&mut decoder, &[0x3f, 0xe1, 0x1f, 0x80 | 62]).is_ok(),
        "4,096"
    );
    let twice = [&[0x20, 0x3f, 0x21], &*literal(0x40, "grpc-status", "1")].concat();
    fields(&mut decoder, &twice).expect("emptied, then 64 bytes");
    assert_eq!((decoder.entries.len(), decoder.size_max), (1, 64));
    assert_eq!(fields(&mut decoder, &[0x88, 0x20]), Err(RESIZED_LATE));
    let too_large = fields(&mut Decoder::default(), &[0x3f, 0xe2, 0x1f]);
    assert_eq!(too_large, Err(RESIZED_TOO_LARGE));
}

#[test]
fn broken_blocks_are_refused() {
    let long = [0x40, 0x7f, 0x82, 0x7f];
    for (block, error) in [
        (&[0x80][..], NO_ENTRY),
        (&[0xff], TOO_SHORT),
        (&[0xff, 0xff, 0xff, 0xff, 0xff], NUMBER),
        (&[0xbe], NO_ENTRY),
        (&[0x40, 3, b'a'], TOO_SHORT),
        (&[0x40], TOO_SHORT),
        (&[0x40, 0x81, 0], HUFFMAN),
        (&long, TEXT_TOO_LONG),
        (&[0x3f, 0xff, 0xff, 0x7f], RESIZED_TOO_LARGE),
    ] {
        let refused = fields(&mut Decoder::default(), block);
        assert_eq!(refused, Err(error), "{block:?}");
    }
}

/// An encoder that takes every liberty, with a table of plain texts.
struct Model {
    random: SmallRng,
    /// The newest first.
    table: VecDeque<(String, String)>,
    size_max: usize,
}

impl Model {
    fn size(&self) -> usize {
        let size = |(name, value): &(String, String)| name.len() + value.len() + 32;
        self.table.iter().map(size).sum()
    }

    fn evict(&mut self) {
        while self.size() > self.size_max {
            self.table.pop_back();
        }
    }

    fn field(&mut self) -> (String, String) {
        let names = ["grpc-status", "grpc-message", ":status", "x-other", "via"];
        let name = names[self.random.random_range(0..names.len())];
        let value = match name {
            ":status" | "grpc-status" => self.random.random_range(0..600).to_string(),
            _ => "v".repeat(self.random.random_range(0..400)),
        };
        (name.to_owned(), value)
    }

    /// Index of the name, 0 if it is to be spelled out.
    fn name_index(&mut self, name: &str) -> usize {
        let known = self.table.iter().position(|(known, _)| known == name);
        let fixed = static_table::NAMES.iter().position(|known| *known == name);
        match self.random.random_range(0..3) {
            0 => known.map_or(0, |at| at + 62),
            1 => fixed.map_or(0, |at| at + 1),
            _ => 0,
        }
    }

    /// Appends a field to a block, and returns it.
    fn add(&mut self, block: &mut Vec<u8>) -> (String, String) {
        if !self.table.is_empty() && self.random.random_bool(0.5) {
            let at = self.random.random_range(0..self.table.len());
            write_integer(block, 0x80, 7, at + 62);
            return self.table[at].clone();
        }
        let (name, value) = self.field();
        let index = self.name_index(&name);
        let (first, prefix_bits) = [(0x40, 6), (0, 4), (0x10, 4)][self.random.random_range(0..3)];
        write_integer(block, first, prefix_bits, index);
        if index == 0 {
            write_string(block, &name);
        }
        write_string(block, &value);
        if first == 0x40 {
            self.table.push_front((name.clone(), value.clone()));
            self.evict();
        }
        (name, value)
    }

    fn resize(&mut self, block: &mut Vec<u8>) {
        self.size_max = self.random.random_range(0..=TABLE_SIZE_MAX);
        write_integer(block, 0x20, 5, self.size_max);
        self.evict();
    }
}

#[test]
fn random_blocks_mean_what_a_plain_model_says() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut model = Model {
        random: SmallRng::seed_from_u64(seed),
        table: VecDeque::new(),
        size_max: TABLE_SIZE_MAX,
    };
    let mut decoder = Decoder::default();
    for _ in 0..3_000 {
        let mut block = Vec::new();
        for _ in 0..model.random.random_range(0..6).max(3) - 3 {
            model.resize(&mut block);
        }
        let count = model.random.random_range(0..10);
        let expected = (0..count).map(|_| {
            let (name, value) = model.add(&mut block);
            field_of(name_of(name.as_bytes()), value.as_bytes())
        });
        let expected: Vec<Field> = expected.collect();
        assert_eq!(fields(&mut decoder, &block), Ok(expected), "seed {seed}");
        assert_eq!(
            (decoder.size, decoder.size_max),
            (model.size(), model.size_max)
        );
    }
}
