//! Parks what can never become a row, in the consumer's transaction and in few statements: one
//! record for each body of each type, however often and under however many message ids it comes,
//! and a bound on how many there are (parked-is-final, R10).

use super::types::Poison;
use crate::clock::unix_ms;
use crate::digest;
use database::fixed_rows::{BULK, Statement};
use database::{Arg, Connection, DatabaseKind, Result};
use engines::{IncarnationId, OrderId};
use std::collections::{HashMap, HashSet};

/// Open records of one incarnation. What comes beyond them is counted in one record more and not
/// kept: a table has an end, and a queue that waits for it would stop the sale. It is as many as
/// messages of a million orders, for the day on which consumers are older than publishers.
pub const KEPT_MAX: usize = 10_000;
/// Longest stored kind and reason, characters, and longest stored body, bytes.
const MAX_KIND: usize = 64;
const MAX_REASON: usize = 500;
pub const MAX_BODY: usize = 1024 * 1024;
/// Bodies sent in one statement, bytes, unless a single one is longer; servers take no more than
/// 16 MB at a time.
const STATEMENT_BYTES: usize = 2 * MAX_BODY;
/// In place of the digest of what was not kept, and of a queue that is gone.
const BEYOND: &str = "beyond";
pub(super) const QUEUE: &str = "queue";

const COLUMNS: &str =
    "INSERT INTO parked (incarnation, message_id, order_id, kind, reason, body, digest, count,
     created_at_ms, seen_at_ms) VALUES ";
const VALUES: usize = 10;
const ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// What is seen again is open again, whatever was decided before: it may be in another hold's way.
static PARK_MYSQL: Statement = Statement::new(
    BULK,
    COLUMNS,
    ROW,
    " ON DUPLICATE KEY UPDATE count = count + VALUES(count), seen_at_ms = VALUES(seen_at_ms),
     resolved = 0, resolved_at_ms = NULL, resolution = ''",
);
static PARK_SQLITE: Statement = Statement::new(
    BULK,
    COLUMNS,
    ROW,
    " ON CONFLICT (incarnation, order_id, digest) DO UPDATE SET count = count + excluded.count,
     seen_at_ms = excluded.seen_at_ms, resolved = 0, resolved_at_ms = NULL, resolution = ''",
);
static KNOWN: Statement = Statement::new(
    BULK,
    "SELECT order_id, digest FROM parked WHERE digest IN (",
    "?",
    ") AND incarnation = ?",
);

/// One record, and how often it was seen.
#[derive(Debug)]
pub(super) struct Record<'a> {
    message_id: &'a str,
    pub(super) order: OrderId,
    /// No longer than a record has room for, as the reason and the body are.
    pub(super) kind: String,
    reason: String,
    pub(super) body: &'a [u8],
    /// Of the whole body, and of the whole kind.
    pub(super) digest: String,
    count: i64,
}

/// Records all of `poison`; those that are kept, and not only counted, each once.
pub(super) async fn park<'a>(
    connection: &mut Connection<'_>,
    incarnation: IncarnationId,
    poison: &'a [Poison],
) -> Result<Vec<Record<'a>>> {
    let mut records = without_repeats(poison);
    if records.is_empty() {
        return Ok(records);
    }
    keep_within_bound(connection, incarnation, &mut records).await?;
    let statement = match connection.kind() {
        DatabaseKind::MySql => &PARK_MYSQL,
        DatabaseKind::Sqlite => &PARK_SQLITE,
    };
    let now_ms = unix_ms();
    for slice in slices(&records) {
        let mut args = Vec::with_capacity(VALUES * slice.len());
        for record in slice {
            args.extend([
                Arg::from(incarnation),
                record.message_id.into(),
                record.order.into(),
                record.kind.as_str().into(),
                record.reason.as_str().into(),
                record.body.into(),
                record.digest.as_str().into(),
                record.count.into(),
                now_ms.into(),
                now_ms.into(),
            ]);
        }
        connection
            .run(statement.for_rows(slice.len()), args)
            .await?;
    }
    records.retain(|record| record.digest != BEYOND);
    Ok(records)
}

/// One record for each order and digest, in the order in which they came.
fn without_repeats(poison: &[Poison]) -> Vec<Record<'_>> {
    let mut known: HashMap<(OrderId, String), usize> = HashMap::new();
    let mut records: Vec<Record<'_>> = Vec::new();
    for poison in poison {
        let digest = digest::of(&poison.kind, &poison.body);
        let index = *known
            .entry((poison.order, digest.clone()))
            .or_insert(records.len());
        match records.get_mut(index) {
            Some(record) => record.count += 1,
            None => records.push(Record {
                message_id: &poison.message_id,
                order: poison.order,
                kind: poison.kind.chars().take(MAX_KIND).collect(),
                reason: poison.reason.chars().take(MAX_REASON).collect(),
                body: &poison.body[..poison.body.len().min(MAX_BODY)],
                digest,
                count: 1,
            }),
        }
    }
    records
}

/// Puts one record that counts in the place of those that are new and one too many.
async fn keep_within_bound(
    connection: &mut Connection<'_>,
    incarnation: IncarnationId,
    records: &mut Vec<Record<'_>>,
) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM parked WHERE resolved = 0 AND incarnation = ?";
    let open: i64 = connection.row(sql, [incarnation]).await?.unwrap_or(0);
    let mut room = KEPT_MAX.saturating_sub(usize::try_from(open).unwrap_or(KEPT_MAX));
    if records.len() <= room {
        return Ok(());
    }
    let digests: Vec<&str> = records.iter().map(|row| row.digest.as_str()).collect();
    let mut known = HashSet::new();
    for slice in BULK.cut(&digests) {
        let args = slice.iter().map(|digest| Arg::from(*digest));
        let args = args.chain([incarnation.into()]);
        let rows = connection.rows(KNOWN.for_rows(slice.len()), args).await?;
        known.extend(rows.into_iter().map(|row: (OrderId, String)| row));
    }
    let mut beyond: Option<Record<'_>> = None;
    for record in std::mem::take(records) {
        if known.contains(&(record.order, record.digest.clone())) {
            records.push(record);
        } else if room > 0 {
            room -= 1;
            records.push(record);
        } else {
            let first = &record.reason;
            let more = beyond.get_or_insert_with(|| Record {
                message_id: BEYOND,
                order: Poison::WHOLE_MESSAGE,
                kind: Poison::BEYOND.to_owned(),
                reason: format!(
                    "what came when {KEPT_MAX} were open is only counted; the first: {first}"
                )
                .chars()
                .take(MAX_REASON)
                .collect(),
                body: &[],
                digest: BEYOND.to_owned(),
                count: 0,
            });
            more.count += record.count;
        }
    }
    records.extend(beyond);
    Ok(())
}

/// Slices that have a statement, each with a bounded number of bytes.
fn slices<'r, 'a>(records: &'r [Record<'a>]) -> Vec<&'r [Record<'a>]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, record) in records.iter().enumerate() {
        if bytes > 0 && bytes + record.body.len() > STATEMENT_BYTES {
            groups.push(&records[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += record.body.len();
    }
    groups.push(&records[start..]);
    groups
        .into_iter()
        .flat_map(|group| BULK.cut(group))
        .collect()
}
