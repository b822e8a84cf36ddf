//! The three keys in which an engine in Redis keeps a sale, or a part of one: their names, their
//! bounds, the script that works on them, and how they are forgotten.
//!
//! What the scripts have in common is `key_set/shared.lua`; an engine puts it in front of its own
//! text.

use crate::{EngineError, Epoch, Opening, Result, Term};

/// Records in one call; a longer batch becomes several calls. The shared script relies on it.
pub const RECORDS_PER_CALL_MAX: usize = 1_000;
/// Largest stock: the scripts count in doubles.
pub const UNITS_MAX: u64 = 1 << 53;

/// Deletes one key set: `KEYS[1]` is its `…:meta` hash, whose `epoch` names `…:<epoch>:gate` and
/// `…:<epoch>:holds`. `ARGV` is the last epoch that is over, and `note` where `…:meta` is to name it
/// from now on. Repeating it changes nothing.
pub const RETIRE: &str = include_str!("key_set/retire.lua");

/// The names of one key set in one epoch.
#[derive(Debug)]
pub struct KeyNames {
    pub meta: String,
    pub gate: String,
    pub holds: String,
}

impl KeyNames {
    /// All begin with `tag`, whose braces keep them in one hash slot.
    pub fn new(tag: &str, epoch: Epoch) -> Self {
        Self {
            meta: meta_key(tag),
            gate: format!("{tag}:{epoch}:gate"),
            holds: format!("{tag}:{epoch}:holds"),
        }
    }
}

/// The one key of a set that every epoch calls the same.
pub fn meta_key(tag: &str) -> String {
    format!("{tag}:meta")
}

/// The nonce of a term as its key set has it.
pub fn nonce(term: &Term) -> String {
    format!("{:016x}", term.nonce.0)
}

/// A name for one attempt to open a sale, by which the keys know who is loading them.
pub fn new_loader() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// What an engine loads into its servers: one text, whatever is opened there, so that no opening
/// leaves a script behind. Only an opening loads it; a server that does not know it has lost what
/// was opened there: lost-server-noticed (R13).
#[derive(Debug)]
pub struct Script {
    pub text: String,
    /// By which a server knows the text.
    pub sha1: String,
}

impl Script {
    /// `body` behind a line with its name, which the key sets remember: what another version of an
    /// engine has opened is not open to this one.
    pub fn new(body: &str) -> Self {
        let text = format!("local SCRIPT = '{}'\n{body}", sha1(body));
        let sha1 = sha1(&text);
        Self { text, sha1 }
    }
}

fn sha1(script: &str) -> String {
    redis::Script::new(script).get_hash().to_owned()
}

/// Refuses a stock that the scripts of `engine` cannot count.
pub fn check_units(engine: &str, opening: &Opening) -> Result<()> {
    if opening.granted <= UNITS_MAX {
        return Ok(());
    }
    Err(EngineError::Config(format!(
        "{} units are more than {engine} can count ({UNITS_MAX})",
        opening.granted
    )))
}
