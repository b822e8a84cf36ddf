//! What is written is read back, and what is not whole is refused.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file of its own per call, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "outcome-log-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self(std::env::temp_dir().join(name))
    }

    /// What reading the file says once it holds these bytes.
    fn said_of(&self, bytes: &[u8]) -> String {
        std::fs::write(&self.0, bytes).expect("written");
        read(&self.0).expect_err("refused").to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Records of every operation, outcome and refusal in turn.
fn record(n: i64) -> Record {
    let refusals = [
        Refusal::SoldOut,
        Refusal::NotStarted,
        Refusal::Ended,
        Refusal::Limit,
        Refusal::NotAgain,
        Refusal::Conflict,
        Refusal::Other,
    ];
    let outcomes = [
        Outcome::Accepted,
        Outcome::Refused,
        Outcome::Duplicate,
        Outcome::Error,
        Outcome::Unknown,
    ];
    let outcome = outcomes[n as usize % 5];
    let due_at_unix_us = 1_700_000_000_000_000 + n;
    Record {
        operation: [Operation::Buy, Operation::Cancel, Operation::Pay][n as usize % 3],
        user_id: n,
        product_id: -n,
        asked_order_id: n * 7,
        quantity: n as u32,
        outcome,
        refusal: (outcome == Outcome::Refused).then_some(refusals[n as usize / 5 % 7]),
        order_id: i64::MAX - n,
        due_at_unix_us,
        sent_at_unix_us: (n % 2 == 0).then_some(due_at_unix_us + 1),
        ended_at_unix_us: due_at_unix_us + 500,
    }
}

fn written(records: &[Record]) -> (Scratch, Vec<u8>) {
    let scratch = Scratch::new();
    let mut writer = Writer::create(&scratch.0).expect("created");
    for record in records {
        writer.push(record).expect("written");
    }
    writer.finish().expect("finished");
    let bytes = std::fs::read(&scratch.0).expect("there");
    (scratch, bytes)
}

/// The log again, with a checksum that fits what was changed in it.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 8;
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn what_is_written_is_read_back_in_order() {
    let records: Vec<Record> = (0..10_000).map(record).collect();
    let (log, bytes) = written(&records);
    assert_eq!(read(&log.0).expect("read"), records);
    assert_eq!(bytes.len(), 8 + RECORD_LEN * 10_000 + 24);
}

#[test]
fn an_empty_log_has_no_records() {
    assert_eq!(read(&written(&[]).0.0).expect("read"), vec![]);
}

#[test]
fn the_layout_on_disk_never_changes() {
    let (_log, bytes) = written(&[Record {
        operation: Operation::Pay,
        user_id: 1,
        product_id: 2,
        asked_order_id: 3,
        order_id: 4,
        due_at_unix_us: 5,
        sent_at_unix_us: Some(6),
        ended_at_unix_us: 7,
        quantity: 8,
        outcome: Outcome::Refused,
        refusal: Some(Refusal::Conflict),
    }]);
    let mut expected = b"LABLOG02".to_vec();
    for number in 1..=7u64 {
        expected.extend_from_slice(&number.to_le_bytes());
    }
    expected.extend_from_slice(&[8, 0, 0, 0, 3, 2, 6, 0]);
    expected.extend_from_slice(b"LABEND02");
    expected.extend_from_slice(&1u64.to_le_bytes());
    let checksum = xxhash_rust::xxh3::xxh3_64(&expected);
    expected.extend_from_slice(&checksum.to_le_bytes());
    assert_eq!(bytes, expected);
}

#[test]
fn a_log_that_was_cut_anywhere_is_refused() {
    let (log, whole) = written(&[record(1), record(2)]);
    for length in 8..whole.len() {
        let said = log.said_of(&whole[..length]);
        assert!(said.contains("has no end"), "{length} bytes: {said}");
    }
    // Cut between two records: the footer of the whole behind the half.
    let mut short = whole[..8 + RECORD_LEN].to_vec();
    short.extend_from_slice(&whole[8 + 2 * RECORD_LEN..]);
    assert!(log.said_of(&short).contains("is damaged"));
    assert!(
        log.said_of(&signed(short))
            .contains("says that it has 2 records and has 1")
    );
}

#[test]
fn a_writer_that_did_not_finish_leaves_no_log() {
    let scratch = Scratch::new();
    let mut writer = Writer::create(&scratch.0).expect("created");
    writer.push(&record(1)).expect("written");
    drop(writer);
    let said = read(&scratch.0).expect_err("refused").to_string();
    assert!(said.contains("has no end"), "{said}");
}

#[test]
fn no_flipped_bit_passes() {
    let (log, whole) = written(&[record(1), record(2)]);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        log.said_of(&bytes);
    }
}

#[test]
fn an_unknown_code_is_refused_with_its_record() {
    let (log, whole) = written(&[record(0), record(6)]);
    let said = |offset: usize, code: u8| {
        let mut bytes = whole.clone();
        bytes[8 + RECORD_LEN + offset] = code;
        log.said_of(&signed(bytes))
    };
    for (offset, code, expected) in [
        (
            60,
            4,
            "record 2 has operation 4; known: 1 buy, 2 cancel, 3 pay",
        ),
        (61, 9, "record 2 has outcome 9; known: 1 to 5"),
        (62, 8, "record 2 has refusal 8; known: 1 to 7"),
        (62, 0, "record 2 has refusal 0; known: 1 to 7"),
        (
            61,
            1,
            "record 2 has refusal 2; known: 0, because it was not refused",
        ),
    ] {
        let said = said(offset, code);
        assert!(said.ends_with(expected), "{said}");
    }
}

#[test]
fn a_log_of_another_version_is_refused_in_one_sentence() {
    let log = Scratch::new();
    let mut old = b"LABLOG01".to_vec();
    old.extend_from_slice(&[0; 48]);
    let said = log.said_of(&old);
    assert!(
        said.ends_with(
            "is of version 01, and only version 02 can be read: audit it with the lab that wrote it"
        ),
        "{said}"
    );
    assert!(
        log.said_of(b"LABLOG99")
            .contains("version 99, and only version 02")
    );
    for stranger in ["something else", "LAB", ""] {
        let said = log.said_of(stranger.as_bytes());
        assert!(said.contains("does not start with LABLOG"), "{said}");
    }
}

#[test]
fn a_missing_log_is_named() {
    let fault = read("/nonexistent/log").expect_err("refused").to_string();
    assert!(
        fault.starts_with("cannot read outcome log /nonexistent/log"),
        "{fault}"
    );
}

#[test]
fn a_log_of_random_bytes_is_refused_and_never_believed() {
    let records: Vec<Record> = (0..3).map(record).collect();
    let (_log, whole) = written(&records);
    let scratch = Scratch::new();
    fuzzing::check(std::slice::from_ref(&whole), |bytes| {
        std::fs::write(&scratch.0, bytes).expect("written");
        match read(&scratch.0) {
            // The checksum covers all of it.
            Ok(read) => assert!(bytes == whole && read == records),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
