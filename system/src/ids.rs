//! Newtypes for the ids that only the system knows; those of buyers, orders and the like come with
//! the engines.

engines::id!(
    /// How often an incarnation has been fenced, plus one; part of its routing key.
    Generation(i64)
);
engines::id!(
    /// The leased number that makes the order ids of two living processes differ.
    WorkerId(i64)
);
engines::id!(
    /// Counts who has consumed a queue; a new one begins with the first commit on a new channel.
    ConsumerSession(i64)
);
