//! The flash-sale system: one binary, `seckill`, with a subcommand per role.
//!
//! Each role is `run(config, …, shutdown)` and owns nothing it was not given. Roles do not import
//! one another; what they share is the store (SQL), the broker (AMQP), the envelope between them
//! and the engine registry.

mod broker;
mod cli;
mod clock;
mod config;
mod envelope;
mod failpoint;
mod ids;
mod incarnation;
mod logging;
mod order_id;
mod repair;
mod roles;
mod shutdown;
mod store;
mod terms;

/// Generated protobuf and gRPC code, one module per package.
#[allow(missing_debug_implementations, clippy::all)]
pub mod proto {
    /// `package seckill`.
    pub mod seckill {
        tonic::include_proto!("seckill");
    }
    /// `package inspect`.
    pub mod inspect {
        tonic::include_proto!("inspect");
    }
    /// `package events`.
    pub mod events {
        tonic::include_proto!("events");
    }
    /// Encoded file descriptors of all packages, for server reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

pub use cli::run;
