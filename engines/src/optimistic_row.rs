//! `optimistic-row`: the stock row has a version, and nobody locks it to read it.
//!
//! ```sql
//! SELECT remaining, version FROM engine_stock WHERE sale_id = 1;               -- 5 left, version 7
//! UPDATE engine_stock SET remaining = 4, version = 8 WHERE sale_id = 1 AND version = 7;
//! ```
//!
//! If the update finds no row, somebody else was faster: everything that was read is thrown away,
//! and the batch begins again after a random pause. Nothing is ever sold twice. The lesson is the
//! price: where everybody wants the same row, most of the work is done to be thrown away.
//!
//! Gates, openings and repairs are those of `database-row`; see its [`Guard`].

use crate::EngineFactory;
use crate::database_row::{self, Guard};

const NAME: &str = "optimistic-row";

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "one row of stock with a version: read without a lock, written if still the same, else begun again; slow where many want it",
    build: |env, params| database_row::build(NAME, Guard::Version, env, params),
    ..database_row::FACTORY
};
