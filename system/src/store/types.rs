//! What goes into the store and what comes out of it.

use crate::envelope::{self, OrderEvent};
use crate::ids::{ConsumerId, ConsumerSession, Generation, WorkerId};
use engines::{AllocationId, Epoch, IncarnationId, OpeningBuyer, OrderId, SaleId, Term, UserId};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Order states as stored in `orders.status`.
pub mod status {
    /// To pay.
    pub const TO_PAY: i64 = 0;
    /// Paid.
    pub const PAID: i64 = 1;
    /// Cancelled by its buyer, or expired.
    pub const CANCELLED: i64 = 2;
    /// Completed.
    pub const COMPLETED: i64 = 3;
    /// Never became an order; blocks its order id for ever.
    pub const VOID: i64 = 4;
}

/// What an order is; one step leads to the next and none back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderState {
    /// Not paid yet.
    ToPay,
    /// Paid.
    Paid,
    /// Cancelled by its buyer.
    Cancelled,
    /// Cancelled because it was not paid in time.
    Expired,
    /// Paid and handed over.
    Completed,
}

impl OrderState {
    /// Of the columns of a row; `None` for a VOID row, which never was an order.
    pub fn of(status: i64, expired: bool) -> Option<Self> {
        match (status, expired) {
            (status::TO_PAY, _) => Some(Self::ToPay),
            (status::PAID, _) => Some(Self::Paid),
            (status::CANCELLED, false) => Some(Self::Cancelled),
            (status::CANCELLED, true) => Some(Self::Expired),
            (status::COMPLETED, _) => Some(Self::Completed),
            _ => None,
        }
    }
}

impl fmt::Display for OrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToPay => "is not paid",
            Self::Paid => "is paid",
            Self::Cancelled => "is cancelled",
            Self::Expired => "has expired: it was not paid in time",
            Self::Completed => "is completed",
        })
    }
}

/// A sale and its term, as the `sales` row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaleRow {
    /// The sale.
    pub sale: SaleId,
    /// Price of one unit, cents.
    pub price_cents: i64,
    /// Opening of the window, unix s.
    pub starts_at: i64,
    /// End of the window, unix s.
    pub ends_at: i64,
    /// The term and allocation, if an epoch is open (open-by-condition, R14).
    pub open: Option<OpenSale>,
    /// The newest epoch that anybody has claimed.
    pub newest: Epoch,
    /// Whether that epoch was claimed for the end of the sale.
    pub is_ending: bool,
    /// Whether its total is to change, which the next epoch does (units-in-one-place, R16).
    pub is_changing: bool,
    /// Whether nothing is sold, whatever its window says.
    pub is_paused: bool,
    /// Whether its product was deleted. It is looked after until it has ended all the same.
    pub is_deleted: bool,
}

impl SaleRow {
    /// Whether its window is over at `now_ms`, unix ms.
    pub fn is_over(&self, now_ms: i64) -> bool {
        now_ms >= self.ends_at.saturating_mul(1_000)
    }
}

/// What can be sold from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSale {
    /// Epoch and nonce.
    pub term: Term,
    /// The allocation that orders are counted against, unless a grant names a lease's own.
    pub allocation_id: AllocationId,
}

/// One sale to create.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedSale {
    pub product_id: SaleId,
    pub name: String,
    pub price_cents: i64,
    pub total: i64,
    /// Unix s.
    pub starts_at: i64,
    /// Unix s.
    pub ends_at: i64,
}

/// A sale as those ask about it who may have bought in it.
#[derive(Debug, Default)]
pub struct PastSale {
    /// Whether it has ended: then whoever has no order here never gets one.
    pub has_ended: bool,
    /// Whether it is about to end.
    pub is_ending: bool,
    /// Whether its product was deleted.
    pub is_deleted: bool,
    /// Live orders, by buyer, of those who were asked about.
    pub orders: HashMap<UserId, OrderId>,
}

/// What a new epoch starts from.
#[derive(Debug)]
pub struct Snapshot {
    /// The allocation that was made for it.
    pub allocation_id: AllocationId,
    /// Units that it grants.
    pub granted: u64,
    /// Every live order.
    pub buyers: Vec<OpeningBuyer>,
}

/// A fenced incarnation.
#[derive(Clone, Copy, Debug)]
pub struct Fenced {
    pub id: IncarnationId,
    pub generation: Generation,
}

/// What the row of an incarnation says of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub id: IncarnationId,
    pub generation: Generation,
    /// Under no generation before this one can it say yes.
    pub acknowledged: Generation,
    /// Whether it is not fenced for good.
    pub is_live: bool,
    /// Whether it has bound its queue, so that it can publish.
    pub has_queue: bool,
    /// One more with every heartbeat.
    pub beats: i64,
    /// How long its lease runs after a heartbeat, ms.
    pub lease_ms: u64,
}

/// What the row of a consumer says of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerLife {
    pub id: ConsumerId,
    /// One more with every heartbeat.
    pub beats: i64,
}

/// What a publishing process says of itself when it registers.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// How long its lease runs after a heartbeat, ms.
    pub lease_ms: u64,
    /// Its deadline from the arrival of a request to the broker's confirm, ms.
    pub deadline_ms: u64,
    /// Where it serves.
    pub address: String,
    /// What its operators call it; may be empty.
    pub label: String,
}

/// A worker id that was used before.
#[derive(Clone, Copy, Debug)]
pub struct WorkerUse {
    pub worker: WorkerId,
    /// Until when ids may have been minted under it, unix ms.
    pub minted_until_ms: i64,
    /// Whether somebody holds it now.
    pub is_held: bool,
}

/// A message or order that can never become a row.
#[derive(Clone, Debug)]
pub struct Poison {
    /// Of the delivery, or of the first of several with the same type and body, which are one record.
    pub message_id: String,
    /// [`Poison::WHOLE_MESSAGE`] also if the order does not say which one it is.
    pub order: OrderId,
    /// Type of the message as it came, or [`Poison::ORDER`].
    pub kind: String,
    pub reason: String,
    /// The message as it came, or one order encoded by itself.
    pub body: Vec<u8>,
}

impl Poison {
    /// In place of an order's id: the whole message is poison, and may hold any order.
    pub const WHOLE_MESSAGE: OrderId = OrderId(0);
    /// Kind of an order that was taken out of its message.
    pub const ORDER: &str = "order";
    /// Kind of the record that counts what was one too many to be kept.
    pub const BEYOND: &str = "beyond";
    /// Kind of the record of a queue of which it is not known yet whether it is gone, and of one that
    /// is.
    pub const QUEUE_SUSPECTED: &str = "queue.suspected";
    pub const QUEUE_LOST: &str = "queue.lost";
    /// Kinds that no foreign message can pass itself off as.
    pub const OWN_KINDS: [&str; 4] = [
        Self::ORDER,
        Self::BEYOND,
        Self::QUEUE_SUSPECTED,
        Self::QUEUE_LOST,
    ];

    /// An order that the database refused for good.
    pub fn refused(order: &OrderEvent, reason: String) -> Self {
        Self {
            message_id: "order".to_owned(),
            order: order.order,
            kind: Self::ORDER.to_owned(),
            reason,
            body: envelope::encode_order(*order),
        }
    }
}

/// What was ever parked of one incarnation.
#[derive(Clone, Debug, Default)]
pub struct ParkedOf {
    /// Orders with a record of their own.
    pub orders: HashSet<OrderId>,
    /// How many those records are, and the newest of them: whether there are others than before.
    pub of_orders: (i64, i64),
    /// How often a whole message was parked, or its queue found gone; it never falls.
    pub messages: i64,
    /// Whether it is not known yet if its queue is gone.
    pub queue_is_in_doubt: bool,
}

/// What a consumer writes together.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// Whose queue it came from.
    pub incarnation: IncarnationId,
    /// drain-in-one-session (R5): the consumer's session with that queue; `None` begins a new one.
    pub session: Option<ConsumerSession>,
    /// Orders in the order they were published; repeats are allowed.
    pub orders: Vec<OrderEvent>,
    /// What can never become a row.
    pub poison: Vec<Poison>,
    /// Nonces of markers that came after these orders.
    pub markers: Vec<u64>,
    /// Whether listeners are told of orders that get their row.
    pub copies: bool,
}

impl WriteBatch {
    /// Number of things to write.
    pub fn len(&self) -> usize {
        self.orders.len() + self.poison.len() + self.markers.len()
    }
}

/// A batch that is committed.
#[derive(Debug)]
pub struct Written {
    /// The session under which it was.
    pub session: ConsumerSession,
    /// Those of its orders whose rows are live now; the others were refused for good and parked, or
    /// were void or cancelled already.
    pub live: Vec<OrderEvent>,
    /// How many of them were written now, which are the first; the others had their rows before.
    pub fresh: usize,
}
