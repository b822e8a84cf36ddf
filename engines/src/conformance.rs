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
    /// The bullets of the trait's documentation that it proves: the method, or `conventions`, and
    /// how the bullet begins.
    pub bullets: &'static [&'static str],
    /// Runs it.
    pub run: for<'a> fn(&'a Harness) -> CheckFuture<'a>,
    /// Whether an engine with these guarantees is held to it.
    pub applies: fn(&Guarantees) -> bool,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("bullets", &self.bullets)
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
    ($applies:ident, $module:ident :: $name:ident, [$($bullet:literal),+]) => {
        Check {
            name: stringify!($name),
            bullets: &[$($bullet),+],
            run: |harness| Box::pin($module::$name(harness)),
            applies: $applies,
        }
    };
}

/// Every check, in the order of the trait's bullets.
#[rustfmt::skip]
pub fn checks() -> Vec<Check> {
    vec![
        check!(stock, opening::nothing_is_sold_before_the_opening, ["open: Nothing is sold"]),
        check!(stock, opening::exactly_the_grant_is_sold_and_loaded_buyers_are_settled_duplicates, ["open: After `Opened`"]),
        check!(stock, opening::opening_the_same_term_again_changes_nothing, ["open: Opening the same term again"]),
        check!(stock, opening::an_epoch_that_is_not_newer_is_stale, ["open: An epoch that is not newer", "stock: `is_open` is true only"]),
        check!(stock, opening::a_newer_epoch_replaces_the_older, ["open: A half-finished opening", "reserve: Under a term", "stock: `is_open` is true only"]),
        check!(stock, opening::a_half_finished_opening_sells_nothing, ["open: A half-finished opening"]),
        check!(in_process, opening::what_another_process_opened_is_sold, ["conventions: **Calls**", "open: After `Opened`"]),
        check!(all, selling::every_item_is_answered_in_order, ["reserve: The result has one entry", "conventions: **Batches**"]),
        check!(stock, selling::a_batch_answers_as_the_same_requests_one_by_one, ["reserve: The result has one entry"]),
        check!(stock, selling::a_grant_takes_units_and_records_touch_and_incarnation, ["reserve: A grant takes its units"]),
        check!(stock, selling::the_count_is_exact_under_concurrent_tasks, ["reserve: Never are more units granted"]),
        check!(stock, selling::the_last_units_are_not_oversold, ["reserve: Never are more units granted"]),
        check!(stock, selling::a_refusal_leaves_no_trace, ["reserve: A refusal leaves no trace"]),
        check!(stock, selling::an_expired_request_sells_nothing, ["reserve: An item whose `expires_at_ms`"]),
        check!(stock, looking::a_request_that_may_not_sell_only_looks, ["reserve: An item that may not sell"]),
        check!(stock, selling::a_request_of_nothing_is_refused, ["reserve: An item of 0 units"]),
        check!(stock, dropping::a_dropped_call_is_done_whole_or_not_at_all, ["reserve: A call that was dropped", "conventions: **Dropped calls.**"]),
        check!(stock, selling::many_sales_do_not_interfere, ["conventions: **Calls**"]),
        check!(stock, selling::another_term_is_not_open, ["reserve: Under a term"]),
        check!(stock, gating::a_retry_gets_the_same_order_id_and_touches_the_hold, ["reserve: A user with a live order"]),
        check!(stock, gating::a_user_has_one_live_hold_under_concurrent_retries, ["reserve: A user with a live order"]),
        check!(stock, gating::a_settled_order_still_answers_its_buyer, ["reserve: A user with a live order"]),
        check!(stock, gating::a_marked_hold_answers_busy_and_is_not_touched, ["reserve: A hold marked for voiding"]),
        check!(stock, gating::a_grant_and_its_open_hold_name_the_same_allocation, ["reserve: A grant takes its units"]),
        check!(dealing, sharing::a_user_of_another_instance_is_told_so, ["reserve: An engine whose processes own"]),
        check!(durable, gating::state_survives_a_dropped_client, ["conventions: **Calls**"]),
        check!(stock, finishing::settling_keeps_the_gate_and_moves_no_units, ["finish: Settling closes the hold"]),
        check!(stock, finishing::a_release_gives_the_units_back_exactly_once, ["finish: Releasing gives the units back"]),
        check!(stock, finishing::concurrent_releases_give_back_once, ["finish: Releasing gives the units back"]),
        check!(stock, finishing::a_release_clears_only_the_gate_of_its_own_order, ["finish: Releasing gives the units back"]),
        check!(stock, finishing::settle_and_release_commute, ["finish: Settle and release may come"]),
        check!(stock, finishing::a_batch_finishes_as_one_by_one, ["conventions: **Batches**"]),
        check!(stock, finishing::a_release_of_an_earlier_epoch_is_done_under_the_later, ["finish: Releasing gives the units back"]),
        check!(stock, finishing::nothing_is_finished_under_another_term, ["finish: Under a term"]),
        check!(dealing, sharing::only_the_owner_of_a_user_finishes_their_orders, ["finish: An engine whose processes own"]),
        check!(stock, holding::listing_pages_through_every_open_hold, ["open_holds: The pages together"]),
        check!(stock, holding::only_holds_that_are_old_enough_are_marked, ["mark: Testing the age"]),
        check!(stock, holding::a_hold_is_touched_or_marked_and_never_both, ["mark: Testing the age"]),
        check!(stock, holding::a_marked_hold_stays_marked_until_it_is_finished, ["mark: A marked hold stays marked"]),
        check!(stock, holding::nothing_is_listed_or_marked_under_another_term, ["open_holds: Under a term", "mark: Under a term"]),
        check!(stock, holding::stock_is_conserved_when_quiet, ["stock: When quiet"]),
        check!(stock, tending::the_server_it_runs_on_passes_its_own_check, ["check_server: A server that can forget"]),
        check!(stock, tending::a_server_that_may_forget_is_refused_with_the_reason, ["check_server: A server that can forget"]),
        check!(stock, tending::tending_sells_nothing, ["tend: It finishes what a crash interrupted"]),
        check!(stock, tending::what_a_crash_interrupted_is_finished, ["tend: It finishes what a crash interrupted"]),
        check!(stock, tending::every_task_may_be_repeated_and_run_at_once, ["conventions: **Dropped calls.**", "hand_back: Afterwards"]),
        check!(dealing, sharing::a_starving_instance_gets_the_idle_units_of_the_other, ["tend: It finishes what a crash interrupted"]),
        check!(dealing, sharing::what_is_handed_back_can_be_sold_by_others, ["hand_back: Afterwards"]),
        check!(dealing, sharing::who_stops_with_everything_sold_leaves_nobody_waiting, ["hand_back: Afterwards"]),
        check!(stock, retiring::a_retired_sale_is_forgotten_and_no_other, ["retire: Afterwards", "retire: Other sales", "retire: Retiring again"]),
        check!(stock, retiring::a_later_epoch_of_a_retired_sale_opens_like_a_first, ["retire: A later epoch"]),
        check!(stock, retiring::an_opening_of_a_retired_epoch_or_an_older_one_is_stale, ["retire: An opening of `epoch`"]),
        check!(stock, retiring::a_late_retirement_leaves_a_newer_epoch_alone, ["retire: Other sales"]),
        check!(dealing, retiring::a_retired_sale_ends_in_every_process, ["retire: Afterwards"]),
        check!(dealing, sharing::two_instances_sell_every_unit_once_and_accept_no_user_twice, ["reserve: Never are more units granted", "reserve: A user with a live order"]),
        check!(loss_proof, losing::a_lost_server_is_noticed_and_a_new_epoch_goes_on, ["reserve: Under a term", "finish: Under a term"]),
        check!(stock, model::random_calls_answer_like_the_model, ["conventions: **Answers.**"]),
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
            CheckResult::Failed(how) => broken.push(format!(
                "{} ({}): {how}",
                check.name,
                check.bullets.join("; ")
            )),
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

/// Runs the check of that name, whatever the engine promises.
pub async fn run_named(harness: &Harness, name: &str) -> Result<CheckResult, Failure> {
    let all = checks();
    let check = all.iter().find(|check| check.name == name);
    let check = check.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|check| check.name).collect();
        Failure(format!(
            "no check {name:?}; there are: {}",
            names.join(", ")
        ))
    })?;
    let guarantees = harness.engine().await?.info().guarantees;
    Ok(run_one(harness, check, &guarantees).await)
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
