//! The stock row of a sale, as a transaction has read it.

use crate::{Epoch, Term};

/// The stock row of a sale, and the database's clock.
#[derive(Clone, Copy, Debug)]
pub struct Stock {
    pub epoch: i64,
    pub nonce: i64,
    pub remaining: i64,
    pub open_units: i64,
    /// Raised by everything that changes the row or a gate of its sale.
    pub version: i64,
    pub now_ms: i64,
}

impl Stock {
    /// Whether the sale is open under this very term.
    pub fn is(&self, term: &Term) -> bool {
        self.epoch == i64::from(term.epoch.0) && self.nonce == term.nonce.0.cast_signed()
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(u32::try_from(self.epoch).unwrap_or(u32::MAX))
    }

    /// From the columns of the select.
    pub fn from_row([epoch, nonce, remaining, open_units, version, now_ms]: &[i64; 6]) -> Self {
        Self {
            epoch: *epoch,
            nonce: *nonce,
            remaining: *remaining,
            open_units: *open_units,
            version: *version,
            now_ms: *now_ms,
        }
    }
}
