//! What a broker does for the roles: three traits, the same promises whichever implementation
//! keeps them. What the messages mean is the envelope's business.

use crate::ids::Generation;
use crate::store::CopyLeft;
use async_trait::async_trait;
use engines::IncarnationId;
use std::fmt::Debug;

/// A connection to the broker.
#[async_trait]
pub trait Broker: Debug + Send + Sync {
    /// Whether this connection can still be used. One that was lost does not come back: connect
    /// again.
    fn is_connected(&self) -> bool;

    /// Declares the queue of an incarnation, bound to nothing.
    ///
    /// # Contract
    /// - Idempotent.
    /// - `false`: there is such a queue, and its node is down. So `true` where
    ///   [`Broker::has_queue`] said no means that there was none (exclusive-route, R6).
    /// - Whoever declares one that has been there before records what was lost with it.
    async fn declare_queue(&self, incarnation: IncarnationId) -> anyhow::Result<bool>;

    /// Whether the queue of an incarnation is there and can be reached.
    async fn has_queue(&self, incarnation: IncarnationId) -> anyhow::Result<bool>;

    /// How many messages of the queue of an incarnation nobody has taken yet, for people; of the
    /// embedded queue, those that this process has not. `None`: it is not there, or cannot be
    /// reached.
    async fn waiting(&self, incarnation: IncarnationId) -> anyhow::Result<Option<u64>>;

    /// Binds the queue of an incarnation to a generation.
    ///
    /// # Contract
    /// - What is published under that generation reaches the queue from now on.
    /// - Idempotent.
    /// - An error if there is no such queue: it is not made anew behind anybody's back.
    /// - bind-then-recheck (R2): the caller has either bumped the generation itself, or re-reads
    ///   it afterwards and uses it only if unchanged.
    async fn bind(&self, incarnation: IncarnationId, generation: Generation) -> anyhow::Result<()>;

    /// Takes a binding away: the second defence of fence-wait (R1).
    ///
    /// # Contract
    /// - Late messages of that generation are rejected.
    /// - Idempotent.
    async fn unbind(
        &self,
        incarnation: IncarnationId,
        generation: Generation,
    ) -> anyhow::Result<()>;

    /// Deletes the queue of a drained incarnation.
    ///
    /// # Contract
    /// - exclusive-route (R6): the caller has fenced the incarnation for good, unbound its keys,
    ///   and then stored that the queue is drained.
    /// - A queue that is not there is fine.
    /// - One that holds messages which nobody has taken is an error, and stays.
    async fn delete_queue(&self, incarnation: IncarnationId) -> anyhow::Result<()>;

    /// Puts a marker straight into the queue of `incarnation`, whatever is bound to it, and waits
    /// until it is durable.
    ///
    /// # Contract
    /// - `false`: the queue is gone or cannot be reached.
    /// - An error means that the marker may or may not be there; put another one under another
    ///   nonce.
    async fn put_marker(&self, incarnation: IncarnationId, nonce: u64) -> anyhow::Result<bool>;

    /// Begins to consume the queue of `incarnation`.
    ///
    /// # Contract
    /// - one-consumer-per-queue (R4): of several consumers one gets messages, the others wait.
    async fn consume(&self, incarnation: IncarnationId) -> anyhow::Result<Box<dyn Deliveries>>;

    /// Ends the connection; what was acknowledged on it is not delivered again.
    async fn close(&self, why: &str);
}

/// The messages of one queue, in order, at most `mq.consumer_prefetch` of them unacknowledged.
///
/// drain-in-one-session (R5): dropping it gives back, in order, what was not acknowledged; nothing
/// is ever put back one by one.
#[async_trait]
pub trait Deliveries: Debug + Send + Sync {
    /// Waits for the next message.
    ///
    /// # Contract
    /// - `None` when the queue is gone or the channel was closed.
    /// - Nothing is lost when the caller gives up waiting.
    async fn next(&mut self) -> anyhow::Result<Option<Delivery>>;

    /// Acknowledges everything up to and including `tag`.
    ///
    /// # Contract
    /// - one-consumer-per-queue (R4): the caller does so for committed rows and parked records
    ///   only.
    async fn acknowledge(&mut self, tag: u64) -> anyhow::Result<()>;

    /// Whether what was delivered belongs to somebody else by now.
    fn is_lost(&self) -> bool;

    /// Gives the queue up.
    ///
    /// # Contract
    /// - one-consumer-per-queue (R4): nobody else becomes the active consumer before what is not
    ///   acknowledged is back in the queue; the same when it is dropped.
    async fn close(self: Box<Self>);
}

/// Publishes order batches and knows when they are durable.
#[async_trait]
pub trait Publisher: Debug + Send + Sync {
    /// Publishes one batch of orders, with the name of its span if that is recorded.
    ///
    /// # Contract
    /// - Waits until the batch is durable, without a bound of its own: the caller has the
    ///   deadline, and an outcome that comes after it must still be taken in.
    /// - exclusive-route (R6): a message that reached no queue is not accepted.
    async fn publish(
        &self,
        incarnation: IncarnationId,
        generation: Generation,
        body: Vec<u8>,
        traceparent: Option<String>,
    ) -> PublishOutcome;

    /// Publishes a marker the way an order would go, whose fate says what would become of one.
    ///
    /// # Contract
    /// - As [`Self::publish`]; it is accepted only when it is durable, whenever yes is said.
    async fn probe(&self, incarnation: IncarnationId, generation: Generation) -> PublishOutcome;

    /// Whether a message could be sent now.
    fn is_connected(&self) -> bool;

    /// The present connection; every new one has another number.
    fn connection(&self) -> u64;
}

/// Publishes copies for listeners.
#[async_trait]
pub trait Copier: Debug + Send + Sync {
    /// Publishes every copy, and waits until the broker has answered for each.
    ///
    /// # Contract
    /// - Adds to `taken` the rows of those that are in every queue that is bound to their key, each as
    ///   soon as that is known; also of those that nobody listens to. The others were refused by a
    ///   queue that is full.
    /// - What is in `taken` stands, also after an error and where nobody waits for the end.
    async fn publish(&self, copies: &[CopyLeft], taken: &mut Vec<i64>) -> anyhow::Result<()>;

    /// Whether a copy could be sent now.
    fn is_connected(&self) -> bool;
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It is durable in the queue, or (under `published`) handed over.
    Accepted,
    /// The broker said it is not in the queue, which is full.
    Rejected,
    /// It is in no queue: that of the incarnation is gone, or not bound to the generation. Nothing
    /// more can be published under it (exclusive-route, R6).
    Unroutable,
    /// It was not sent: the broker is out of reach.
    NotSent,
    /// It was sent and nobody knows.
    Unknown,
}

/// A message as a consumer gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Ascending within one [`Deliveries`].
    pub tag: u64,
    /// What kind of message it says it is.
    pub kind: Option<String>,
    /// The id that its publisher gave it.
    pub message_id: Option<String>,
    /// Which span it says it belongs to, perhaps nonsense.
    pub traceparent: Option<String>,
    /// Its content.
    pub body: Vec<u8>,
}
