//! Prices: doubles on the wire, integer cents inside.

/// Largest whole number up to which a double holds every one.
pub const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// How far from a whole cent a sum of prices may be by the rounding of decimals to doubles, cents.
const CENT_TOLERANCE: f64 = 1e-6;

/// The cents that a price on the wire stands for; `None`: it is not whole cents, or no number that a
/// double holds exactly. It is whole if it is the double nearest to so many cents, or as near to
/// them as a sum of a few such doubles.
#[must_use]
pub fn whole_cents(price: f64) -> Option<i64> {
    let near = (price * 100.0).round();
    // Where doubles are nearly as far apart as cents, times 100 some are nearer to the next cent.
    let candidates = [near, near - 1.0, near + 1.0].into_iter();
    let exact = candidates.into_iter().find(|cents| cents / 100.0 == price);
    let is_near = (price * 100.0 - near).abs() < CENT_TOLERANCE;
    // Neither is true of what is no number.
    let cents = exact.or(is_near.then_some(near))?;
    (cents.abs() <= EXACT_MAX).then_some(cents as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_whole_cents_or_nothing() {
        for (price, cents) in [
            (0.0, 0),
            (-0.0, 0),
            (0.01, 1),
            (-19.99, -1_999),
            (0.1 + 0.2, 30),
            (1_234_567.89, 123_456_789),
            // Here a cent is less than a million steps of a double, and times 100 none of them is.
            (85_899_345.93, 8_589_934_593),
            (85_899_345.97, 8_589_934_597),
            (12_345_678_901.23, 1_234_567_890_123),
        ] {
            assert_eq!(whole_cents(price), Some(cents), "{price}");
        }
        for price in [
            0.001,
            19.995,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
        ] {
            assert_eq!(whole_cents(price), None, "{price}");
        }
    }

    #[test]
    fn every_number_of_cents_comes_back() {
        for power in 0..53 {
            for cents in [(1_i64 << power) - 1, 1 << power, (1 << power) + 1] {
                comes_back(cents);
            }
        }
    }

    #[test]
    fn every_number_of_cents_comes_back_as_long_as_each_has_a_double_of_its_own() {
        // Prices up to 2^46, where doubles are nearly as far apart as cents; times 100 some of them
        // are nearer to the next cent.
        let end = (1_i64 << 46) * 100;
        for power in 46..53 {
            for first in [1_i64 << power, (1 << power) / 10 * 9, end - 1_000] {
                (first..(first + 1_000).min(end)).for_each(comes_back);
            }
        }
    }

    fn comes_back(cents: i64) {
        let text = format!("{}.{:02}", cents / 100, cents % 100);
        let price: f64 = text.parse().expect("a number");
        assert_eq!(whole_cents(price), Some(cents), "{text}");
        assert_eq!(whole_cents(-price), Some(-cents), "-{text}");
    }
}
