//! The log of what each buyer was told. The driver writes it at the end of a run, and the audit
//! compares the database with it. A file is the 8 bytes `LABLOG01` and then little-endian records
//! of 48 bytes, in no particular order.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"LABLOG01";
/// Bytes per record: four i64, one u64, one u32, one u8 and three bytes of zero.
pub const RECORD_LEN: usize = 48;
/// Bytes buffered before a write, a whole number of records.
const BUFFER_LEN: usize = RECORD_LEN * 4096;

/// How one request ended for its buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Told "accepted" with an order id that this user had not been given before.
    Accepted = 1,
    /// Told that there will be no order.
    Refused = 2,
    /// Told "accepted" with an order id that this user already had.
    Duplicate = 3,
    /// Certainly not executed: never sent, or turned away by the server.
    Error = 4,
    /// Sent, but without an answer: an order may or may not exist.
    Unknown = 5,
}

impl Outcome {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Accepted,
            Self::Refused,
            Self::Duplicate,
            Self::Error,
            Self::Unknown,
        ]
        .into_iter()
        .find(|outcome| *outcome as u8 == byte)
    }
}

/// One request and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub user_id: i64,
    pub product_id: i64,
    /// The order that the server named in its reply; 0 if it named none.
    pub order_id: i64,
    /// When it was sent; for a request that was never sent, when it was first due.
    pub sent_at_unix_us: i64,
    pub latency_us: u64,
    pub quantity: u32,
    pub outcome: Outcome,
}

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeLogError {
    #[error("cannot {action} outcome log {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not an outcome log: it does not start with LABLOG01", path.display())]
    NotALog { path: PathBuf },
    #[error("outcome log {} ends inside record {record} (counted from 1)", path.display())]
    Truncated { path: PathBuf, record: usize },
    #[error("outcome log {}: record {record} (counted from 1) has outcome {byte}; known: 1 to 5", path.display())]
    UnknownOutcome {
        path: PathBuf,
        record: usize,
        byte: u8,
    },
}

type Result<T> = std::result::Result<T, OutcomeLogError>;

/// Writes a log. A writer that is dropped without [`Writer::finish`] may leave a log without its
/// end.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Writer {
    /// Creates or replaces the file.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let create = || {
            let mut out = BufWriter::with_capacity(BUFFER_LEN, File::create(&path)?);
            out.write_all(MAGIC)?;
            Ok(out)
        };
        match create() {
            Ok(out) => Ok(Self { path, out }),
            Err(source) => Err(OutcomeLogError::Io {
                action: "create",
                path,
                source,
            }),
        }
    }

    pub fn push(&mut self, record: &Record) -> Result<()> {
        self.out
            .write_all(&encode(record))
            .map_err(|source| self.failed(source))
    }

    /// Writes what is still buffered, so that a failure is reported and not lost when the writer is
    /// dropped.
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> OutcomeLogError {
        OutcomeLogError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        }
    }
}

/// All records of a log; memory is 48 bytes per record.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Record>> {
    let path = path.as_ref().to_owned();
    let failed = |source| OutcomeLogError::Io {
        action: "read",
        path: path.clone(),
        source,
    };
    let file = File::open(&path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len() as usize;
    let mut file = BufReader::with_capacity(BUFFER_LEN, file);
    let mut magic = Vec::with_capacity(MAGIC.len());
    file.by_ref()
        .take(MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .map_err(failed)?;
    if magic != MAGIC {
        return Err(OutcomeLogError::NotALog { path });
    }
    let mut records = Vec::with_capacity(length / RECORD_LEN);
    let mut bytes = Vec::with_capacity(RECORD_LEN);
    loop {
        bytes.clear();
        file.by_ref()
            .take(RECORD_LEN as u64)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let record = records.len() + 1;
        match <&[u8; RECORD_LEN]>::try_from(bytes.as_slice()) {
            Ok(bytes) => match decode(bytes) {
                Ok(decoded) => records.push(decoded),
                Err(byte) => return Err(OutcomeLogError::UnknownOutcome { path, record, byte }),
            },
            Err(_) if bytes.is_empty() => return Ok(records),
            Err(_) => return Err(OutcomeLogError::Truncated { path, record }),
        }
    }
}

fn encode(record: &Record) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[0..8].copy_from_slice(&record.user_id.to_le_bytes());
    bytes[8..16].copy_from_slice(&record.product_id.to_le_bytes());
    bytes[16..24].copy_from_slice(&record.order_id.to_le_bytes());
    bytes[24..32].copy_from_slice(&record.sent_at_unix_us.to_le_bytes());
    bytes[32..40].copy_from_slice(&record.latency_us.to_le_bytes());
    bytes[40..44].copy_from_slice(&record.quantity.to_le_bytes());
    bytes[44] = record.outcome as u8;
    bytes
}

/// The record, or the byte that is no outcome.
fn decode(bytes: &[u8; RECORD_LEN]) -> std::result::Result<Record, u8> {
    let eight = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().expect("eight bytes") };
    Ok(Record {
        user_id: i64::from_le_bytes(eight(0)),
        product_id: i64::from_le_bytes(eight(8)),
        order_id: i64::from_le_bytes(eight(16)),
        sent_at_unix_us: i64::from_le_bytes(eight(24)),
        latency_us: u64::from_le_bytes(eight(32)),
        quantity: u32::from_le_bytes(bytes[40..44].try_into().expect("four bytes")),
        outcome: Outcome::from_byte(bytes[44]).ok_or(bytes[44])?,
    })
}

#[cfg(test)]
mod tests {
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
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn record(n: i64) -> Record {
        let outcome = Outcome::from_byte((n % 5) as u8 + 1).expect("1 to 5");
        Record {
            user_id: n,
            product_id: -n,
            order_id: i64::MAX - n,
            sent_at_unix_us: 1_700_000_000_000_000 + n,
            latency_us: u64::MAX - n as u64,
            quantity: n as u32,
            outcome,
        }
    }

    fn written(records: &[Record]) -> Scratch {
        let scratch = Scratch::new();
        let mut writer = Writer::create(&scratch.0).expect("created");
        for record in records {
            writer.push(record).expect("written");
        }
        writer.finish().expect("finished");
        scratch
    }

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let records: Vec<Record> = (0..10_000).map(record).collect();
        let log = written(&records);
        assert_eq!(read(&log.0).expect("read"), records);
        assert_eq!(
            std::fs::metadata(&log.0).expect("there").len(),
            8 + 48 * 10_000
        );
    }

    #[test]
    fn an_empty_log_has_no_records() {
        assert_eq!(read(&written(&[]).0).expect("read"), vec![]);
    }

    #[test]
    fn the_layout_on_disk_never_changes() {
        let log = written(&[Record {
            user_id: 1,
            product_id: 2,
            order_id: 3,
            sent_at_unix_us: 4,
            latency_us: 5,
            quantity: 6,
            outcome: Outcome::Unknown,
        }]);
        let mut expected = b"LABLOG01".to_vec();
        for number in 1..=5u64 {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        expected.extend_from_slice(&[6, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(std::fs::read(&log.0).expect("there"), expected);
    }

    #[test]
    fn a_damaged_log_is_refused_with_the_record() {
        let log = written(&[record(1), record(2)]);
        let mut bytes = std::fs::read(&log.0).expect("there");
        let whole = bytes.clone();
        let fault = |bytes: &[u8]| {
            std::fs::write(&log.0, bytes).expect("written");
            read(&log.0).expect_err("refused").to_string()
        };
        assert!(fault(&whole[..whole.len() - 1]).contains("ends inside record 2"));
        assert!(fault(b"something else").contains("does not start with LABLOG01"));
        assert!(fault(b"LAB").contains("does not start with LABLOG01"));
        bytes[8 + 48 + 44] = 9;
        assert!(fault(&bytes).contains("record 2 (counted from 1) has outcome 9"));
    }

    #[test]
    fn a_missing_log_is_named() {
        let fault = read("/nonexistent/log").expect_err("refused").to_string();
        assert!(
            fault.starts_with("cannot read outcome log /nonexistent/log"),
            "{fault}"
        );
    }
}
