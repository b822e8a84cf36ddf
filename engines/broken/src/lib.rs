//! Broken copies of the engines: their own sources with one place replaced, so that the tests see
//! the conformance suite catch each, and production code holds no switch for it.
//!
//! What is replaced by what is in `list.rs`; `build.rs` makes the copies.

// The copies are compiled as they are; what a replacement leaves unused is no fault.
#![allow(dead_code, unused, missing_debug_implementations, clippy::all)]

pub mod list;

// What the sources expect at the root of their crate.
pub use engines::*;

include!(concat!(env!("OUT_DIR"), "/modules.rs"));
