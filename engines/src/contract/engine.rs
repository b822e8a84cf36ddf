//! The seam every stock engine plugs into: one trait of seven methods.
//!
//! Conventions that hold for every method:
//! - **Calls** are made per sale and name the [`Term`] they act under. Every method may be called
//!   from any process, concurrently.
//! - **Batches** are answered item by item in the order they were given. An engine takes at least
//!   [`BATCH_MAX`](crate::BATCH_MAX) items in one call.
//! - **Values.** Ids of sales, users, orders and incarnations are greater than 0; an order's id is
//!   never used for a second order; incarnations are numbered in the order of their starts.
//! - **Answers.** Refusals are values, errors mean infrastructure; a time-out after sending is
//!   [`EngineError::Unknown`](crate::EngineError::Unknown), never "failed".
//! - **Clocks.** Deadlines and the ages of holds are measured by the engine's clock, which
//!   [`StockView::clock_ms`] shows: that of the server where one decides, otherwise that of the
//!   process. Whoever sets a deadline reads a clock of their own, so the two must agree to well
//!   within the time that a request is given.
//! - **Dropped calls.** Dropping the future of a call ends the waiting, not the work: what was sent
//!   may still be done, and each item is done whole or not at all. So its outcome is unknown, and
//!   every call may be made again: an opening is `AlreadyOpen` then, or, if it was left half-done,
//!   fails until a newer epoch replaces it; a buyer whose order was granted is a `Duplicate` of it;
//!   a finish is `AlreadyDone`; some holds may be marked; upkeep goes on where it was interrupted.

use crate::{
    EngineInfo, Finish, Finished, HoldKey, HoldPage, HoldPageQuery, OpenHold, Opened, Opening,
    Reserve, Result, StockView, Term, Upkeep, Verdict,
};
use std::time::Duration;

/// A fast gate in front of the database that decides, for one sale, who gets units while they last.
#[async_trait::async_trait]
pub trait StockEngine: Upkeep {
    /// What this engine is, with which parameters, and what it guarantees.
    fn info(&self) -> EngineInfo;

    /// Loads stock and gate for a new epoch and opens it.
    ///
    /// # Contract
    /// - Nothing is sold in a sale before it has been opened.
    /// - After `Opened`, exactly `granted` units can be sold and every buyer in `buyers` is a
    ///   settled duplicate.
    /// - Opening the same term again changes nothing and answers `AlreadyOpen`.
    /// - An epoch that is not newer than the engine's newest one, under another nonce, is `Stale`
    ///   and changes nothing.
    /// - A half-finished opening sells nothing; a newer epoch replaces it.
    async fn open(&self, opening: &Opening) -> Result<Opened>;

    /// Asks for units for every item of `batch`; all items belong to the sale of `term`.
    ///
    /// # Contract
    /// - The result has one entry per item, in order; a batch answers as the same requests one by
    ///   one would.
    /// - A grant takes its units, makes the order the user's hold, and records touch and
    ///   incarnation, in one atomic step.
    /// - Never are more units granted than are left; a smaller request may still be granted after a
    ///   larger was refused.
    /// - A user with a live order gets `Duplicate` with that order's id and quantity; while the
    ///   hold is open the call touches it.
    /// - A refusal leaves no trace.
    /// - An item whose `expires_at_ms` has passed is `Expired` and sells nothing.
    /// - An item of 0 units is the caller's mistake: it fails as
    ///   [`EngineError::Config`](crate::EngineError::Config) and sells nothing.
    /// - A call that was dropped has granted each of its items whole, or not at all.
    /// - An item that may not sell is granted nothing: a user without a live order gets `NoOrder`,
    ///   and nothing changes; everything else is answered as if it might sell.
    /// - A hold marked for voiding answers `Busy` and is not touched.
    /// - Under a term that is not the open one, everything is `NotOpen`, also after the server lost
    ///   its state.
    /// - An engine whose processes own buyers answers `WrongInstance` for users whom another
    ///   incarnation owns, or nobody, and
    ///   [`StockView::owner_of`](crate::StockView::owner_of) names the owner.
    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>>;

    /// Settles or releases holds.
    ///
    /// # Contract
    /// - Settling closes the hold, keeps the user's gate, moves no units; settling again is
    ///   `AlreadyDone`.
    /// - Releasing gives the units back exactly once and clears the gate only if it still belongs
    ///   to that order.
    /// - Settle and release may come in any order and concurrently; the final state is that of the
    ///   release.
    /// - Under a term that is not the open one nothing happens and the answer is `NotOpen`; so it is
    ///   in a process that has no lease under the term yet, or none any more.
    /// - An engine whose processes own buyers answers `WrongInstance`, and nothing happens, for users
    ///   whom another incarnation owns, or nobody; also where this process owns no user at all.
    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>>;

    /// One page of the open holds that were not touched for `page.age`.
    ///
    /// # Contract
    /// - The pages together hold every hold that stays open during the listing and is old enough,
    ///   with its age since the last touch; a hold may be in two of them.
    /// - Under a term that is not the open one the call fails as
    ///   [`EngineError::Unavailable`](crate::EngineError::Unavailable).
    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage>;

    /// Marks those of `holds` for voiding that are open and were not touched for `age`; answers
    /// those that are marked now.
    ///
    /// # Contract
    /// - Testing the age and setting the mark are one atomic step; a hold touched too recently is
    ///   not marked.
    /// - A marked hold stays marked and listed until it is settled or released.
    /// - Under a term that is not the open one the call fails as
    ///   [`EngineError::Unavailable`](crate::EngineError::Unavailable), and nothing is marked.
    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>>;

    /// The engine's own view of a sale; cross-checked against the database, never trusted over it.
    ///
    /// # Contract
    /// - When quiet, `remaining + open_units` plus what was settled and not released equals what
    ///   was granted.
    /// - `is_open` is true only if `term` could sell right now.
    async fn stock(&self, term: &Term) -> Result<StockView>;
}
