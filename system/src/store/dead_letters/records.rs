//! A parked record, what this binary makes of it, and what became of it.

use crate::envelope::{self, Envelope, OrderEvent};
use crate::store::parking::MAX_BODY;
use crate::store::types::Poison;
use database::{FromColumn, FromRow, Result, RowRef};
use engines::{IncarnationId, OrderId};
use serde::Serialize;

/// One parked record without its body.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    pub id: i64,
    /// The publisher whose queue it came from.
    pub incarnation: IncarnationId,
    /// 0: the whole message.
    pub order_id: OrderId,
    /// Of the delivery that was seen first.
    pub message_id: String,
    /// The message's type, or one of [`Poison::OWN_KINDS`].
    pub kind: String,
    pub reason: String,
    /// How often it was seen.
    pub count: i64,
    /// Unix ms.
    pub first_seen_at_ms: i64,
    /// Unix ms.
    pub last_seen_at_ms: i64,
    /// What is stored of the body, bytes.
    pub body_bytes: i64,
    /// Unix ms; none while it is open.
    pub resolved_at_ms: Option<i64>,
    /// How it was resolved.
    pub resolution: String,
}

pub(super) const COLUMNS: &str =
    "id, incarnation, order_id, message_id, kind, reason, count, created_at_ms,
     CASE WHEN seen_at_ms > created_at_ms THEN seen_at_ms ELSE created_at_ms END, LENGTH(body),
     CASE WHEN resolved = 0 THEN NULL ELSE COALESCE(resolved_at_ms, 0) END, resolution";
const WITHOUT_BODY: usize = 12;

impl FromRow for DeadLetter {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        fn column<T: FromColumn>(row: RowRef<'_>, index: usize) -> Result<T> {
            T::from_column(row, index)
        }
        Ok(Self {
            id: column(row, 0)?,
            incarnation: column(row, 1)?,
            order_id: column(row, 2)?,
            message_id: column(row, 3)?,
            kind: column(row, 4)?,
            reason: column(row, 5)?,
            count: column(row, 6)?,
            first_seen_at_ms: column(row, 7)?,
            last_seen_at_ms: column(row, 8)?,
            body_bytes: column(row, 9)?,
            resolved_at_ms: column(row, 10)?,
            resolution: column(row, 11)?,
        })
    }
}

/// A record with what is stored of its body.
#[derive(Debug)]
pub struct WholeDeadLetter {
    pub letter: DeadLetter,
    pub body: Vec<u8>,
}

impl FromRow for WholeDeadLetter {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        Ok(Self {
            letter: DeadLetter::from_row(row)?,
            body: Vec::from_column(row, WITHOUT_BODY)?,
        })
    }
}

/// What is in a record, as this binary understands it.
#[derive(Debug, Default)]
pub struct Contents {
    pub orders: Vec<OrderEvent>,
    /// Why there is not more in it.
    pub unreadable: Option<String>,
}

impl WholeDeadLetter {
    /// Decodes it again: this binary may understand what the consumer did not.
    pub fn contents(&self) -> Contents {
        let nothing = |why: String| Contents {
            orders: Vec::new(),
            unreadable: Some(why),
        };
        match self.letter.kind.as_str() {
            Poison::QUEUE_LOST | Poison::QUEUE_SUSPECTED => nothing(
                "it stands for a queue that is gone with whatever was in it: nothing is left to replay; make good for \
                 buyers who were told yes and have no order, then discard it"
                    .to_owned(),
            ),
            Poison::BEYOND => nothing(
                "it counts what came when too many were open, and nothing of that was kept: discard it".to_owned(),
            ),
            _ if self.body.len() >= MAX_BODY => {
                nothing(format!("only the first {MAX_BODY} bytes of it were kept"))
            }
            Poison::ORDER => match envelope::decode_order(&self.body) {
                Ok(order) => Contents {
                    orders: vec![order],
                    unreadable: None,
                },
                Err(why) => nothing(why),
            },
            kind => match envelope::decode(Some(kind).filter(|kind| !kind.is_empty()), &self.body) {
                Ok(Envelope::Orders { valid, invalid, .. }) => Contents {
                    orders: valid,
                    unreadable: invalid.first().map(|first| {
                        let (order, reason) = (first.raw.order_id, &first.reason);
                        format!("{} of its orders are not valid, the first of them order {order}: {reason}", invalid.len())
                    }),
                },
                // drain-in-one-session (R5): a marker proves something to its consumer only.
                Ok(Envelope::Marker { .. }) => Contents::default(),
                Err(why) => nothing(why),
            },
        }
    }
}

/// What a replay did with one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has a row from now on.
    Written,
    /// It had one before, live or cancelled.
    HasRow,
    /// Its VOID row was there before.
    Void,
    /// It was refused, and from now on its VOID row makes that final.
    Refused(String),
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do; how it was resolved.
    Resolved(String),
    /// It was resolved before: when, unix ms, and how.
    WasResolved(i64, String),
    /// It stays open, because of this.
    Open(String),
}

/// What a replay did.
#[derive(Debug)]
pub struct Replayed {
    pub orders: Vec<(OrderEvent, Fate)>,
    pub ending: Ending,
}

/// Records that nobody has resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpenDeadLetters {
    pub open: u64,
    /// How long ago the oldest was seen first, by the database's clock; 0 without one.
    pub oldest_age_ms: i64,
}
