//! Load drivers of the lab: request data from a seed or a file, the closed-loop gRPC driver, and
//! what it reports while it runs and at its end. This crate starts no servers and judges no
//! results.

pub mod cli;
pub mod data;
pub mod duration;
pub mod error;
pub mod events;
pub mod grpc;
pub mod http;
mod lane;
mod message;
pub mod plan;
pub mod process;
mod random;
pub mod run;
pub mod schedule;
mod summary_text;
pub mod wire;

pub use error::{Error, Result};
