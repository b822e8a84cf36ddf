//! What a process knows of its lease's rows. It is behind a lock of the lease, and only whoever has
//! that lock moves rights; `transfer.rs` says what keeps each field true.

use super::stock::Look;
use super::wants::{WANT_LASTS, Wants};
use std::time::Instant;

/// What is known of the lease's rows, and of the transfer under way.
#[derive(Debug)]
pub struct Rights {
    /// Transfers of this lease that are committed, as far as this process knows.
    pub moves: i64,
    /// The transfer that may or may not be committed.
    pub under_way: Option<Transfer>,
    /// The last look, if no units came or went since.
    pub last_look: Option<Look>,
    /// What others lack.
    pub wants: Wants,
    /// Units that we told others we lack, and when.
    pub want: Option<(Instant, u64)>,
    /// Upper bound of the idle units that the lease's row names.
    pub idle_at_most: u64,
    /// When others' wants were last looked at.
    pub tended_at: Option<Instant>,
    /// When the row was last told how much is idle.
    pub reported_at: Option<Instant>,
}

/// Units on their way.
#[derive(Clone, Copy, Debug)]
pub enum Transfer {
    /// Units that come into memory if it is committed.
    In(u64),
    /// Units that go back into memory if it is not, and as many released orders that are done with
    /// if it is.
    Out { units: u64, orders: usize },
}

impl Rights {
    pub fn new(moves: i64) -> Self {
        Self {
            moves,
            under_way: None,
            last_look: None,
            wants: Wants::default(),
            want: None,
            idle_at_most: 0,
            tended_at: None,
            reported_at: None,
        }
    }

    /// Of two that starve at once the one with the smaller id goes first, and the other hands it
    /// what it has.
    pub fn wants_below(&self, incarnation: i64) -> i64 {
        if self.want() > 0 {
            incarnation
        } else {
            i64::MAX
        }
    }

    /// Units that others still know we lack. For whoever wrote it a want counts shorter than for
    /// those who read it, so that it is renewed in time.
    pub fn want(&self) -> u64 {
        self.want
            .filter(|(at, _)| at.elapsed() < WANT_LASTS / 2)
            .map_or(0, |(_, units)| units)
    }
}
