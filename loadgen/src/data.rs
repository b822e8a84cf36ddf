//! Request data: one element per request, generated from a seed or read from a file, and encoded as
//! gRPC messages before the run begins.

mod encoded;
mod generate;
mod json;

pub use encoded::Encoded;
pub(crate) use encoded::{strip_prefix, write_message};
pub(crate) use generate::check;
pub use generate::{DataSpec, PRODUCTS_MAX, Popularity, generate};
pub use json::{read_json, write_json};

/// Most elements a data set may have: a bound on memory (about 50 bytes each), far above the
/// 500,000 of the profiles.
pub const ELEMENTS_MAX: usize = 16_000_000;

/// One request to buy. All three are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Element {
    pub user_id: i64,
    pub product_id: i64,
    pub quantity: i32,
}
