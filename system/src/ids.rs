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
    /// Tells the consumers of a queue apart, one after the other: the first commit on a new channel
    /// begins a new one.
    ConsumerSession(i64)
);
engines::id!(
    /// One create-consumer, for as long as it is connected and its row is there; ascending with the
    /// time at which they came.
    ConsumerId(i64)
);

impl Generation {
    /// The one in which an incarnation registers.
    pub const FIRST: Self = Self(1);

    /// The generation that was raised to this one.
    pub fn before(self) -> Self {
        Self(self.0 - 1)
    }

    /// The generations before this one, ascending; of them at most the `most` newest.
    pub fn earlier(self, most: i64) -> impl Iterator<Item = Self> {
        ((self.0 - most).max(Self::FIRST.0)..self.0).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generations_before_one_begin_with_the_first_and_are_bounded() {
        let earlier = |generation: Generation, most| generation.earlier(most).collect::<Vec<_>>();
        assert_eq!(earlier(Generation::FIRST, 16), []);
        assert_eq!(earlier(Generation(3), 16), [Generation(1), Generation(2)]);
        assert_eq!(earlier(Generation(9), 2), [Generation(7), Generation(8)]);
        assert_eq!(Generation(9).before(), Generation(8));
    }
}
