//! Statistics of results: what a subject's rounds come to, which subjects are told apart, and how
//! sure that is. Pure functions of numbers, each tested against published tables; only [`ranking`]
//! and [`ratios`] know what a result is.

mod normal;
mod studentized_range;

mod holm;
mod signed_rank;

mod e_divisive;

mod block_design;
mod ranking;
mod summary;

pub use block_design::{BlockDesign, DesignError, Interval, compact_letters, detectable_ln};
pub use e_divisive::{ChangePoint, EDivisive};
pub use holm::holm;
pub use normal::normal_cdf;
pub use ranking::{
    Entry, FAMILYWISE_ERROR, LeftOut, Method, NoPlaces, NotRanked, PairComparison,
    ROUNDS_FOR_RANGES, ROUNDS_FOR_RANKING, Ranking, Ratios, Separation, ceiling, ranking, ratios,
    why_not_counted,
};
pub use signed_rank::{SignedRank, hodges_lehmann, middle_bounds, signed_rank_cdf};
pub use studentized_range::{studentized_range_cdf, studentized_range_quantile};
pub use summary::Summary;
