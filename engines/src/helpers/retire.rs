//! How an engine in Redis forgets a sale.

/// Deletes one key set: `KEYS[1]` is its `…:meta` hash, whose `epoch` names `…:<epoch>:gate` and
/// `…:<epoch>:holds`. Repeating it changes nothing.
pub const RETIRE: &str = include_str!("retire.lua");
