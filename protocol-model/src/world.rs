//! The state of the modelled world: everything that lasts between two atomic steps, in fixed arrays
//! so that a state is cheap to copy and hash. Quantities are 1, and an order is numbered after the
//! request that minted its id.

pub use crate::hands::{Change, Hand};
pub use crate::messages::{MESSAGES, Message, Messages};

pub const REQUESTS: usize = 3;
pub const USERS: usize = 2;
pub const PUBLISHERS: usize = 2;
pub const RECONCILERS: usize = 2;
/// Epochs 1 to 3; index 0 is not used.
pub const EPOCHS: usize = 4;
const _: () = assert!(MESSAGES == REQUESTS + RECONCILERS);
/// Services and relays that change orders and bring cancelled units back.
pub const HANDS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub left: Budget,
    pub requests: [Request; REQUESTS],
    pub publishers: [Publisher; PUBLISHERS],
    pub queues: [Queue; PUBLISHERS],
    pub engine: Engine,
    pub database: Database,
    pub reconcilers: [Reconciler; RECONCILERS],
    pub hands: [Hand; HANDS],
    /// Orders a consumer has acknowledged and not settled yet, one bit each.
    pub settling: u8,
    /// By publisher: requests whose orders it knows to be in its queue and settles by itself once
    /// that is drained, one bit each.
    pub published: [u8; PUBLISHERS],
    /// Orders their buyer was told yes about, one bit each. Nothing in the system reads it.
    pub accepted: u8,
    /// Somebody was told "sold out" after the last unit came back. Nothing in the system reads it.
    pub sold_out: bool,
    /// The sale's window is on.
    pub window: bool,
    /// Buyers who were told that the sale has ended since the window was on, one bit each, and
    /// whether one of them had an accepted order that stands. Nothing in the system reads it.
    pub told_ended: u8,
    pub wrongly_ended: bool,
    /// Nothing in the system reads it.
    pub ghost: Ghost,
}

/// What was promised or decided, to judge by, and what only a mutant remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ghost {
    /// Changes of each order that were committed, one bit each.
    pub changed: [u8; REQUESTS],
    /// Orders an operator gave up, and orders replayed after their epoch was over, one bit each.
    pub discarded: u8,
    pub too_late: u8,
    /// Requests whose message came after their order was given up, one bit each.
    pub published_again: u8,
    /// The total that administrators asked for last.
    pub asked: i8,
    /// Of mutants: orders whose dead letter was resolved before, or is resolved before its rows are
    /// there, one bit each; the sale had ended once; a publisher knows that all is sold.
    pub resolved: u8,
    pub replaying: u8,
    pub was_ended: bool,
    pub knows_sold_out: bool,
}

/// How often each fault, or each thing that buyers do after their order, may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub publisher_crashes: u8,
    /// A publisher's lease runs out on its own clock.
    pub stalls: u8,
    pub channel_closes: u8,
    /// A consumer that goes on with its batch after its channel was closed.
    pub zombies: u8,
    pub engine_losses: u8,
    pub reconciler_crashes: u8,
    pub poison: u8,
    pub cancels: u8,
    pub payments: u8,
    pub expiries: u8,
    pub completions: u8,
    /// Dead letters that operators deal with.
    pub replays: u8,
    pub discards: u8,
    pub pauses: u8,
    /// Changes of the total.
    pub wants: u8,
    /// Openings that a reconciler begins without need, because it looked before another one had
    /// finished.
    pub needless_openings: u8,
    /// A queue is gone with all that is in it.
    pub queue_losses: u8,
    /// The database's wall clock leaps forward.
    pub clock_steps: u8,
    pub window_ends: u8,
    /// A window that is over is moved and on again.
    pub window_moves: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub phase: Phase,
    /// The term, read once (one-term-per-batch, R3).
    pub generation: u8,
    pub epoch: u8,
    /// The order it was granted or found.
    pub order: usize,
    pub flight: Flight,
    /// Read once, when it was taken.
    pub may_sell: bool,
    pub is_paused: bool,
    /// A message of its publisher was parked since it was sent.
    pub is_in_doubt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    NotSent,
    /// On its way to the engine.
    Calling,
    Granted,
    Published,
    Done(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Accepted,
    SoldOut,
    /// They have no order, and the sale has ended.
    Ended,
    Unavailable,
    Unknown,
}

/// Where the broker has the message of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flight {
    None,
    /// Between publisher and broker.
    Wire,
    /// The binding was looked up; not in the queue yet (fence-wait, R1).
    Routed,
    Confirmed,
    Returned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Publisher {
    pub life: Life,
    pub generation: u8,
    /// Whether the lease runs on its own clock.
    pub lease: bool,
    /// Epoch of the term it has learnt, 0 for none.
    pub term: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// Has read its generation and is about to bind it.
    Binding,
    Serving,
    /// Knows that it was fenced.
    Revoked,
    Acknowledged,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queue {
    pub exists: bool,
    /// Bound generations, one bit each.
    pub bindings: u8,
    pub messages: Messages,
    /// Of `messages`, from the front, what the active consumer has received, and committed.
    pub delivered: usize,
    pub committed: usize,
    pub channel: Channel,
    /// Orders of the uncommitted acknowledgement that are to be settled after it.
    pub live: u8,
    /// A batch in the hands of a consumer whose channel is closed, and its session.
    pub zombie: Messages,
    pub zombie_session: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Closed,
    /// Session 0 means: nothing committed on it yet.
    Open(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    /// Epochs whose nonce's script the server knows, one bit each (lost-server-noticed, R13).
    pub scripts: u8,
    /// Epoch of the data, 0 for none.
    pub epoch: u8,
    pub open: bool,
    pub remaining: i8,
    pub granted: i8,
    /// Order of each user who may not buy again.
    pub gate: [Option<usize>; USERS],
    pub holds: [Option<Hold>; REQUESTS],
}

impl Engine {
    pub const EMPTY: Self = Self {
        scripts: 0,
        epoch: 0,
        open: false,
        remaining: 0,
        granted: 0,
        gate: [None; USERS],
        holds: [None; REQUESTS],
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Publishers that touched it, one bit each (mark-with-age, R8).
    pub touched: u8,
    /// Untouched for the grace period.
    pub old: bool,
    pub marked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Database {
    pub rows: [Row; REQUESTS],
    pub allocations: [Allocation; EPOCHS],
    pub newest: u8,
    pub open: u8,
    /// Epoch recorded with a cancel whose release has not been confirmed, 0 for none
    /// (release-by-epoch, R12).
    pub outbox: [u8; REQUESTS],
    pub incarnations: [Incarnation; PUBLISHERS],
    /// Orders that were refused, one bit each, until an operator has discarded the record.
    pub parked_orders: u8,
    /// By incarnation: orders inside unreadable parked messages that nobody has resolved, one bit
    /// each. Of the system, only who replays a message learns which orders are in it.
    pub parked_messages: [u8; PUBLISHERS],
    /// Incarnations whose queue was lost, with what was in it, one bit each.
    pub lost_queues: u8,
    pub lost_orders: u8,
    pub total: i8,
    /// The total that administrators want, until an epoch is granted with it.
    pub wanted: Option<i8>,
    pub paused: bool,
    /// Epoch that was claimed for the end of the sale, 0 for none.
    pub ending: u8,
    /// Everything of the sale has its row, and the engine has forgotten it.
    pub ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    None,
    Live,
    Paid,
    Completed,
    Cancelled,
    /// Cancelled because it was not paid in time.
    Expired,
    Void,
}

impl Row {
    pub fn is_live(self) -> bool {
        matches!(self, Row::Live | Row::Paid | Row::Completed)
    }

    pub fn is_cancelled(self) -> bool {
        matches!(self, Row::Cancelled | Row::Expired)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allocation {
    pub granted: i8,
    pub sold: i8,
    pub open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation {
    pub generation: u8,
    pub acknowledged: u8,
    pub state: State,
    /// Whether the lease may still run, as far as the last heartbeat in the database tells.
    pub lease: bool,
    /// Number of the newest consumer session of its queue (drain-in-one-session, R5).
    pub session: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Live,
    Fenced,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reconciler {
    pub job: Job,
    pub drain: Drain,
    /// Queues that the present job has still to drain, one bit each.
    pub todo: u8,
    /// Generations it has bumped to.
    pub bumped: [u8; PUBLISHERS],
    /// Its snapshot for an opening.
    pub granted: i8,
    pub gate: [Option<usize>; USERS],
}

impl Reconciler {
    pub const IDLE: Self = Self {
        job: Job::Idle,
        drain: Drain::Idle,
        todo: 0,
        bumped: [0; PUBLISHERS],
        granted: 0,
        gate: [None; USERS],
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    Idle,
    /// Voiding an order: seen in the list, marked, behind its markers, without a row, with a VOID
    /// row.
    Listed(usize),
    Marked(usize),
    Drained(usize),
    Absent(usize),
    Voided(usize),
    /// Opening an epoch, step by step.
    Claimed(u8),
    Fencing(u8),
    Draining(u8),
    Granting(u8),
    Granted(u8),
    Begun(u8),
    Loaded(u8),
    Opened(u8),
    /// Retiring a publisher: draining its queue, drained, stored as gone.
    Retiring(usize),
    Retirable(usize),
    Retired(usize),
    /// Ending the sale: claimed, forgotten by the engine, draining, drained.
    Ending(u8),
    Forgotten(u8),
    Clearing(u8),
    Cleared(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drain {
    Idle,
    /// Has read the session of a queue.
    Ready {
        queue: usize,
        session: u8,
    },
    /// Its marker is in the queue.
    Waiting {
        queue: usize,
        session: u8,
    },
}

pub fn bit(index: usize) -> u8 {
    1 << index
}

pub fn has(mask: u8, index: usize) -> bool {
    mask & bit(index) != 0
}
