//! Repairs that more than one role makes: draining a queue, and dealing with holds that stay open.
//!
//! The reconciler looks after holds that an engine keeps in a server; a publishing process looks
//! after its own where the engine keeps them in its memory.

mod drain;
mod holds;
mod pass;
pub mod releases;
mod troubles;

pub use drain::Drainer;
pub use holds::{HoldRepair, HoldScope};
pub use pass::Pass;
pub use troubles::Troubles;
