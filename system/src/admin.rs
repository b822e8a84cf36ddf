//! What a process tells operators, on a listener of their own: metrics, whether it lives, whether it
//! is ready and if not why, what it was built from, and how it is configured.
//!
//! Buyers are not asked who they are, so what is not for them is not where they connect.

mod database;
mod pages;
mod server;
mod state;

pub use server::{bind, serve};
pub use state::{Admin, Unready};
