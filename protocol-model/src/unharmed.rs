//! With all rules in place no search finds a violation. `MODEL_DEPTH=1` searches the same worlds
//! with more faults.

use crate::configs::*;
use crate::configs_of_changes::*;
use crate::leases::Leases;
use crate::model::{Config, Protocol};
use crate::search::holds;
use crate::slots::Slots;
use crate::sweeps::Sweeps;
use crate::worker_ids::WorkerIds;

fn contract_holds(config: Config) {
    let depth = std::env::var("MODEL_DEPTH").ok().map_or(0, |depth| {
        depth.parse().expect("MODEL_DEPTH: a small number")
    });
    let config = deepened(config, depth);
    holds(
        config.name,
        Protocol {
            config,
            removed: None,
        },
    );
}

#[test]
fn the_contract_holds_while_the_engine_is_lost_and_reopened() {
    contract_holds(LOSS);
}

#[test]
fn the_contract_holds_while_publisher_and_reconciler_fail_during_an_opening() {
    contract_holds(LOSS_WITH_DEATHS);
}

#[test]
fn the_contract_holds_while_consumers_lose_their_channels_during_an_opening() {
    contract_holds(LOSS_WITH_CLOSES);
}

#[test]
fn the_contract_holds_for_a_buyer_who_tries_again_in_a_later_epoch() {
    contract_holds(GATE);
}

#[test]
fn the_contract_holds_when_the_engine_is_lost_again_while_it_is_loaded() {
    contract_holds(TWO_LOSSES);
}

#[test]
fn the_contract_holds_while_two_reconcilers_open_epochs() {
    contract_holds(TWO_OPENERS);
}

#[test]
fn the_contract_holds_while_an_orphan_is_voided_and_asked_for_again() {
    contract_holds(ORPHANS);
}

#[test]
fn the_contract_holds_while_messages_return_in_any_order() {
    contract_holds(REDELIVERY);
}

#[test]
fn the_contract_holds_while_reconcilers_die_and_others_go_on() {
    contract_holds(VOIDING_CRASHES);
}

#[test]
fn the_contract_holds_while_publishers_start_and_are_retired() {
    contract_holds(RETIREMENT);
}

#[test]
fn the_contract_holds_around_a_message_that_cannot_be_read() {
    contract_holds(POISON);
}

#[test]
fn the_contract_holds_when_a_queue_is_lost() {
    contract_holds(QUEUE_LOST);
}

#[test]
fn the_contract_holds_while_orders_are_cancelled_around_an_opening() {
    contract_holds(CANCEL);
}

#[test]
fn the_contract_holds_while_the_clock_of_the_database_leaps() {
    contract_holds(CLOCK);
}

#[test]
fn the_contract_holds_when_a_sale_ends_and_its_window_is_moved() {
    contract_holds(END);
}

#[test]
fn the_contract_holds_when_a_sale_ends_whose_engine_was_lost() {
    contract_holds(END_LOST);
}

#[test]
fn the_contract_holds_when_a_window_is_moved_while_its_sale_ends() {
    contract_holds(END_MOVED);
}

#[test]
fn the_contract_holds_when_an_opening_is_overtaken_by_the_end_of_its_sale() {
    contract_holds(END_OVERTAKES);
}

#[test]
fn the_contract_holds_while_an_order_is_cancelled_around_the_end_of_its_sale() {
    contract_holds(END_CANCEL);
}

#[test]
fn the_contract_holds_while_two_instances_change_one_order() {
    contract_holds(COMPETING);
}

#[test]
fn the_contract_holds_for_an_order_that_is_cancelled_as_soon_as_it_is_there() {
    contract_holds(EARLY);
}

#[test]
fn the_contract_holds_while_two_instances_cancel_an_order_during_an_opening() {
    contract_holds(CANCELLED_TWICE);
}

#[test]
fn the_contract_holds_while_two_instances_change_an_order_whose_engine_is_lost() {
    contract_holds(COMPETING_LOST);
}

#[test]
fn the_contract_holds_while_an_order_is_changed_around_the_end_and_a_pause() {
    contract_holds(CHANGED_AT_END);
}

#[test]
fn the_contract_holds_while_two_instances_cancel_an_order_around_the_end() {
    contract_holds(CANCELLED_TWICE_AT_END);
}

#[test]
fn the_contract_holds_while_the_total_is_raised() {
    contract_holds(RAISE);
}

#[test]
fn the_contract_holds_while_the_total_is_cut() {
    contract_holds(REDUCE);
}

#[test]
fn the_contract_holds_while_buyers_are_refused_around_a_cancel() {
    contract_holds(SOLD_OUT);
}

#[test]
fn the_contract_holds_while_operators_deal_with_dead_letters() {
    contract_holds(DEAD_LETTERS);
}

#[test]
fn the_contract_holds_while_operators_deal_with_dead_letters_around_an_opening() {
    contract_holds(DEAD_LETTERS_LATE);
}

#[test]
fn the_contract_holds_for_stock_leased_into_processes() {
    holds(
        "one unit leased into processes",
        Leases {
            total: 1,
            cancels: 0,
            openings: 0,
            removed: None,
        },
    );
    holds(
        "two units leased into processes",
        Leases {
            total: 2,
            cancels: 0,
            openings: 0,
            removed: None,
        },
    );
}

#[test]
fn the_contract_holds_while_orders_of_leased_stock_are_cancelled() {
    for total in [1, 2] {
        holds(
            &format!("orders of {total} leased into processes are cancelled"),
            Leases {
                total,
                cancels: 1,
                openings: 1,
                removed: None,
            },
        );
    }
}

#[test]
fn the_contract_holds_for_units_moving_between_slots() {
    holds("units moving between slots", Slots(None));
}

#[test]
fn the_contract_holds_for_worker_ids() {
    holds("worker ids", WorkerIds(None));
}

#[test]
fn the_contract_holds_for_the_place_of_the_expiry() {
    holds("the place of the expiry", Sweeps(None));
}
