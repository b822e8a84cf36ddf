//! What the database's errors mean to engines with a stock row.

use crate::EngineError;
use crate::helpers::database_server;

/// What the errors are about; whose they are, the call that fails says.
const ROWS: &str = "rows of the stock";

/// See [`database_server::not_done`].
pub fn not_done(error: database::Error) -> EngineError {
    database_server::not_done(ROWS, error)
}

/// See [`database_server::unknown`].
pub fn unknown(error: database::Error) -> EngineError {
    database_server::unknown(ROWS, error)
}
