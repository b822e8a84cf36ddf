//! `unsafe-counter`: read the counter, then write it. What half of all first attempts look like.
//!
//! ```sql
//! SELECT remaining FROM engine_stock WHERE sale_id = 1;             -- 5 left
//! UPDATE engine_stock SET remaining = 4 WHERE sale_id = 1;          -- so 4 are left now
//! ```
//!
//! Two batches that read the same 5 both write 4: two units are sold, and the counter has gone down
//! by one (a *lost update*). In the end more buyers are told yes than there are units. It is here
//! so that one can watch the conformance suite and the audit find that out, and is never to be used
//! for anything else.
//!
//! Gates, openings and repairs are those of `database-row`; see its [`Guard`].

use crate::EngineFactory;
use crate::database_row::{self, Guard};

const NAME: &str = "unsafe-counter";

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "UNSAFE, sells more than there is: one row of stock, read and then written, without lock or condition; shows what the audit is for",
    is_unsafe: true,
    build: |env, params| database_row::build(NAME, Guard::Nothing, env, params),
    ..database_row::FACTORY
};
