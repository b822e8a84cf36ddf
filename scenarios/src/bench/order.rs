//! In which order the subjects of a run take their turns in each round: balanced where that is
//! possible and random in everything else, so that nobody always comes first, or always after the
//! same other one.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// The order of `subjects` subjects, by their index, in each of `rounds` rounds, from a seed.
///
/// The rounds are rows of Williams' designs (E. J. Williams, "Experimental designs balanced for the
/// estimation of residual effects of treatments", Australian Journal of Scientific Research 2
/// (1949)), in random order and with randomly assigned subjects. So over any number of rounds each
/// subject is at each position equally often, or once more; and each comes directly after each other
/// one equally often after as many rounds as there are subjects (an even number of them) or twice as
/// many (an odd one).
pub fn round_orders(subjects: usize, rounds: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut orders = Vec::with_capacity(rounds);
    while subjects > 0 && orders.len() < rounds {
        let mut names: Vec<usize> = (0..subjects).collect();
        names.shuffle(&mut random);
        let mut squares = squares(subjects);
        squares.shuffle(&mut random);
        for mut square in squares {
            square.shuffle(&mut random);
            let named = |row: Vec<usize>| row.into_iter().map(|index| names[index]).collect();
            orders.extend(square.into_iter().map(named));
        }
    }
    orders.truncate(rounds);
    if subjects == 0 {
        orders.resize(rounds, Vec::new());
    }
    orders
}

/// Latin squares which together have each pair of neighbours equally often: one, and for an odd
/// number of subjects its mirror image too.
fn squares(subjects: usize) -> Vec<Vec<Vec<usize>>> {
    // 0, 1, n−1, 2, n−2, …: no two steps from one to the next have the same length.
    let first = (0..subjects).map(|position| match position {
        0 => 0,
        odd if odd % 2 == 1 => odd.div_ceil(2),
        even => subjects - even / 2,
    });
    let first: Vec<usize> = first.collect();
    let row = |shift: usize| -> Vec<usize> {
        let shifted = first.iter().map(|index| (index + shift) % subjects);
        shifted.collect()
    };
    let square: Vec<Vec<usize>> = (0..subjects).map(row).collect();
    if subjects.is_multiple_of(2) {
        return vec![square];
    }
    let mirrored = square.iter().map(|row| row.iter().rev().copied().collect());
    let mirrored = mirrored.collect();
    vec![square, mirrored]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn seed() -> u64 {
        let seed = rand::random();
        println!("seed {seed}");
        seed
    }

    /// How often each of `keys` was counted, the fewest and the most.
    fn extremes<K: Ord>(
        found: impl Iterator<Item = K>,
        all: impl Iterator<Item = K>,
    ) -> (u32, u32) {
        let mut counts: BTreeMap<K, u32> = all.map(|key| (key, 0)).collect();
        for key in found {
            *counts.get_mut(&key).expect("a known key") += 1;
        }
        let fewest = counts.values().min().copied().unwrap_or(0);
        (fewest, counts.values().max().copied().unwrap_or(0))
    }

    fn neighbours(orders: &[Vec<usize>]) -> impl Iterator<Item = (usize, usize)> {
        let pairs = orders.iter().flat_map(|order| order.windows(2));
        pairs.map(|pair| (pair[0], pair[1]))
    }

    fn all_pairs(subjects: usize) -> impl Iterator<Item = (usize, usize)> {
        let firsts = 0..subjects;
        let pairs = firsts.flat_map(move |one| (0..subjects).map(move |other| (one, other)));
        pairs.filter(|(one, other)| one != other)
    }

    #[test]
    fn every_round_has_every_subject_once() {
        let seed = seed();
        for (subjects, rounds) in [(1, 3), (2, 5), (5, 7), (6, 20), (9, 4)] {
            let orders = round_orders(subjects, rounds, seed);
            assert_eq!(orders.len(), rounds);
            for order in orders {
                let distinct: BTreeSet<usize> = order.iter().copied().collect();
                assert_eq!((order.len(), distinct.len()), (subjects, subjects));
                assert!(distinct.into_iter().eq(0..subjects));
            }
        }
        assert_eq!(round_orders(0, 2, seed), [[0usize; 0]; 2]);
        assert!(round_orders(3, 0, seed).is_empty());
    }

    #[test]
    fn each_subject_is_at_each_position_equally_often_or_once_more() {
        let seed = seed();
        for subjects in 2..=9 {
            for rounds in 1..=3 * subjects {
                let orders = round_orders(subjects, rounds, seed);
                let found = orders
                    .iter()
                    .flat_map(|order| order.iter().copied().enumerate());
                let all = (0..subjects).flat_map(|at| (0..subjects).map(move |who| (at, who)));
                let (fewest, most) = extremes(found, all);
                assert!(
                    most - fewest <= 1,
                    "{subjects} over {rounds}: {fewest} to {most}"
                );
            }
        }
    }

    #[test]
    fn each_subject_follows_each_other_one_equally_often_in_a_whole_design() {
        let seed = seed();
        for subjects in 2..=9 {
            let (whole, times) = match subjects % 2 {
                0 => (subjects, 1),
                _ => (2 * subjects, 2),
            };
            let orders = round_orders(subjects, whole, seed);
            let found = extremes(neighbours(&orders), all_pairs(subjects));
            assert_eq!(found, (times, times), "{subjects}");
        }
    }

    #[test]
    fn a_seed_gives_its_orders_again_and_another_seed_gives_others() {
        assert_eq!(round_orders(6, 9, 7), round_orders(6, 9, 7));
        let distinct: BTreeSet<_> = (0..50).map(|seed| round_orders(6, 9, seed)).collect();
        assert!(distinct.len() > 45, "{}", distinct.len());
    }

    /// Where there are too few rounds for balance, chance decides: over many runs each of five
    /// subjects comes first in a fifth of them, within five standard errors.
    #[test]
    fn in_a_single_round_everyone_has_the_same_chance_to_come_first() {
        let first = seed();
        let runs = 5_000u64;
        let firsts = (0..runs).map(|n| round_orders(5, 1, first.wrapping_add(n))[0][0]);
        let (fewest, most) = extremes(firsts, 0..5);
        assert!(
            fewest > 1_000 - 142 && most < 1_000 + 142,
            "{fewest} to {most}"
        );
    }
}
