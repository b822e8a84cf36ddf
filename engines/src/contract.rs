//! What an engine promises and what crosses that seam: the trait, its values, ids and errors.

mod engine;
mod error;
mod ids;

pub use engine::{
    EngineInfo, Finish, FinishKind, Finished, Guarantees, Hold, HoldPage, HoldQuery, Maintain,
    Maintained, OpenHold, Opened, Opening, OpeningBuyer, Reserve, StockEngine, StockView, Term,
    Verdict,
};
pub use error::{EngineError, Result};
pub use ids::{AllocationId, Epoch, IncarnationId, Nonce, OrderId, SaleId, UserId};
