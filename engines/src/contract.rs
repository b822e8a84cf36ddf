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
pub use upkeep::{Tending, Upkeep};
pub use values::{
    BATCH_MAX, Finish, FinishKind, Finished, Hold, HoldKey, HoldPage, HoldPageQuery, OpenHold,
    Opened, Opening, OpeningBuyer, PAGE_MAX, Reserve, StockView, Term, Verdict,
};
