//! The protocol as a model, searched completely in small worlds: reserve, publish, confirm,
//! consume, settle, cancel, release, void, fence, drain, epochs; leases, slots and worker ids in
//! three smaller models. Anything may crash between two steps; messages come late, twice and in
//! another order. `unharmed` finds no violation of the invariants (a) to (f), `mutants` finds one
//! for every part of every rule that is taken out. States are counted on stderr; `MODEL_DEPTH=1`
//! searches with more faults. What the model cannot express is held by other tests:
//!
//! | rule | what the model takes for granted | test |
//! |---|---|---|
//! | bind-then-recheck (R2) | the client library re-creates no binding by itself | tidy `the_broker_client_recovers_no_topology_by_itself` |
//! | drain-in-one-session (R5) | in which order a real broker returns messages | `a_second_consumer_takes_over_where_a_killed_one_stopped` |
//! | exclusive-route (R6) | one queue per key, no TTL, no delivery limit, overflow rejects | `a_full_order_queue_means_come_back_later_and_loses_nothing` |
//! | exclusive-route (R6) | "drained" is stored before the queue goes | `a_queue_goes_only_after_drained_is_stored_and_one_left_over_goes_with_the_next_pass` |
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
//! | batches | the guard refuses a whole batch, each order is tried alone | as parked-is-final (R10) |

#[path = "protocol_model/buyers.rs"]
mod buyers;
#[path = "protocol_model/configs.rs"]
mod configs;
#[path = "protocol_model/consumers.rs"]
mod consumers;
#[path = "protocol_model/engine.rs"]
mod engine;
#[path = "protocol_model/invariants.rs"]
mod invariants;
#[path = "protocol_model/lease_steps.rs"]
mod lease_steps;
#[path = "protocol_model/leases.rs"]
mod leases;
#[path = "protocol_model/model.rs"]
mod model;
#[path = "protocol_model/mutants.rs"]
mod mutants;
#[path = "protocol_model/openings.rs"]
mod openings;
#[path = "protocol_model/publishers.rs"]
mod publishers;
#[path = "protocol_model/repairs.rs"]
mod repairs;
#[path = "protocol_model/rules.rs"]
mod rules;
#[path = "protocol_model/search.rs"]
mod search;
#[path = "protocol_model/slots.rs"]
mod slots;
#[path = "protocol_model/unharmed.rs"]
mod unharmed;
#[path = "protocol_model/worker_ids.rs"]
mod worker_ids;
#[path = "protocol_model/world.rs"]
mod world;
