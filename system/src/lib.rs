//! The flash-sale system: one binary, `seckill`, with a subcommand per role.
//!
//! Each role is `run(config, listener, shutdown)` and owns nothing it was not given. Roles do not
//! import one another; what they share is the store, the broker, the envelope between them and the
//! engine registry. What starts a role is public, so that a test can own its socket and its end.

/// Of every binary that runs this system, so that one with an engine more is measured alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod accounts;
pub mod admin;
mod back_off;
mod broker;
mod cli;
mod clock;
pub mod config;
mod digest;
mod envelope;
mod failpoint;
#[cfg(test)]
mod fuzz;
mod grpc_client;
mod grpc_server;
mod http_server;
mod idempotency;
mod ids;
mod incarnation;
pub mod listener;
mod logging;
mod metrics;
mod money;
mod order_id;
mod panics;
mod repair;
mod request_path;
pub mod roles;
mod serving_threads;
pub mod shutdown;
mod store;
mod supervisor;
mod telemetry;
mod terms;
mod tls;
pub mod tokens;
mod version;

/// Generated protobuf and gRPC code, one module per package.
#[allow(missing_debug_implementations, clippy::all)]
pub mod proto {
    /// `package seckill`.
    pub mod seckill {
        tonic::include_proto!("seckill");
    }
    /// `package order`.
    pub mod order {
        tonic::include_proto!("order");
    }
    /// `package inspect`.
    pub mod inspect {
        tonic::include_proto!("inspect");
    }
    /// `package events`.
    pub mod events {
        tonic::include_proto!("events");
    }
    /// `package product`.
    pub mod product {
        tonic::include_proto!("product");
    }
    /// `package auth`.
    pub mod auth {
        tonic::include_proto!("auth");
    }
    /// `package user`.
    pub mod user {
        tonic::include_proto!("user");
    }
    /// Encoded file descriptors of all packages, for server reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

/// What instructions are counted of, for the benches of this crate and nobody else.
#[doc(hidden)]
pub mod counted {
    pub use crate::envelope::{Envelope, ORDER_BATCH_TYPE, OrderEvent, decode, encode_orders};
    pub use crate::ids::{Generation, WorkerId};
    pub use crate::order_id::{MAX_AHEAD_MS, Minter};
    pub use crate::request_path::RequestPath;
}

pub use cli::run;
