//! With any part of a rule about changes of orders taken out the search finds the violation that the
//! test's name tells of.

use crate::configs::END_CANCEL;
use crate::configs_of_changes::*;
use crate::leases::{self, Leases};
use crate::mutants::fails;
use crate::rules::Removed;
use crate::search::violates;
use crate::sweeps::{self, Sweeps};

fn fails_leased(removed: leases::Removed, invariant: char, total: i8) {
    violates(
        &format!("without {removed:?}, orders cancelled"),
        invariant,
        Leases {
            total,
            cancels: 1,
            openings: 1,
            removed: Some(removed),
        },
    );
}

fn fails_sweeping(removed: sweeps::Removed) {
    violates(
        &format!("expiry without {removed:?}"),
        'p',
        Sweeps(Some(removed)),
    );
}

#[test]
fn without_r9_release_of_its_own_order_only_a_unit_is_given_back_twice() {
    fails(Removed::R9ReleaseIsOfItsOrder, 'd', COMPETING);
}

#[test]
fn without_r9_cancelled_rows_staying_cancelled_a_late_message_revives_one() {
    fails(Removed::R9CancelledStaysCancelled, 'b', EARLY);
}

#[test]
fn without_r10_opening_a_record_again_an_order_accepted_anew_is_voided() {
    fails(Removed::R10ParkedAgainIsOpen, 'b', DEAD_LETTERS);
}

#[test]
fn without_r10_rows_before_the_resolution_a_replayed_order_is_voided() {
    fails(Removed::R10RowsBeforeResolved, 'b', DEAD_LETTERS);
}

#[test]
fn without_r10_ban_on_voiding_by_a_discard_an_order_accepted_anew_is_void() {
    fails(Removed::R10DiscardVoidsNothing, 'b', DEAD_LETTERS);
}

#[test]
fn without_r10_doubt_about_what_was_sent_before_an_order_without_a_row_is_settled() {
    fails(Removed::R10SentBeforeIsInDoubt, 'd', DEAD_LETTERS);
}

#[test]
fn without_r10_epoch_of_a_replayed_order_an_accepted_order_is_refused() {
    fails(Removed::R10ReplayKeepsItsEpoch, 'b', DEAD_LETTERS_LATE);
}

#[test]
fn without_r10_finality_of_a_refusal_an_accepted_order_is_refused() {
    fails(Removed::R10RefusedIsFinal, 'b', DEAD_LETTERS_LATE);
}

#[test]
fn without_r12_age_of_the_engine_a_cancelled_unit_is_stranded() {
    fails(Removed::R12OlderEngineIsNotEnough, 'd', CANCELLED_TWICE);
}

#[test]
fn without_r12_second_look_at_the_pool_a_cancelled_unit_is_stranded() {
    fails(Removed::R12PoolIsLookedAtAgain, 'd', CANCELLED_TWICE);
}

#[test]
fn without_r12_resumption_of_a_paused_sale_a_cancelled_unit_is_stranded() {
    fails(Removed::R12PausedIsNotEnded, 'd', CHANGED_AT_END);
}

#[test]
fn without_r12_end_read_with_the_release_a_cancelled_unit_is_stranded() {
    fails(Removed::R12EndIsReadWithTheRelease, 'd', END_CANCEL);
}

#[test]
fn without_r15_second_look_when_cancelling_a_unit_is_freed_twice() {
    fails(Removed::R15CancelLooksAgain, 'a', COMPETING);
}

#[test]
fn without_r15_second_look_when_paying_a_cancelled_order_is_paid() {
    fails(Removed::R15PaymentLooksAgain, 'b', COMPETING);
}

#[test]
fn without_r15_second_look_at_payments_a_paid_order_expires() {
    fails(Removed::R15ExpiryLooksAgain, 'b', COMPETING);
}

#[test]
fn without_r15_ban_on_tombstones_units_that_nobody_has_counted_are_freed() {
    fails(Removed::R15NoTombstones, 'a', EARLY);
}

#[test]
fn without_r16_drain_before_a_cut_an_accepted_order_is_refused() {
    fails(Removed::R16CutAfterTheDrain, 'b', REDUCE);
}

#[test]
fn without_r16_epoch_for_a_raise_units_are_stranded() {
    fails(Removed::R16RaiseByAnEpoch, 'd', RAISE);
}

#[test]
fn without_r16_live_orders_as_the_least_total_less_than_nothing_is_granted() {
    fails(Removed::R16NoLessThanIsSold, 'a', REDUCE);
}

#[test]
fn without_r16_wanted_total_taken_with_the_grant_a_change_is_lost() {
    fails(Removed::R16TakenWithTheGrant, 'd', RAISE);
}

#[test]
fn without_r18_asking_the_engine_each_time_sold_out_is_said_of_a_cancelled_unit() {
    fails(Removed::R18AskedEachTime, 'f', SOLD_OUT);
}

#[test]
fn without_r12_answer_of_the_owner_a_buyer_is_kept_from_buying_again() {
    fails_leased(leases::Removed::R12WrongInstanceIsNotDone, 'd', 1);
}

#[test]
fn without_r15_right_going_from_the_lease_to_the_pool_a_unit_is_stranded() {
    fails_leased(leases::Removed::R15RightGoesToThePool, 'd', 1);
}

#[test]
fn without_r15_release_that_only_clears_the_gate_a_right_is_moved_twice() {
    fails_leased(leases::Removed::R15ReleaseOnlyClearsTheGate, 'a', 1);
}

#[test]
fn without_r18_look_at_the_pool_sold_out_is_said_of_a_cancelled_unit() {
    fails_leased(leases::Removed::R18LooksAtThePool, 'f', 1);
}

#[test]
fn without_condition_on_the_place_of_the_expiry_a_late_order_never_expires() {
    fails_sweeping(sweeps::Removed::CompareAndSet);
}

#[test]
fn without_going_back_for_a_late_order_it_never_expires() {
    fails_sweeping(sweeps::Removed::LateGoesBack);
}

#[test]
fn without_second_look_before_the_place_is_stored_a_replayed_order_never_expires() {
    fails_sweeping(sweeps::Removed::StoreLooksAgain);
}

#[test]
fn without_waiting_for_rows_under_way_an_order_written_slowly_never_expires() {
    fails_sweeping(sweeps::Removed::StoreWaitsForWriters);
}
