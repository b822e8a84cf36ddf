//! The contract of [`StockEngine`](crate::StockEngine) as checks that run against any engine, also
//! one of another crate.
//!
//! A user's engine is held to it by one line: `conformance::run_all(&Harness::new(subject)).await`,
//! where the [`Subject`] says how to connect to the engine as a separate process would, and how to
//! lose its server. Every check works on sales of its own; each names the bullet of the trait's
//! documentation that it proves.

mod dropping;
mod finishing;
mod gating;
mod harness;
mod holding;
mod looking;
mod losing;
mod model;
mod opening;
mod retiring;
mod sale;
mod selling;
mod sharing;
mod tending;

pub use harness::{Failure, Harness, Outcome, Subject};

use crate::Guarantees;
use std::{fmt, future::Future, pin::Pin, time::Duration};

/// Longest run of one check; beyond it the engine hangs.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);

/// A running check. It stays on the thread that started it.
pub type CheckFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// One bullet of the contract.
pub struct Check {
    /// The behaviour, as a sentence.
    pub name: &'static str,
    /// The bullet of the trait's documentation that it proves.
    pub bullet: &'static str,
    /// Runs it.
    pub run: for<'a> fn(&'a Harness) -> CheckFuture<'a>,
    /// Whether an engine with these guarantees is held to it.
    pub applies: fn(&Guarantees) -> bool,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("bullet", &self.bullet)
            .finish_non_exhaustive()
    }
}

/// What became of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The engine keeps the bullet.
    Passed,
    /// The engine does not claim it.
    NotApplicable,
    /// It does not keep it, and how that showed.
    Failed(String),
}

/// Any engine.
fn all(_: &Guarantees) -> bool {
    true
}

/// Engines that keep stock.
fn stock(guarantees: &Guarantees) -> bool {
    guarantees.keeps_stock
}

/// Engines that deal the buyers among the processes.
fn dealing(guarantees: &Guarantees) -> bool {
    guarantees.keeps_stock && guarantees.needs_user_affinity
}

/// Engines whose state is in the processes that sell.
fn in_process(guarantees: &Guarantees) -> bool {
    guarantees.keeps_stock && guarantees.needs_one_engine_per_process
}

/// Engines whose state outlives the process that uses them.
fn durable(guarantees: &Guarantees) -> bool {
    guarantees.keeps_stock && guarantees.survives_process_kill
}

/// Engines that notice that their server lost its state.
fn loss_proof(guarantees: &Guarantees) -> bool {
    guarantees.keeps_stock && guarantees.survives_server_loss
}

macro_rules! check {
    ($applies:ident, $module:ident :: $name:ident, $bullet:literal) => {
        Check {
            name: stringify!($name),
            bullet: $bullet,
            run: |harness| Box::pin($module::$name(harness)),
            applies: $applies,
        }
    };
}

/// Every check, in the order of the trait's bullets.
#[rustfmt::skip]
pub fn checks() -> Vec<Check> {
    vec![
        check!(stock, opening::nothing_is_sold_before_the_opening, "open: nothing is sold before it has been opened"),
        check!(stock, opening::exactly_the_grant_is_sold_and_loaded_buyers_are_settled_duplicates, "open: exactly `granted` units, every buyer a settled duplicate"),
        check!(stock, opening::opening_the_same_term_again_changes_nothing, "open: the same term again is AlreadyOpen"),
        check!(stock, opening::an_epoch_that_is_not_newer_is_stale, "open: not newer under another nonce is Stale"),
        check!(stock, opening::a_newer_epoch_replaces_the_older, "open: a newer epoch replaces it; NotOpen under a term that is not the open one"),
        check!(stock, opening::a_half_finished_opening_sells_nothing, "open: a half-finished opening sells nothing"),
        check!(in_process, opening::what_another_process_opened_is_sold, "open: may be called from any process, also from one that sells nothing"),
        check!(all, selling::every_item_is_answered_in_order, "reserve: one entry per item"),
        check!(stock, selling::a_batch_answers_as_the_same_requests_one_by_one, "reserve: a batch answers as the same requests one by one would"),
        check!(stock, selling::a_grant_takes_units_and_records_touch_and_incarnation, "reserve: units, hold, touch and incarnation in one step"),
        check!(stock, selling::the_count_is_exact_under_concurrent_tasks, "reserve: never more units than are left"),
        check!(stock, selling::the_last_units_are_not_oversold, "reserve: a smaller request may be granted after a larger was refused"),
        check!(stock, selling::a_refusal_leaves_no_trace, "reserve: a refusal leaves no trace"),
        check!(stock, selling::an_expired_request_sells_nothing, "reserve: Expired sells nothing: deadline-before-reserve (R7)"),
        check!(stock, looking::a_request_that_may_not_sell_only_looks, "reserve: NoOrder to an item that may not sell; everything else as ever"),
        check!(stock, selling::a_request_of_nothing_is_refused, "reserve: an item of 0 units is an error and sells nothing"),
        check!(stock, dropping::a_dropped_call_is_done_whole_or_not_at_all, "reserve, finish: a dropped call has done each item whole, or not at all"),
        check!(stock, selling::many_sales_do_not_interfere, "reserve: items belong to the sale of the term"),
        check!(stock, selling::another_term_is_not_open, "reserve: NotOpen under a term that is not the open one"),
        check!(stock, gating::a_retry_gets_the_same_order_id_and_touches_the_hold, "reserve: Duplicate with that order's id; the call touches it: mark-with-age (R8)"),
        check!(stock, gating::a_user_has_one_live_hold_under_concurrent_retries, "reserve: a user with a live order gets Duplicate"),
        check!(stock, gating::a_settled_order_still_answers_its_buyer, "reserve: Duplicate after the settle"),
        check!(stock, gating::a_marked_hold_answers_busy_and_is_not_touched, "reserve: a marked hold answers Busy: mark-with-age (R8)"),
        check!(stock, gating::a_grant_and_its_open_hold_name_the_same_allocation, "reserve: Granted names the allocation the order counts against"),
        check!(dealing, sharing::a_user_of_another_instance_is_told_so, "reserve: WrongInstance for users whom another incarnation owns"),
        check!(durable, gating::state_survives_a_dropped_client, "every method may be called from any process"),
        check!(stock, finishing::settling_keeps_the_gate_and_moves_no_units, "finish: settling; again is AlreadyDone"),
        check!(stock, finishing::a_release_gives_the_units_back_exactly_once, "finish: releasing gives back exactly once"),
        check!(stock, finishing::concurrent_releases_give_back_once, "finish: exactly once, also concurrently, from any client it may come through"),
        check!(stock, finishing::a_release_clears_only_the_gate_of_its_own_order, "finish: the gate is cleared only if it belongs to that order"),
        check!(stock, finishing::settle_and_release_commute, "finish: in any order and concurrently, the final state is the release's"),
        check!(stock, finishing::a_batch_finishes_as_one_by_one, "finish: batches are answered item by item"),
        check!(stock, finishing::a_release_of_an_earlier_epoch_is_done_under_the_later, "finish: a loaded buyer is released under a later epoch: release-by-epoch (R12)"),
        check!(stock, finishing::nothing_is_finished_under_another_term, "finish: NotOpen under a term that is not the open one"),
        check!(dealing, sharing::only_the_owner_of_a_user_finishes_their_orders, "finish: WrongInstance for users whom another incarnation owns, also where nobody is owned"),
        check!(stock, holding::listing_pages_through_every_open_hold, "open_holds: the pages hold every hold that stays open"),
        check!(stock, holding::only_holds_that_are_old_enough_are_marked, "mark: testing the age and marking are one step: mark-with-age (R8)"),
        check!(stock, holding::a_marked_hold_stays_marked_until_it_is_finished, "mark: a marked hold stays marked and listed"),
        check!(stock, holding::nothing_is_listed_or_marked_under_another_term, "open_holds, mark: Unavailable under a term that is not the open one"),
        check!(stock, holding::stock_is_conserved_when_quiet, "stock: remaining + open + settled = granted"),
        check!(stock, tending::the_server_it_runs_on_passes_its_own_check, "check_server: accepts a server that cannot forget, again and again"),
        check!(stock, tending::tending_sells_nothing, "tend: sells nothing itself"),
        check!(stock, tending::every_task_may_be_repeated_and_run_at_once, "upkeep: every task is idempotent, in several processes at the same time"),
        check!(dealing, sharing::a_starving_instance_gets_the_idle_units_of_the_other, "tend: moves units to where they are asked for: sold-out-means-gone (R18)"),
        check!(dealing, sharing::what_is_handed_back_can_be_sold_by_others, "hand_back: what was not sold can be sold by others"),
        check!(dealing, sharing::who_stops_with_everything_sold_leaves_nobody_waiting, "hand_back: of nothing"),
        check!(stock, retiring::a_retired_sale_is_forgotten_and_no_other, "retire: not open and gone, other sales untouched, repeating changes nothing"),
        check!(stock, retiring::a_later_epoch_of_a_retired_sale_opens_like_a_first, "retire: a later epoch opens as if it were the first"),
        check!(dealing, retiring::a_retired_sale_ends_in_every_process, "retire: in other processes once they have tended it"),
        check!(dealing, sharing::two_instances_sell_every_unit_once_and_accept_no_user_twice, "all: two instances at the same time"),
        check!(loss_proof, losing::a_lost_server_is_noticed_and_a_new_epoch_goes_on, "reserve: NotOpen also after the server lost its state: lost-server-noticed (R13)"),
        check!(stock, model::random_calls_answer_like_the_model, "all: the engine answers like a plain in-memory model"),
    ]
}

/// Runs every check in order and tells what became of each.
pub async fn run_each(harness: &Harness) -> Result<Vec<(Check, CheckResult)>, Failure> {
    let guarantees = harness.engine().await?.info().guarantees;
    let mut results = Vec::new();
    for check in checks() {
        let result = run_one(harness, &check, &guarantees).await;
        results.push((check, result));
    }
    Ok(results)
}

/// Holds an engine to the whole contract; the error lists every broken bullet and the seed.
pub async fn run_all(harness: &Harness) -> Result<usize, Failure> {
    let (mut passed, mut broken) = (0, Vec::new());
    for (check, result) in run_each(harness).await? {
        match result {
            CheckResult::Passed => passed += 1,
            CheckResult::NotApplicable => {}
            CheckResult::Failed(how) => {
                broken.push(format!("{} ({}): {how}", check.name, check.bullet))
            }
        }
    }
    if broken.is_empty() {
        Ok(passed)
    } else {
        Err(Failure(format!(
            "{}\n{}",
            harness.seed_line(),
            broken.join("\n")
        )))
    }
}

/// The first check that fails, if one does: enough to know that an engine is broken.
pub async fn first_failure(harness: &Harness) -> Result<Option<(Check, String)>, Failure> {
    let guarantees = harness.engine().await?.info().guarantees;
    for check in checks() {
        if let CheckResult::Failed(how) = run_one(harness, &check, &guarantees).await {
            return Ok(Some((check, how)));
        }
    }
    Ok(None)
}

async fn run_one(harness: &Harness, check: &Check, guarantees: &Guarantees) -> CheckResult {
    if !(check.applies)(guarantees) {
        return CheckResult::NotApplicable;
    }
    match tokio::time::timeout(CHECK_TIMEOUT, (check.run)(harness)).await {
        Ok(Ok(())) => CheckResult::Passed,
        Ok(Err(failure)) => CheckResult::Failed(failure.0),
        Err(_) => CheckResult::Failed(format!("no end within {CHECK_TIMEOUT:?}")),
    }
}
