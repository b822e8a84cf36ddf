//! The protocol as a model, searched completely in small worlds: reserve, publish, confirm,
//! consume, settle, cancel, release, void, fence, drain, epochs, the window and the end of a sale;
//! leases, slots and worker ids in three smaller models. Anything may crash between two steps; messages come late, twice and in
//! another order. `unharmed` finds no violation of the invariants (a) to (f), `mutants` finds one
//! for every part of every rule that is taken out. States are counted on stderr; `MODEL_DEPTH=1`
//! searches with more faults. What the model cannot express is held by other tests:
//!
//! | rule | what the model takes for granted | test |
//! |---|---|---|
//! | fence-wait (R1) | a clock that is set back: the dead are fenced all the same | `a_database_clock_that_is_set_back_keeps_nobody_waiting_for_a_killed_service` |
//! | bind-then-recheck (R2) | the client library re-creates no binding by itself | tidy `the_broker_client_recovers_no_topology_by_itself` |
//! | drain-in-one-session (R5) | in which order a real broker returns messages | `a_second_consumer_takes_over_where_a_killed_one_stopped` |
//! | exclusive-route (R6) | one queue per key, no TTL, no delivery limit, overflow rejects | `a_full_order_queue_means_come_back_later_and_loses_nothing` |
//! | exclusive-route (R6) | "drained" is stored before the queue goes | `a_queue_goes_only_after_drained_is_stored_and_one_left_over_goes_with_the_next_pass` |
//! | exclusive-route (R6) | after a returned publish a publisher takes another identity (here it says "unavailable" and goes on, which is more) | `with_the_own_queue_gone_and_others_bound_nobody_is_told_yes_and_the_sale_goes_on_under_a_new_incarnation` |
//! | exclusive-route (R6) | gone, or its node is down | `a_queue_whose_node_is_down_keeps_only_those_sales_waiting_that_need_it` |
//! | deadline-before-reserve (R7) | an expired item is refused by the engine's clock | conformance `an_expired_request_sells_nothing` |
//! | deadline-before-reserve (R7) | grace above deadline in the configuration | `a_grace_period_within_the_publish_deadline_is_refused` |
//! | deadline-before-reserve (R7) | a jump of the engine's clock makes no orphan | `a_hold_that_a_jumping_clock_made_old_is_no_orphan` |
//! | parked-is-final (R10) | parked and VOID are written in one transaction | `an_order_beyond_the_allocation_is_parked_and_void_and_does_not_take_its_batch_along` |
//! | grant-under-lock (R11) | the read of the live rows is a locking one | `an_epoch_is_granted_only_after_a_write_under_way_and_counts_it` |
//! | release-by-epoch (R12) | a release under an old term does nothing | conformance `nothing_is_finished_under_another_term` |
//! | lost-server-noticed (R13) | a restarted server has forgotten its scripts | `a_restarted_redis_is_another_server_with_and_without_its_data` |
//! | units-in-one-place (R16) | more than two slots, quantities above 1 | conformance of `sharded-slots?slots=16`, and its transfers interrupted at each step |
//! | worker-id-outlives-lease (R17) | the clock steps back, ids above all that were minted | `a_new_holder_of_a_worker_id_starts_above_everything_the_old_one_minted` |
//! | sold-out-means-gone (R18) | quantities above 1 against what is left | conformance `the_last_units_are_not_oversold` |
//! | sold-out-means-gone (R18) | units held for nobody while no lane is free | `while_the_last_units_are_held_for_nobody_they_are_not_called_sold_out` |
//! | the end | all publishers see the window end at one moment; a slow clock is covered by the second wait and drain | `a_hundred_sales_that_ended_leave_a_note_each_and_cost_nothing` |
//! | the end | where processes keep their own holds they are fenced and drained first | `a_reconciler_that_dies_while_a_sale_ends_is_followed_by_one_that_ends_it` |
//! | the end | without the note a late opening cannot be announced (open-by-condition, R14); it only stays in the engine for ever | conformance `an_opening_of_a_retired_epoch_or_an_older_one_is_stale` |
//! | batches | the guard refuses a whole batch, each order is tried alone | as parked-is-final (R10) |

#![cfg(test)]

mod changes;
mod configs;
mod configs_of_changes;
mod consumers;
mod dead_letters;
mod endings;
mod engine;
mod hands;
mod invariants;
mod lease_cancels;
mod lease_steps;
mod leases;
mod messages;
mod model;
mod mutants;
mod mutants_of_changes;
mod openings;
mod publishers;
mod reached;
mod releases;
mod repairs;
mod rules;
mod search;
mod slots;
mod stock;
mod sweeps;
mod unharmed;
mod worker_ids;
mod world;
