//! What was measured, with what, and on what: the identity of binaries, and of the machine without
//! naming it.

mod build;
mod hash;
mod machine;

pub use build::{ProgramKind, VERSION, build_of, contract_refusal};
pub(crate) use hash::hex;
pub use machine::machine;
