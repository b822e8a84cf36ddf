//! One record: what was asked, what was answered, when, and how both become bytes.

/// Bytes per record.
pub const RECORD_LEN: usize = 64;
/// Stands for "never sent" in the file; no request is sent at the Unix epoch.
const NEVER_SENT: i64 = 0;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Operation {
    Buy = 1,
    /// Of an order that the record names.
    Cancel = 2,
    /// For an order that the record names.
    Pay = 3,
}

/// How one request ended for its buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// A buy: told yes with an order id that this user had not been given before. A cancel or a
    /// pay: told that it is done.
    Accepted = 1,
    /// Told no; the record says why.
    Refused = 2,
    /// Told yes about what this user had been told before.
    Duplicate = 3,
    /// Certainly not executed: never sent, or turned away by the server.
    Error = 4,
    /// Sent, but without an answer: it may have been executed or not.
    Unknown = 5,
}

/// Why a buyer was told no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// Not enough units are left.
    SoldOut = 1,
    /// The sale has not begun.
    NotStarted = 2,
    /// The sale is over.
    Ended = 3,
    /// This buyer may not have that many.
    Limit = 4,
    /// This buyer's order was cancelled, and the sale sells to nobody twice.
    NotAgain = 5,
    /// The order is in a state that forbids it: a pay of what is cancelled, a cancel of what is
    /// paid.
    Conflict = 6,
    /// For a reason that the driver does not know.
    Other = 7,
}

/// One request and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub operation: Operation,
    pub user_id: i64,
    /// 0 where the request names none.
    pub product_id: i64,
    /// The order that a cancel or a pay asks about; 0 for a buy.
    pub asked_order_id: i64,
    /// Units; 0 for a cancel or a pay.
    pub quantity: u32,
    pub outcome: Outcome,
    /// There exactly when the outcome is [`Outcome::Refused`].
    pub refusal: Option<Refusal>,
    /// The order that the server named in its reply; 0 if it named none.
    pub order_id: i64,
    /// When it was to be sent; in a closed loop, when a worker took it.
    pub due_at_unix_us: i64,
    /// None if it was never sent.
    pub sent_at_unix_us: Option<i64>,
    /// When its reply came, or the driver stopped waiting for it.
    pub ended_at_unix_us: i64,
}

/// A code that is in no table: the name of its field, the code, and the codes that are allowed.
pub(super) type BadCode = (&'static str, u8, &'static str);

impl Record {
    /// When it was sent; for a request that was never sent, when it was due.
    pub fn began_at_unix_us(&self) -> i64 {
        self.sent_at_unix_us.unwrap_or(self.due_at_unix_us)
    }

    /// From [`Record::began_at_unix_us`] to its end.
    pub fn latency_us(&self) -> u64 {
        let us = self
            .ended_at_unix_us
            .saturating_sub(self.began_at_unix_us());
        u64::try_from(us).unwrap_or(0)
    }

    pub(super) fn encode(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        let numbers = [
            self.user_id,
            self.product_id,
            self.asked_order_id,
            self.order_id,
            self.due_at_unix_us,
            self.sent_at_unix_us.unwrap_or(NEVER_SENT),
            self.ended_at_unix_us,
        ];
        for (field, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes[56..60].copy_from_slice(&self.quantity.to_le_bytes());
        bytes[60] = self.operation as u8;
        bytes[61] = self.outcome as u8;
        bytes[62] = self.refusal.map_or(0, |refusal| refusal as u8);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; RECORD_LEN]) -> Result<Self, BadCode> {
        let number =
            |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let sent_at_unix_us = number(40);
        let outcome = outcome(bytes[61])?;
        Ok(Self {
            operation: operation(bytes[60])?,
            user_id: number(0),
            product_id: number(8),
            asked_order_id: number(16),
            quantity: u32::from_le_bytes(bytes[56..60].try_into().expect("four bytes")),
            outcome,
            refusal: refusal(bytes[62], outcome)?,
            order_id: number(24),
            due_at_unix_us: number(32),
            sent_at_unix_us: (sent_at_unix_us != NEVER_SENT).then_some(sent_at_unix_us),
            ended_at_unix_us: number(48),
        })
    }
}

fn operation(code: u8) -> Result<Operation, BadCode> {
    Ok(match code {
        1 => Operation::Buy,
        2 => Operation::Cancel,
        3 => Operation::Pay,
        _ => return Err(("operation", code, "1 buy, 2 cancel, 3 pay")),
    })
}

fn outcome(code: u8) -> Result<Outcome, BadCode> {
    Ok(match code {
        1 => Outcome::Accepted,
        2 => Outcome::Refused,
        3 => Outcome::Duplicate,
        4 => Outcome::Error,
        5 => Outcome::Unknown,
        _ => return Err(("outcome", code, "1 to 5")),
    })
}

fn refusal(code: u8, outcome: Outcome) -> Result<Option<Refusal>, BadCode> {
    if outcome != Outcome::Refused {
        return match code {
            0 => Ok(None),
            _ => Err(("refusal", code, "0, because it was not refused")),
        };
    }
    Ok(Some(match code {
        1 => Refusal::SoldOut,
        2 => Refusal::NotStarted,
        3 => Refusal::Ended,
        4 => Refusal::Limit,
        5 => Refusal::NotAgain,
        6 => Refusal::Conflict,
        7 => Refusal::Other,
        _ => return Err(("refusal", code, "1 to 7")),
    }))
}
