//! Which of the orders that went through a drained queue did not become rows, as far as that can be
//! told without looking for the rows (void-before-release, R9; parked-is-final, R10).
//!
//! An order that was refused has a record under its own id, in the transaction that refused it. An
//! order in a message that could not be read has none. But every time that such a message is parked
//! raises a number in the database, in the transaction that parks it. Where a look showed the present
//! number, *before* an order was sent, no message was parked since, and so none that holds it: it is
//! a row, or has a record. Whether somebody has resolved the message meanwhile does not matter, nor
//! for how long it stays open: only orders sent before it was parked are kept from being settled.

use crate::clock::monotonic_ms;
use crate::store::{ParkedOf, Store};
use engines::{IncarnationId, OrderId};

/// What the last look showed.
#[derive(Debug, Default)]
pub struct Refusals {
    incarnation: IncarnationId,
    parked: ParkedOf,
    /// When the first look ended that showed the present number of parked messages, monotonic ms; 0:
    /// there has never been one.
    since_ms: u64,
}

impl Refusals {
    /// Looks at what was parked of this incarnation. Call it when its queue was drained.
    pub async fn look(&mut self, store: &Store, incarnation: IncarnationId) -> anyhow::Result<()> {
        let before = match self.incarnation == incarnation {
            true => self.parked.clone(),
            false => ParkedOf::default(),
        };
        let parked = store.parked_of(incarnation, before).await?;
        self.saw(incarnation, parked, monotonic_ms());
        Ok(())
    }

    fn saw(&mut self, incarnation: IncarnationId, parked: ParkedOf, now_ms: u64) {
        let is_as_before =
            self.incarnation == incarnation && self.parked.messages == parked.messages;
        if parked.messages == 0 {
            self.since_ms = 0;
        } else if !is_as_before {
            self.since_ms = now_ms;
        }
        self.incarnation = incarnation;
        self.parked = parked;
    }

    /// Whether no order that had not been sent at this time, monotonic ms, is in a message that could
    /// not be read, or was in a queue that is gone.
    pub fn none_is_in_a_message_of(&self, before_ms: u64) -> bool {
        !self.parked.queue_is_in_doubt && (self.since_ms == 0 || self.since_ms < before_ms)
    }

    /// Whether this order has a record of its own.
    pub fn is_refused(&self, order: OrderId) -> bool {
        self.parked.orders.contains(&order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IncarnationId = IncarnationId(1);

    fn parked(messages: i64) -> ParkedOf {
        ParkedOf {
            messages,
            ..ParkedOf::default()
        }
    }

    #[test]
    fn only_what_was_sent_before_a_message_was_parked_is_in_doubt() {
        let mut refusals = Refusals::default();
        refusals.saw(ONE, parked(0), 100);
        assert!(
            refusals.none_is_in_a_message_of(1),
            "nothing was ever parked"
        );
        refusals.saw(ONE, parked(1), 200);
        assert!(!refusals.none_is_in_a_message_of(199));
        assert!(
            !refusals.none_is_in_a_message_of(200),
            "the same millisecond"
        );
        assert!(refusals.none_is_in_a_message_of(201));
        // It stays open, or is resolved: the number is the same.
        refusals.saw(ONE, parked(1), 300);
        assert!(refusals.none_is_in_a_message_of(201));
        assert!(!refusals.none_is_in_a_message_of(200));
        // The same message once more, and it may hold an order that was sent once more.
        refusals.saw(ONE, parked(2), 400);
        assert!(!refusals.none_is_in_a_message_of(350));
        assert!(refusals.none_is_in_a_message_of(401));
    }

    #[test]
    fn what_is_known_of_one_queue_is_not_taken_for_another_and_one_in_doubt_proves_nothing() {
        let mut refusals = Refusals::default();
        refusals.saw(ONE, parked(1), 100);
        refusals.saw(IncarnationId(2), parked(1), 200);
        assert!(!refusals.none_is_in_a_message_of(150));
        let in_doubt = ParkedOf {
            queue_is_in_doubt: true,
            ..parked(1)
        };
        refusals.saw(IncarnationId(2), in_doubt, 300);
        assert!(!refusals.none_is_in_a_message_of(301));
        refusals.saw(IncarnationId(2), parked(1), 400);
        assert!(refusals.none_is_in_a_message_of(301));
    }
}
