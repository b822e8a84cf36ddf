//! Request data from one seed. The algorithm is part of the contract: the same seed gives the same
//! data in every version and on every machine, so a result can be repeated from the seed it prints.

use super::{ELEMENTS_MAX, Element};
use crate::random::SplitMix64;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Most products of one data set.
pub const PRODUCTS_MAX: usize = 100_000;
/// Steepest Zipf distribution.
const EXPONENT_MAX: f64 = 10.0;

/// What data to generate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    pub seed: u64,
    /// User ids 1 to this number, each exactly once.
    pub users: u64,
    /// Products that are asked for, the most popular first.
    pub products: Vec<i64>,
    #[serde(default)]
    pub popularity: Popularity,
    /// Quantities are distributed uniformly from 1 to this number.
    pub quantity_max: i32,
}

/// Which products buyers prefer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Popularity {
    #[default]
    Uniform,
    /// The product of rank r is asked for in proportion to `r^-exponent`.
    Zipf(f64),
}

impl DataSpec {
    /// Everybody asks for the same product.
    pub fn one_product(seed: u64, users: u64, product_id: i64, quantity_max: i32) -> Self {
        Self {
            seed,
            users,
            products: vec![product_id],
            popularity: Popularity::Uniform,
            quantity_max,
        }
    }
}

/// As on the command line: 500,000 users, product 1, 1 or 2 units.
impl Default for DataSpec {
    fn default() -> Self {
        Self::one_product(0, 500_000, 1, 2)
    }
}

/// Every user once, in an order shuffled by the seed, each with a quantity and a product drawn from
/// the same seed.
///
/// The algorithm: SplitMix64 seeded with `seed`; Fisher–Yates from the last position down to the
/// second, swapping with position `bounded(position + 1)`; then, in the shuffled order, quantity
/// `1 + bounded(quantity_max)` and, if there is more than one product, the first whose cumulative
/// share of the popularity exceeds `share()`.
pub fn generate(spec: &DataSpec) -> Result<Vec<Element>> {
    check(spec).map_err(Error::Usage)?;
    let mut random = SplitMix64(spec.seed);
    let mut users: Vec<i64> = (1..=spec.users as i64).collect();
    for position in (1..users.len()).rev() {
        let other = random.bounded(position as u64 + 1) as usize;
        users.swap(position, other);
    }
    let shares = cumulative_shares(spec);
    let mut element = |user_id| {
        let quantity = 1 + random.bounded(spec.quantity_max as u64) as i32;
        let product = match spec.products.len() {
            1 => 0,
            count => {
                let drawn = random.share();
                shares
                    .partition_point(|share| *share <= drawn)
                    .min(count - 1)
            }
        };
        Element {
            user_id,
            product_id: spec.products[product],
            quantity,
        }
    };
    Ok(users.into_iter().map(&mut element).collect())
}

/// Share of all requests that the products up to each rank have together.
fn cumulative_shares(spec: &DataSpec) -> Vec<f64> {
    let exponent = match spec.popularity {
        Popularity::Uniform => 0.0,
        Popularity::Zipf(exponent) => exponent,
    };
    let weight = |rank: usize| (rank as f64).powf(-exponent);
    let sum: f64 = (1..=spec.products.len()).map(weight).sum();
    (1..=spec.products.len())
        .scan(0.0, |so_far, rank| {
            *so_far += weight(rank) / sum;
            Some(*so_far)
        })
        .collect()
}

/// Refuses impossible wishes; the sentence says what is allowed.
pub(crate) fn check(spec: &DataSpec) -> std::result::Result<(), String> {
    if spec.users < 1 || spec.users > ELEMENTS_MAX as u64 {
        let users = spec.users;
        return Err(format!("users must be 1 to {ELEMENTS_MAX}, got {users}"));
    }
    if !(1..=PRODUCTS_MAX).contains(&spec.products.len()) {
        let products = spec.products.len();
        return Err(format!(
            "there must be 1 to {PRODUCTS_MAX} products, got {products}"
        ));
    }
    if let Some(product) = spec.products.iter().find(|product| **product < 1) {
        return Err(format!("product must be at least 1, got {product}"));
    }
    if spec.quantity_max < 1 {
        let quantity = spec.quantity_max;
        return Err(format!("max-quantity must be at least 1, got {quantity}"));
    }
    match spec.popularity {
        Popularity::Zipf(exponent) if !(0.0..=EXPONENT_MAX).contains(&exponent) => Err(format!(
            "the exponent of zipf must be 0 to {EXPONENT_MAX}, got {exponent}"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ten() -> DataSpec {
        DataSpec::one_product(42, 10, 1, 2)
    }

    #[test]
    fn the_same_seed_gives_the_same_data_in_every_version() {
        let data = generate(&ten()).expect("valid");
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
    fn every_user_appears_once_and_quantities_stay_in_range() {
        let data = generate(&DataSpec {
            users: 10_000,
            quantity_max: 3,
            ..ten()
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
            DataSpec { users: 0, ..ten() },
            DataSpec {
                products: vec![1, 0],
                ..ten()
            },
            DataSpec {
                products: vec![],
                ..ten()
            },
            DataSpec {
                popularity: Popularity::Zipf(f64::NAN),
                ..ten()
            },
            DataSpec {
                quantity_max: 0,
                ..ten()
            },
        ] {
            assert!(generate(&wish).expect_err("refused").is_usage());
        }
    }

    #[test]
    fn products_have_the_popularity_that_was_wished() {
        let counted = |popularity| {
            let data = generate(&DataSpec {
                users: 60_000,
                products: vec![7, 5, 9],
                popularity,
                ..ten()
            })
            .expect("valid");
            [7, 5, 9].map(|product| {
                let of = data.iter().filter(|element| element.product_id == product);
                of.count()
            })
        };
        for (popularity, wanted) in [
            (Popularity::Uniform, [20_000, 20_000, 20_000]),
            // 1 : 1/2 : 1/3.
            (Popularity::Zipf(1.0), [32_727, 16_364, 10_909]),
        ] {
            let counted = counted(popularity);
            for (counted, wanted) in counted.into_iter().zip(wanted) {
                assert!(
                    counted.abs_diff(wanted) < 500,
                    "{popularity:?}: {counted} for {wanted}"
                );
            }
        }
    }
}
