//! With any part of a rule taken out the search finds the violation that the test's name tells of.

use crate::configs::*;
use crate::leases::{self, Leases};
use crate::model::{Config, Protocol};
use crate::rules::Removed;
use crate::search::violates;
use crate::slots::{self, Slots};
use crate::worker_ids::{self, WorkerIds};

/// Without `removed` the invariant with this letter is violated in `config`.
pub fn fails(removed: Removed, invariant: char, config: Config) {
    violates(
        &format!("without {removed:?}"),
        invariant,
        Protocol {
            config,
            removed: Some(removed),
        },
    );
}

#[test]
fn without_r1_fence_wait_an_order_accepted_during_an_opening_is_refused() {
    fails(Removed::R1FenceWait, 'b', LOSS);
}

#[test]
fn without_r1_own_clock_an_order_accepted_after_a_leap_is_refused() {
    fails(Removed::R1OwnClock, 'b', CLOCK);
}

#[test]
fn without_r1_lease_check_before_the_yes_an_order_accepted_during_an_opening_is_refused() {
    fails(Removed::R1LeaseAtTheYes, 'b', LOSS);
}

#[test]
fn without_r1_acknowledgement_by_the_successor_a_fence_waits_for_ever() {
    fails(Removed::R1AcknowledgementOfSuccessor, 'p', TWO_OPENERS);
}

#[test]
fn without_r2_check_after_binding_an_order_is_accepted_into_a_retired_queue() {
    fails(Removed::R2CheckOfBinding, 'b', RETIREMENT);
}

#[test]
fn without_r3_one_term_per_request_an_order_of_the_old_epoch_is_accepted_in_the_new() {
    fails(Removed::R3OneTermPerRequest, 'b', LOSS);
}

#[test]
fn without_r3_reading_the_term_anew_an_order_of_the_old_epoch_is_accepted_in_the_new() {
    fails(Removed::R3NewTermWithNewGeneration, 'b', TWO_OPENERS);
}

#[test]
fn without_r4_commit_before_acknowledgement_an_accepted_order_is_lost() {
    fails(Removed::R4AcknowledgeAfterCommit, 'b', REDELIVERY);
}

#[test]
fn without_r4_one_consumer_per_queue_an_accepted_order_is_voided() {
    fails(Removed::R4OneConsumer, 'b', REDELIVERY);
}

#[test]
fn without_r5_ban_on_nack_requeue_an_accepted_order_is_voided() {
    fails(Removed::R5NoNackRequeue, 'b', REDELIVERY);
}

#[test]
fn without_r5_session_of_the_marker_an_accepted_order_is_voided() {
    fails(Removed::R5MarkerOfItsSession, 'b', REDELIVERY);
}

#[test]
fn without_r6_care_for_returned_messages_an_accepted_order_is_lost() {
    fails(Removed::R6ReturnedIsNotAccepted, 'b', LOSS);
}

#[test]
fn without_r6_ban_on_dropping_overflow_an_accepted_order_is_lost() {
    fails(Removed::R6NoDroppingOverflow, 'b', LOSS);
}

#[test]
fn without_r6_record_of_a_lost_queue_an_accepted_order_is_voided() {
    fails(Removed::R6GoneIsParked, 'b', QUEUE_LOST);
}

#[test]
fn without_r6_ban_on_making_a_queue_anew_an_accepted_order_is_voided() {
    fails(Removed::R6NobodyMakesTheirQueueAnew, 'b', QUEUE_LOST);
}

#[test]
fn without_r7_deadline_from_before_the_reserve_an_accepted_order_is_voided() {
    fails(Removed::R7DeadlineBeforeReserve, 'b', ORPHANS);
}

#[test]
fn without_r7_grace_above_the_deadline_an_accepted_order_is_voided() {
    fails(Removed::R7GraceAboveDeadline, 'b', ORPHANS);
}

#[test]
fn without_r8_record_of_every_touch_an_order_accepted_elsewhere_is_voided() {
    fails(Removed::R8EveryTouchRecorded, 'b', ORPHANS);
}

#[test]
fn without_r8_age_test_in_the_mark_an_accepted_order_is_voided() {
    fails(Removed::R8AgeTestedWithTheMark, 'b', ORPHANS);
}

#[test]
fn without_r8_busy_answer_for_marked_holds_an_accepted_order_is_voided() {
    fails(Removed::R8BusyOnceMarked, 'b', ORPHANS);
}

#[test]
fn without_r9_settling_only_live_orders_a_void_order_is_confirmed_to_its_buyer() {
    fails(Removed::R9SettleOnlyLive, 'b', VOIDING_CRASHES);
}

#[test]
fn without_r9_void_row_a_released_unit_is_sold_twice() {
    fails(Removed::R9VoidRow, 'b', ORPHANS);
}

#[test]
fn without_r9_second_look_after_a_conflict_a_sold_unit_is_released() {
    fails(Removed::R9ConflictLooksAgain, 'b', ORPHANS);
}

#[test]
fn without_r9_void_row_before_the_release_a_released_unit_is_sold_twice() {
    fails(Removed::R9VoidBeforeRelease, 'b', ORPHANS);
}

#[test]
fn without_r10_care_for_parked_messages_an_accepted_order_is_voided() {
    fails(Removed::R10ParkedIsNotVoided, 'b', POISON);
}

#[test]
fn without_r11_lock_before_the_read_a_late_order_is_granted_again() {
    fails(Removed::R11LockBeforeTheRead, 'a', LOSS);
}

#[test]
fn without_r11_cut_of_the_closed_allocation_more_is_granted_than_there_is() {
    fails(Removed::R11ClosedKeepsOnlyItsSold, 'a', LOSS);
}

#[test]
fn without_r11_one_snapshot_a_buyer_is_accepted_twice() {
    fails(Removed::R11OneSnapshot, 'b', GATE);
}

#[test]
fn without_r12_trying_again_when_not_open_a_cancelled_unit_is_stranded() {
    fails(Removed::R12NotOpenIsNotDone, 'd', CANCEL);
}

#[test]
fn without_r12_epoch_of_the_cancel_a_cancelled_unit_is_stranded() {
    fails(Removed::R12EpochOfTheLockedPool, 'd', CANCEL);
}

#[test]
fn without_r12_end_before_a_release_counts_as_done_a_cancelled_unit_is_stranded() {
    fails(Removed::R12OverIsNotEnded, 'd', END_CANCEL);
}

#[test]
fn without_r13_script_before_the_data_a_half_loaded_gate_accepts_a_buyer_twice() {
    fails(Removed::R13ScriptBeforeTheData, 'b', TWO_LOSSES);
}

#[test]
fn without_r13_script_of_the_opening_a_restarted_engine_sells_what_is_sold() {
    fails(Removed::R13ScriptOfTheOpening, 'b', LOSS);
}

#[test]
fn without_r14_condition_on_the_opening_an_order_is_accepted_in_a_closed_epoch() {
    fails(Removed::R14ConditionalOpening, 'b', TWO_OPENERS);
}

#[test]
fn without_r15_right_leaving_its_allocation_more_is_granted_than_there_is() {
    fails(Removed::R15RightLeavesItsAllocation, 'a', CANCEL);
}

#[test]
fn without_r15_right_going_to_the_open_pool_an_accepted_order_is_refused() {
    fails(Removed::R15RightGoesToTheOpenPool, 'b', CANCEL);
}

#[test]
fn without_r19_paid_orders_in_the_gate_a_buyer_is_accepted_twice() {
    fails(Removed::R19PaidRowsInTheGate, 'b', GATE);
}

#[test]
fn without_asking_the_engine_outside_the_window_a_buyer_with_an_order_is_turned_away() {
    fails(Removed::EndWindowAsksTheEngine, 'e', END);
}

#[test]
fn without_waiting_for_deadlines_at_the_end_a_buyer_with_an_order_is_turned_away() {
    fails(Removed::EndWaitsForDeadlines, 'e', END);
}

#[test]
fn without_waiting_for_holds_at_the_end_a_buyer_who_was_turned_away_has_an_order() {
    fails(Removed::EndWaitsForHolds, 'e', END);
}

#[test]
fn without_draining_at_the_end_a_buyer_with_an_order_is_turned_away() {
    fails(Removed::EndDrains, 'e', END_LOST);
}

#[test]
fn without_looking_at_the_rows_after_the_end_a_buyer_with_an_order_is_turned_away() {
    fails(Removed::EndLooksAtTheRows, 'e', END);
}

#[test]
fn without_condition_on_the_end_a_buyer_in_a_later_epoch_is_turned_away() {
    fails(Removed::EndIsConditional, 'e', END_MOVED);
}

#[test]
fn without_a_note_of_the_end_a_late_opening_stays_in_the_engine() {
    fails(Removed::EndLeavesANote, 'r', END_OVERTAKES);
}

#[test]
fn without_r16_memory_first_when_handing_back_an_accepted_order_is_refused() {
    violates(
        "without R16MemoryFirstWhenHandingBack",
        'b',
        Leases {
            total: 1,
            cancels: 0,
            openings: 0,
            removed: Some(leases::Removed::R16MemoryFirstWhenHandingBack),
        },
    );
}

#[test]
fn without_r16_database_first_when_refilling_an_accepted_order_is_refused() {
    violates(
        "without R16DatabaseFirstWhenRefilling",
        'b',
        Leases {
            total: 1,
            cancels: 0,
            openings: 0,
            removed: Some(leases::Removed::R16DatabaseFirstWhenRefilling),
        },
    );
}

#[test]
fn without_r16_transfer_ids_an_accepted_order_is_refused() {
    violates(
        "without R16TransferIds",
        'b',
        Leases {
            total: 1,
            cancels: 0,
            openings: 0,
            removed: Some(leases::Removed::R16TransferIds),
        },
    );
}

#[test]
fn without_r16_debit_before_the_credit_a_unit_is_sold_twice() {
    violates(
        "without R16DebitBeforeCredit",
        'a',
        Slots(Some(slots::Removed::R16DebitBeforeCredit)),
    );
}

#[test]
fn without_r16_ids_kept_by_the_receiver_a_unit_is_sold_twice() {
    violates(
        "without R16ReceiverKeepsIds",
        'a',
        Slots(Some(slots::Removed::R16ReceiverKeepsIds)),
    );
}

#[test]
fn without_r16_double_collect_sold_out_is_said_of_a_unit_on_its_way() {
    violates(
        "without R16DoubleCollect",
        'f',
        Slots(Some(slots::Removed::R16DoubleCollect)),
    );
}

#[test]
fn without_r17_wait_for_the_lease_an_order_id_is_minted_twice() {
    violates(
        "without R17IssuedAfterTheLease",
        'c',
        WorkerIds(Some(worker_ids::Removed::R17IssuedAfterTheLease)),
    );
}

#[test]
fn without_r17_lease_check_when_minting_an_order_id_is_minted_twice() {
    violates(
        "without R17LeaseCheckedWhenMinting",
        'c',
        WorkerIds(Some(worker_ids::Removed::R17LeaseCheckedWhenMinting)),
    );
}

#[test]
fn without_r18_look_at_other_leases_sold_out_is_said_of_an_idle_unit() {
    violates(
        "without R18NothingIdleElsewhere",
        'f',
        Leases {
            total: 1,
            cancels: 0,
            openings: 0,
            removed: Some(leases::Removed::R18NothingIdleElsewhere),
        },
    );
}

#[test]
fn without_r18_silence_of_the_fenced_sold_out_is_said_of_a_returned_unit() {
    violates(
        "without R18FencedSaysUnavailable",
        'f',
        Leases {
            total: 1,
            cancels: 0,
            openings: 0,
            removed: Some(leases::Removed::R18FencedSaysUnavailable),
        },
    );
}

#[test]
fn without_r18_void_rows_before_a_move_a_buyer_is_accepted_twice() {
    violates(
        "without R18VoidBeforeTheMove",
        'b',
        Leases {
            total: 2,
            cancels: 0,
            openings: 0,
            removed: Some(leases::Removed::R18VoidBeforeTheMove),
        },
    );
}
