//! Request data from one seed. The algorithm is part of the contract: the same seed gives the same
//! data in every version and on every machine, so a result can be repeated from the seed it prints.

use super::{ELEMENTS_MAX, Element};
use crate::{Error, Result};

/// What data to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataSpec {
    pub seed: u64,
    /// User ids 1 to this number, each exactly once.
    pub users: u64,
    pub product_id: i64,
    /// Quantities are distributed uniformly from 1 to this number.
    pub quantity_max: i32,
}

/// Every user once, in an order shuffled by the seed, each with a quantity drawn from the same
/// seed.
///
/// The algorithm: SplitMix64 (Steele, Lea, Flood 2014) seeded with `seed`; Fisher–Yates from the
/// last position down to the second, swapping with position `bounded(position + 1)`; then, in the
/// shuffled order, quantity `1 + bounded(quantity_max)`. `bounded(n)` is the upper 64 bits of the
/// 128-bit product of the next output and `n`.
pub fn generate(spec: &DataSpec) -> Result<Vec<Element>> {
    check(spec)?;
    let mut random = SplitMix64(spec.seed);
    let mut users: Vec<i64> = (1..=spec.users as i64).collect();
    for position in (1..users.len()).rev() {
        let other = random.bounded(position as u64 + 1) as usize;
        users.swap(position, other);
    }
    let mut element = |user_id| Element {
        user_id,
        product_id: spec.product_id,
        quantity: 1 + random.bounded(spec.quantity_max as u64) as i32,
    };
    Ok(users.into_iter().map(&mut element).collect())
}

fn check(spec: &DataSpec) -> Result<()> {
    if spec.users < 1 || spec.users > ELEMENTS_MAX as u64 {
        let users = spec.users;
        return Err(Error::Usage(format!(
            "users must be 1 to {ELEMENTS_MAX}, got {users}"
        )));
    }
    if spec.product_id < 1 {
        let product = spec.product_id;
        return Err(Error::Usage(format!(
            "product must be at least 1, got {product}"
        )));
    }
    if spec.quantity_max < 1 {
        let quantity = spec.quantity_max;
        return Err(Error::Usage(format!(
            "max-quantity must be at least 1, got {quantity}"
        )));
    }
    Ok(())
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n` up to a bias below n / 2^64.
    fn bounded(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: DataSpec = DataSpec {
        seed: 42,
        users: 10,
        product_id: 1,
        quantity_max: 2,
    };

    #[test]
    fn the_same_seed_gives_the_same_data_in_every_version() {
        let data = generate(&TEN).expect("valid");
        let users: Vec<i64> = data.iter().map(|element| element.user_id).collect();
        let quantities: Vec<i32> = data.iter().map(|element| element.quantity).collect();
        assert_eq!(
            (users, quantities),
            (USERS_OF_42.to_vec(), QUANTITIES_OF_42.to_vec())
        );
    }

    // These come from a second implementation in another language. A change here would break every
    // seed that was ever published.
    const USERS_OF_42: [i64; 10] = [9, 4, 7, 6, 5, 1, 10, 3, 2, 8];
    const QUANTITIES_OF_42: [i32; 10] = [2, 1, 1, 2, 2, 2, 1, 1, 1, 1];

    #[test]
    fn splitmix64_gives_its_published_first_outputs() {
        let mut random = SplitMix64(1_234_567);
        let outputs = [random.next(), random.next(), random.next()];
        assert_eq!(
            outputs,
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423
            ]
        );
    }

    #[test]
    fn every_user_appears_once_and_quantities_stay_in_range() {
        let data = generate(&DataSpec {
            users: 10_000,
            quantity_max: 3,
            ..TEN
        })
        .expect("valid");
        let mut users: Vec<i64> = data.iter().map(|element| element.user_id).collect();
        users.sort_unstable();
        assert_eq!(users, (1..=10_000).collect::<Vec<i64>>());
        for quantity in 1..=3 {
            assert!(
                data.iter()
                    .filter(|element| element.quantity == quantity)
                    .count()
                    > 3_000
            );
        }
        assert!(
            data.iter()
                .all(|element| (1..=3).contains(&element.quantity))
        );
    }

    #[test]
    fn impossible_wishes_are_wrong_usage() {
        for wish in [
            DataSpec { users: 0, ..TEN },
            DataSpec {
                product_id: 0,
                ..TEN
            },
            DataSpec {
                quantity_max: 0,
                ..TEN
            },
        ] {
            assert!(generate(&wish).expect_err("refused").is_usage());
        }
    }
}
