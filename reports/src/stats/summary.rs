//! What the rounds of one subject come to: each value, the extremes, and a median where it is one of
//! the values.

use std::collections::BTreeMap;

/// Values of one subject, one per round, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// By the number of the round.
    pub by_round: BTreeMap<u32, f64>,
    pub min: f64,
    pub max: f64,
    /// The middle value; none for an even number of rounds, where no value is in the middle and the
    /// slower of two must not pass for one. Show the extremes then.
    pub median: Option<f64>,
}

impl Summary {
    /// None without a value, or with one that is not a number.
    pub fn of(by_round: BTreeMap<u32, f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = by_round.values().copied().collect();
        if sorted.iter().any(|value| value.is_nan()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let median = (sorted.len() % 2 == 1).then(|| sorted[sorted.len() / 2]);
        Some(Self {
            by_round,
            min,
            max,
            median,
        })
    }

    pub fn rounds(&self) -> usize {
        self.by_round.len()
    }

    /// What subjects are sorted by: the mean of the logarithms, as a value; the arithmetic mean where
    /// a value is not positive.
    pub fn middle(&self) -> f64 {
        let values = || self.by_round.values();
        let count = self.by_round.len() as f64;
        if self.min > 0.0 {
            (values().map(|value| value.ln()).sum::<f64>() / count).exp()
        } else {
            values().sum::<f64>() / count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Option<Summary> {
        Summary::of((1..).zip(values.iter().copied()).collect())
    }

    #[test]
    fn only_an_odd_number_of_rounds_has_a_median() {
        let odd = of(&[30.0, 10.0, 20.0]).expect("values");
        assert_eq!(odd.median, Some(20.0));
        let even = of(&[30.0, 10.0]).expect("values");
        assert_eq!((even.median, even.min, even.max), (None, 10.0, 30.0));
        assert_eq!(of(&[7.0]).expect("a value").median, Some(7.0));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn the_middle_of_rates_is_their_geometric_mean() {
        let middle = of(&[100.0, 400.0]).expect("values").middle();
        assert!((middle - 200.0).abs() < 1e-9, "{middle}");
        assert_eq!(of(&[0.0, 4.0]).expect("values").middle(), 2.0);
    }
}
