//! Which consumer a queue belongs to: computed from who lives and which queues there are, by each
//! consumer for itself, so that nobody has to deal them out.

use crate::ids::ConsumerId;
use engines::IncarnationId;
use std::cmp::Reverse;

/// The queues of `own`, if these consumers share out these queues. Both are ascending, and `own` is
/// one of the consumers.
///
/// The shares of all are even within one, and the oldest have the larger ones. The consumers come in
/// one after the other, as they did in life: the first has everything, and each of the others takes
/// its share from those before, as much from each as that one has too many, and the queues that
/// [`score`] highest for it. So whoever joins moves their own share and nothing else, and moves it
/// back when they are the first to leave again. When one leaves who has been there longer, or a queue
/// comes or goes, a few more may move, because what was before is not remembered: then consumers that
/// have seen the same agree, whatever else each of them has seen.
pub fn of(
    own: ConsumerId,
    consumers: &[ConsumerId],
    queues: &[IncarnationId],
) -> Vec<IncarnationId> {
    let mut shares: Vec<Vec<IncarnationId>> = Vec::with_capacity(consumers.len());
    for consumer in consumers {
        let newcomers = match shares.is_empty() {
            true => queues.to_vec(),
            false => take_share(*consumer, &mut shares, queues.len()),
        };
        shares.push(newcomers);
    }
    let of_all = consumers.iter().zip(shares);
    let mine = of_all.filter(|(consumer, _)| **consumer == own);
    let mut mine: Vec<_> = mine.flat_map(|(_, share)| share).collect();
    mine.sort_unstable();
    mine
}

/// What a newcomer takes from those who were there before.
fn take_share(
    newcomer: ConsumerId,
    shares: &mut [Vec<IncarnationId>],
    queues: usize,
) -> Vec<IncarnationId> {
    let consumers = shares.len() + 1;
    let mut taken = Vec::new();
    for (rank, share) in shares.iter_mut().enumerate() {
        share.sort_unstable_by_key(|queue| (Reverse(score(newcomer, *queue)), *queue));
        let surplus = share.len() - size(queues, consumers, rank);
        taken.extend(share.drain(..surplus));
    }
    taken
}

/// How many of the queues the consumer of this rank has; never more when there are more consumers.
fn size(queues: usize, consumers: usize, rank: usize) -> usize {
    queues / consumers + usize::from(rank < queues % consumers)
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): it is the same in every build, which
/// the standard library's hash is not, and consumers of different builds have to agree.
fn score(consumer: ConsumerId, queue: IncarnationId) -> u64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |bits: u64| {
        let bits = bits.wrapping_add(GAMMA);
        let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    mix(mix(consumer.0.cast_unsigned()) ^ queue.0.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use std::collections::{BTreeMap, BTreeSet};

    type Owners = BTreeMap<IncarnationId, ConsumerId>;

    /// Who each says is the owner of a queue: nobody or two would be seen.
    fn owners(consumers: &[ConsumerId], queues: &[IncarnationId]) -> Owners {
        let mut owners = Owners::new();
        for consumer in consumers {
            for queue in of(*consumer, consumers, queues) {
                let other = owners.insert(queue, *consumer);
                assert_eq!(other, None, "queue {queue} has two owners");
            }
        }
        assert_eq!(owners.keys().copied().collect::<Vec<_>>(), queues);
        owners
    }

    fn moved(before: &Owners, after: &Owners) -> usize {
        let stays = |(queue, owner): &(&IncarnationId, &ConsumerId)| {
            after.get(queue).is_none_or(|other| other == *owner)
        };
        before.len() - before.iter().filter(stays).count()
    }

    fn ascending<T: Ord>(count: usize, mut draw: impl FnMut() -> T) -> Vec<T> {
        let mut drawn = BTreeSet::new();
        while drawn.len() < count {
            drawn.insert(draw());
        }
        drawn.into_iter().collect()
    }

    /// Calls `check` with worlds of up to 8 consumers and 40 queues.
    fn in_many_worlds(mut check: impl FnMut(&[ConsumerId], &[IncarnationId])) {
        let mut random = SmallRng::seed_from_u64(13);
        for consumers in 1..=8 {
            for queues in (0..=40).step_by(consumers) {
                let consumers = ascending(consumers, || ConsumerId(random.random_range(1..500)));
                let queues = ascending(queues, || IncarnationId(random.random_range(1..500)));
                check(&consumers, &queues);
            }
        }
    }

    #[test]
    fn every_queue_has_one_owner_and_the_shares_are_even_within_one() {
        in_many_worlds(|consumers, queues| {
            let owners = owners(consumers, queues);
            let sizes = consumers.iter().map(|consumer| {
                let of_it = owners.values().filter(|owner| *owner == consumer);
                of_it.count()
            });
            let (fewest, most) = (sizes.clone().min().unwrap(), sizes.clone().max().unwrap());
            assert!(most - fewest <= 1, "{consumers:?} {queues:?}: {owners:?}");
            assert!(sizes.is_sorted_by(|older, younger| older >= younger));
        });
    }

    #[test]
    fn one_who_joins_moves_their_share_and_nothing_else_and_back_when_they_leave() {
        in_many_worlds(|consumers, queues| {
            let before = owners(consumers, queues);
            let newest = ConsumerId(1_000);
            let after = owners(&[consumers, &[newest]].concat(), queues);
            let of_newest = after.values().filter(|owner| **owner == newest).count();
            assert_eq!(of_newest, queues.len() / (consumers.len() + 1));
            assert_eq!(moved(&before, &after), of_newest);
            assert_eq!(owners(consumers, queues), before, "the same from the same");
        });
    }

    #[test]
    fn a_lone_queue_stays_with_the_oldest_whoever_joins() {
        let consumers = [3, 4, 9].map(ConsumerId);
        assert_eq!(of(consumers[0], &consumers, &[ONE]), [ONE]);
        assert_eq!(of(consumers[2], &consumers, &[ONE]), []);
    }

    const ONE: IncarnationId = IncarnationId(1);

    /// On average, with four consumers and twelve queues, of which eleven or nine could move.
    #[test]
    fn when_a_queue_comes_or_an_old_consumer_leaves_most_queues_stay_where_they_are() {
        const WORLDS: u32 = 500;
        let mut random = SmallRng::seed_from_u64(5);
        let (mut by_queue, mut by_leaving) = (0, 0);
        for _ in 0..WORLDS {
            let consumers = ascending(4, || ConsumerId(random.random_range(1..100_000)));
            let queues = ascending(12, || IncarnationId(random.random_range(1..100_000)));
            let before = owners(&consumers, &queues);
            let more = [queues.as_slice(), &[IncarnationId(200_000)]].concat();
            by_queue += moved(&before, &owners(&consumers, &more));
            let oldest = consumers[0];
            let after = owners(&consumers[1..], &queues);
            // Those of the one who left have to move.
            let left = before.values().filter(|owner| **owner == oldest).count();
            by_leaving += moved(&before, &after) - left;
        }
        let average = |moved: usize| moved as f64 / f64::from(WORLDS);
        assert!(average(by_queue) < 3.0, "{}", average(by_queue));
        assert!(average(by_leaving) < 4.5, "{}", average(by_leaving));
    }
}
