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
    let cents = (price * 100.0).round();
    let is_whole = cents / 100.0 == price || (price * 100.0 - cents).abs() < CENT_TOLERANCE;
    // Neither is true of what is no number.
    (is_whole && cents.abs() <= EXACT_MAX).then_some(cents as i64)
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
        for power in 0..47 {
            for cents in [(1_i64 << power) - 1, 1 << power, (1 << power) + 1] {
                let text = format!("{}.{:02}", cents / 100, cents % 100);
                let price: f64 = text.parse().expect("a number");
                assert_eq!(whole_cents(price), Some(cents), "{text}");
            }
        }
    }
}
