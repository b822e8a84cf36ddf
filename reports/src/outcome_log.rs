//! The log of what each buyer was told: one record per request. A driver writes it at the end of a
//! run, and the audit compares the database with it. This module is the only place that knows the
//! format; writers and readers go through [`Writer`] and [`read`].
//!
//! # Format, version 2
//!
//! A header, then any number of records in no particular order, then a footer. All numbers are
//! little-endian. Times are microseconds since the Unix epoch on the driver's wall clock, which a
//! driver reads once, at its start, and counts on from there on its monotonic clock.
//!
//! | offset | bytes | header |
//! |---|---|---|
//! | 0 | 6 | `LABLOG` |
//! | 6 | 2 | the version in ASCII digits, `02` |
//!
//! | offset | bytes | record ([`RECORD_LEN`] = 64) |
//! |---|---|---|
//! | 0 | i64 | user who asks |
//! | 8 | i64 | product; 0 where the request names none |
//! | 16 | i64 | order that a cancel or a pay asks about; 0 for a buy |
//! | 24 | i64 | order that the reply names; 0 if it names none |
//! | 32 | i64 | when the request was due; in a closed loop, when a worker took it |
//! | 40 | i64 | when it was sent; 0 if it never was |
//! | 48 | i64 | when the reply came, or the driver stopped waiting for it |
//! | 56 | u32 | units asked for; 0 for a cancel or a pay |
//! | 60 | u8 | operation: 1 buy, 2 cancel, 3 pay |
//! | 61 | u8 | outcome: 1 accepted, 2 refused, 3 duplicate, 4 error, 5 unknown |
//! | 62 | u8 | refusal: 1 sold out, 2 not started, 3 ended, 4 limit per buyer, 5 not again, 6 conflict, 7 other; 0 exactly when the outcome is not "refused" |
//! | 63 | u8 | 0 |
//!
//! | offset | bytes | footer |
//! |---|---|---|
//! | 0 | 8 | `LABEND02` |
//! | 8 | u64 | number of records |
//! | 16 | u64 | XXH3-64 (seed 0) of every byte of the file before this field |
//!
//! Thus a log without its end, be it cut between two records, is refused, and so is a code that is
//! not in the tables: what cannot be understood must not be left out of an audit.

mod file;
mod record;
#[cfg(test)]
mod tests;

pub use file::{Writer, read};
pub use record::{Operation, Outcome, RECORD_LEN, Record, Refusal};

use std::io;
use std::path::PathBuf;

/// Why a log could not be written or read. Records are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeLogError {
    #[error("cannot {action} outcome log {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not an outcome log: it does not start with LABLOG", path.display())]
    NotALog { path: PathBuf },
    #[error("outcome log {} is of version {version}, and only version 02 can be read: audit it with the lab that wrote it", path.display())]
    Version { path: PathBuf, version: String },
    #[error("outcome log {} has no end: it was cut off, or its driver did not finish it", path.display())]
    Cut { path: PathBuf },
    #[error("outcome log {} says that it has {said} records and has {found}", path.display())]
    Count {
        path: PathBuf,
        said: u64,
        found: u64,
    },
    #[error("outcome log {} is damaged: its checksum does not fit its content", path.display())]
    Damaged { path: PathBuf },
    #[error("outcome log {}: record {record} has {field} {code}; known: {known}", path.display())]
    UnknownCode {
        path: PathBuf,
        record: u64,
        field: &'static str,
        code: u8,
        known: &'static str,
    },
}
