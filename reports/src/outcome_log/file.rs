//! The file around the records: header, footer, and the refusal of what is not whole.

use super::OutcomeLogError;
use super::record::{RECORD_LEN, Record};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3Default;

const MAGIC: &[u8; 6] = b"LABLOG";
const VERSION: &[u8; 2] = b"02";
const HEADER_LEN: usize = MAGIC.len() + VERSION.len();
const END_MAGIC: &[u8; 8] = b"LABEND02";
const FOOTER_LEN: usize = END_MAGIC.len() + 8 + 8;
/// Bytes buffered before a write or after a read, a whole number of records.
const BUFFER_LEN: usize = RECORD_LEN * 4096;

type Result<T> = std::result::Result<T, OutcomeLogError>;

/// Writes a log. A writer that is dropped without [`Writer::finish`] leaves a log without its end,
/// which [`read`] refuses.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
    hash: Checksum,
    count: u64,
}

impl Writer {
    /// Creates or replaces the file.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = match File::create(&path) {
            Ok(file) => file,
            Err(source) => return Err(io_failed("create", &path)(source)),
        };
        let mut writer = Self {
            path,
            out: BufWriter::with_capacity(BUFFER_LEN, file),
            hash: Checksum::default(),
            count: 0,
        };
        writer.write(MAGIC)?;
        writer.write(VERSION)?;
        Ok(writer)
    }

    pub fn push(&mut self, record: &Record) -> Result<()> {
        self.count += 1;
        self.write(&record.encode())
    }

    /// Writes the footer and what is still buffered. Only now the log is whole.
    pub fn finish(mut self) -> Result<()> {
        self.write(END_MAGIC)?;
        self.write(&self.count.to_le_bytes())?;
        let checksum = self.hash.value().to_le_bytes();
        let written = self.out.write_all(&checksum);
        written
            .and_then(|()| self.out.flush())
            .map_err(io_failed("write", &self.path))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.add(bytes);
        self.out
            .write_all(bytes)
            .map_err(io_failed("write", &self.path))
    }
}

/// All records of a log; memory is 88 bytes per record.
///
/// # Errors
/// When the file cannot be read, is not a log of this version, is not whole, or has a code that is
/// not known: no part of such a log is returned.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Record>> {
    let path = path.as_ref();
    let failed = io_failed("read", path);
    let file = File::open(path).map_err(&failed)?;
    let length = file.metadata().map_err(&failed)?.len();
    let mut file = BufReader::with_capacity(BUFFER_LEN, file);
    check_header(&mut file, path)?;
    let owned = || path.to_owned();
    let records_len = length.checked_sub((HEADER_LEN + FOOTER_LEN) as u64);
    let Some(records_len) = records_len.filter(|length| length.is_multiple_of(RECORD_LEN as u64))
    else {
        return Err(OutcomeLogError::Cut { path: owned() });
    };
    let found = records_len / RECORD_LEN as u64;

    let mut hash = Checksum::default();
    hash.add(MAGIC);
    hash.add(VERSION);
    let mut records = Vec::with_capacity(found as usize);
    // A damaged log is called damaged, so a bad code counts only once the checksum has fitted.
    let mut bad_code = None;
    let mut bytes = [0; RECORD_LEN];
    for record in 1..=found {
        file.read_exact(&mut bytes).map_err(&failed)?;
        hash.add(&bytes);
        match Record::decode(&bytes) {
            Ok(decoded) => records.push(decoded),
            Err(code) => drop(bad_code.get_or_insert((record, code))),
        }
    }
    let mut footer = [0; FOOTER_LEN];
    file.read_exact(&mut footer).map_err(&failed)?;
    let (before, checksum) = footer.split_at(FOOTER_LEN - 8);
    let (end, said) = before.split_at(END_MAGIC.len());
    if end != END_MAGIC {
        return Err(OutcomeLogError::Cut { path: owned() });
    }
    hash.add(before);
    if hash.value().to_le_bytes() != checksum {
        return Err(OutcomeLogError::Damaged { path: owned() });
    }
    let said = u64::from_le_bytes(said.try_into().expect("eight bytes"));
    if said != found {
        let path = owned();
        return Err(OutcomeLogError::Count { path, said, found });
    }
    match bad_code {
        None => Ok(records),
        Some((record, (field, code, known))) => Err(OutcomeLogError::UnknownCode {
            path: owned(),
            record,
            field,
            code,
            known,
        }),
    }
}

fn check_header(file: &mut impl Read, path: &Path) -> Result<()> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    file.take(HEADER_LEN as u64)
        .read_to_end(&mut header)
        .map_err(io_failed("read", path))?;
    let path = path.to_owned();
    match header.strip_prefix(MAGIC) {
        Some(version) if version == VERSION => Ok(()),
        Some(version) if version.len() == VERSION.len() => Err(OutcomeLogError::Version {
            path,
            version: version.escape_ascii().to_string(),
        }),
        Some(_) => Err(OutcomeLogError::Cut { path }),
        None => Err(OutcomeLogError::NotALog { path }),
    }
}

fn io_failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OutcomeLogError {
    let path = path.to_owned();
    move |source| OutcomeLogError::Io {
        action,
        path: path.clone(),
        source,
    }
}

/// XXH3-64 of what was added so far.
#[derive(Default)]
struct Checksum(Xxh3Default);

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn value(&self) -> u64 {
        self.0.digest()
    }
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.value())
    }
}
