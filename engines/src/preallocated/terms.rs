//! Under which term a process sells, and as who.

use crate::{IncarnationId, Term};

/// A term, and who sells under it.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub term: Term,
    pub incarnation: IncarnationId,
}

impl Terms {
    /// Incarnations are numbered in the order of their starts, so of two that use this object the
    /// larger one lives.
    pub fn is_newer_than(&self, loaded: &Self) -> bool {
        let is_later_life = self.term == loaded.term && self.incarnation > loaded.incarnation;
        self.term.epoch > loaded.term.epoch || is_later_life
    }
}
