//! Rates on a geometric grid, by their index: the same for every search with the same ratio, so that
//! two searches try the same rates.

/// The grid of the rates `ratio` to the power of an integer, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    ratio: f64,
}

impl Grid {
    /// `ratio` must be above 1.
    pub(super) fn new(ratio: f64) -> Self {
        Self { ratio }
    }

    pub(super) fn rate_per_s(self, index: i32) -> f64 {
        self.ratio.powi(index)
    }

    /// Index of the rate that is nearest to `rate_per_s`, as a ratio.
    pub(super) fn nearest(self, rate_per_s: f64) -> i32 {
        (rate_per_s.ln() / self.ratio.ln()).round() as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_and_its_rate_belong_together() {
        let grid = Grid::new(1.05);
        for index in [-5, 0, 1, 188, 260] {
            assert_eq!(grid.nearest(grid.rate_per_s(index)), index);
            assert_eq!(grid.nearest(grid.rate_per_s(index) * 1.02), index);
        }
        assert!((grid.rate_per_s(189) / grid.rate_per_s(188) - 1.05).abs() < 1e-12);
    }
}
