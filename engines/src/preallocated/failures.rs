//! What the database's errors mean to this engine, under its name.

use crate::EngineError;
use crate::helpers::database_server;

/// The engine's name in the registry and in every error.
pub const NAME: &str = "preallocated";

/// See [`database_server::not_done`].
pub fn not_done(error: database::Error) -> EngineError {
    database_server::not_done(NAME, error)
}

/// See [`database_server::unknown`].
pub fn unknown(error: database::Error) -> EngineError {
    database_server::unknown(NAME, error)
}
