//! What an engine promises and what crosses that seam: the trait, its values, ids and errors.

mod engine;
mod error;
mod ids;
mod info;
mod upkeep;
mod values;

pub use engine::StockEngine;
pub use error::{EngineError, Result};
pub use ids::{AllocationId, Epoch, IncarnationId, Nonce, OrderId, SaleId, UserId};
pub use info::{EngineInfo, Guarantees};
pub use upkeep::{Maintain, Maintained};
pub use values::{
    Finish, FinishKind, Finished, Hold, HoldPage, HoldQuery, OpenHold, Opened, Opening,
    OpeningBuyer, Reserve, StockView, Term, Verdict,
};
