//! What is broken in which copy of an engine.

/// One copy of an engine that breaks its contract.
#[derive(Clone, Copy, Debug)]
pub struct Broken {
    /// The engine's file in `engines/src`, without its ending.
    pub engine: &'static str,
    /// The copy's name, unique within its engine.
    pub name: &'static str,
    /// What it does that the engine must not.
    pub what: &'static str,
    /// The check of the conformance suite that must notice it.
    pub caught_by: &'static str,
    /// Whether it shows only on a server.
    pub needs_server: bool,
    /// A text that the engine's sources have exactly once.
    pub sound: &'static str,
    /// What stands there in the copy.
    pub broken: &'static str,
}

/// Engines of which there are copies.
pub const ENGINES: &[&str] = &["database_row", "preallocated", "sharded_slots"];

/// All copies.
pub const LIST: &[Broken] = &[
    Broken {
        engine: "database_row",
        name: "locks_nothing",
        what: "reads the stock row without locking it: tests and marks, counts and writes are no longer one step",
        caught_by: "the_count_is_exact_under_concurrent_tasks",
        needs_server: true,
        sound: "let for_update = connection.for_update();",
        broken: "let for_update = \"\";",
    },
    Broken {
        engine: "database_row",
        name: "sells_without_check",
        what: "takes units without looking whether there are enough",
        caught_by: "the_last_units_are_not_oversold",
        needs_server: false,
        sound: "if units > stock.remaining {",
        broken: "if false {",
    },
    Broken {
        engine: "database_row",
        name: "sells_to_the_late",
        what: "sells to those who came too late",
        caught_by: "an_expired_request_sells_nothing",
        needs_server: false,
        sound: "if stock.now_ms > item.expires_at_ms {",
        broken: "if false {",
    },
    Broken {
        engine: "database_row",
        name: "no_user_gate",
        what: "grants a buyer a second order",
        caught_by: "a_user_has_one_live_hold_under_concurrent_retries",
        needs_server: false,
        sound: "if let Some(gate) = gates.get_mut(&item.user) {",
        broken: "if let Some(gate) = gates.get_mut(&item.user).filter(|_| false) {",
    },
    Broken {
        engine: "database_row",
        name: "touches_the_marked",
        what: "touches a hold that is being voided",
        caught_by: "a_marked_hold_answers_busy_and_is_not_touched",
        needs_server: false,
        sound: "gate.is_open && (gate.is_marked || !gate.touch(",
        broken: "gate.is_open && (!gate.touch(",
    },
    Broken {
        engine: "database_row",
        name: "forgets_who_touched",
        what: "does not remember who touched a hold",
        caught_by: "a_retry_gets_the_same_order_id_and_touches_the_hold",
        needs_server: false,
        sound: "if !is_known {",
        broken: "if false {",
    },
    Broken {
        engine: "database_row",
        name: "releases_twice",
        what: "gives the units of a released order back, but keeps its gate",
        caught_by: "a_release_gives_the_units_back_exactly_once",
        needs_server: false,
        sound: "gate.clear();",
        broken: "gate.settle();",
    },
    Broken {
        engine: "database_row",
        name: "releases_any_order",
        what: "releases whatever order the buyer has",
        caught_by: "a_release_clears_only_the_gate_of_its_own_order",
        needs_server: false,
        sound: "gate.order == item.order && !gate.is_cleared()",
        broken: "!gate.is_cleared()",
    },
    Broken {
        engine: "database_row",
        name: "settles_into_stock",
        what: "gives units back when an order is settled",
        caught_by: "settling_keeps_the_gate_and_moves_no_units",
        needs_server: false,
        sound: "FinishKind::Settle => gate.settle(),",
        broken: "FinishKind::Settle => {
            stock.remaining += units;
            gate.settle();
        }",
    },
    Broken {
        engine: "database_row",
        name: "marks_the_young",
        what: "marks holds whatever their age",
        caught_by: "only_holds_that_are_old_enough_are_marked",
        needs_server: false,
        sound: "gate.age_ms(now_ms) >= millis(age)",
        broken: "true",
    },
    Broken {
        engine: "database_row",
        name: "opens_the_same_again",
        what: "loads the same term again",
        caught_by: "opening_the_same_term_again_changes_nothing",
        needs_server: false,
        sound: "            if stock.is(term) {
                return Ok(Opened::AlreadyOpen);
            }
            if stock.epoch >= ",
        broken: "            if !stock.is(term) && stock.epoch >= ",
    },
    Broken {
        engine: "database_row",
        name: "opens_the_older",
        what: "loads an epoch that is not newer",
        caught_by: "an_epoch_that_is_not_newer_is_stale",
        needs_server: false,
        sound: "if stock.epoch >= i64::from(term.epoch.0) {",
        broken: "if false {",
    },
    Broken {
        engine: "database_row",
        name: "sells_under_any_nonce",
        what: "sells under any nonce",
        caught_by: "another_term_is_not_open",
        needs_server: false,
        sound: "self.nonce == term.nonce.0.cast_signed()",
        broken: "true",
    },
    Broken {
        engine: "database_row",
        name: "loads_no_buyers",
        what: "opens without those who have bought already",
        caught_by: "exactly_the_grant_is_sold_and_loaded_buyers_are_settled_duplicates",
        needs_server: false,
        sound: "gate::replace_all(&mut connection, term.sale, &opening.buyers)",
        broken: "gate::replace_all(&mut connection, term.sale, &[])",
    },
    Broken {
        engine: "preallocated",
        name: "sells_without_check",
        what: "takes units without looking whether there are enough",
        caught_by: "the_last_units_are_not_oversold",
        needs_server: false,
        sound: "item.may_sell && self.stock.take(u64::from(item.quantity))",
        broken: "item.may_sell && {
            self.stock.take_up_to(u64::from(item.quantity));
            true
        }",
    },
    Broken {
        engine: "preallocated",
        name: "releases_twice",
        what: "gives the units of a released hold back twice",
        caught_by: "a_release_gives_the_units_back_exactly_once",
        needs_server: false,
        sound: "self.released().push((item.order.0, open.quantity));",
        broken: "self.released().extend([(item.order.0, open.quantity); 2]);",
    },
    Broken {
        engine: "preallocated",
        name: "no_user_gate",
        what: "grants a buyer a second order",
        caught_by: "a_user_has_one_live_hold_under_concurrent_retries",
        needs_server: false,
        sound: "Answer::Granted => Verdict::Granted { allocation },",
        broken: "Answer::Granted => Verdict::Granted { allocation },
            Answer::Known { .. } if take() => Verdict::Granted { allocation },",
    },
    Broken {
        engine: "preallocated",
        name: "sells_to_anybody",
        what: "sells to buyers of other processes",
        caught_by: "a_user_of_another_instance_is_told_so",
        needs_server: false,
        sound: "        self.owned[part]\n",
        broken: "        true\n",
    },
    Broken {
        engine: "preallocated",
        name: "finishes_for_others",
        what: "says of orders of other processes' buyers that they are finished already",
        caught_by: "only_the_owner_of_a_user_finishes_their_orders",
        needs_server: false,
        sound: "return Finished::WrongInstance;",
        broken: "return Finished::AlreadyDone;",
    },
    Broken {
        engine: "preallocated",
        name: "deaf_to_wants",
        what: "never answers the want of a process that starves",
        caught_by: "a_starving_instance_gets_the_idle_units_of_the_other",
        needs_server: false,
        sound: "if elsewhere.wanted == 0 {",
        broken: "if true {",
    },
    Broken {
        engine: "preallocated",
        name: "ignores_others",
        what: "says sold out without counting what others have idle",
        caught_by: "a_starving_instance_gets_the_idle_units_of_the_other",
        needs_server: false,
        sound: "units > self.elsewhere.pooled + self.elsewhere.others + self.here_at_most",
        broken: "units > self.elsewhere.pooled + self.here_at_most",
    },
    Broken {
        engine: "preallocated",
        name: "refills_memory_first",
        what: "puts units into memory before the database has granted them",
        caught_by: "the_count_is_exact_under_concurrent_tasks",
        needs_server: false,
        sound: "            *under_way = Some(Transfer::In(taken));
        };",
        broken: "            *under_way = Some(Transfer::In(0));
        };
        self.stock.put(units);",
    },
    Broken {
        engine: "preallocated",
        name: "keeps_its_units",
        what: "keeps what it has when it stops",
        caught_by: "what_is_handed_back_can_be_sold_by_others",
        needs_server: false,
        sound: "if !self.owns_partitions() {",
        broken: "if true {",
    },
    Broken {
        engine: "preallocated",
        name: "forgets_cancels",
        what: "gives a cancelled order's units back that the cancel has moved already",
        caught_by: "settle_and_release_commute",
        needs_server: false,
        sound: "!counted.contains(order)",
        broken: "true",
    },
    Broken {
        engine: "sharded_slots",
        name: "sells_each_slot_alone",
        what: "lets each slot sell without knowing whether all of the batch can be served",
        caught_by: "a_batch_answers_as_the_same_requests_one_by_one",
        needs_server: false,
        sound: "let everything = batch.units_wanted();",
        broken: "let everything = 0;",
    },
    Broken {
        engine: "sharded_slots",
        name: "strands_units",
        what: "leaves units where they are when another slot needs them",
        caught_by: "the_last_units_are_not_oversold",
        needs_server: false,
        sound: "plan.moves = moves(&plan.needs, now);",
        broken: "",
    },
    Broken {
        engine: "sharded_slots",
        name: "mixes_up_answers",
        what: "gives the requests of a slot one another's answers",
        caught_by: "exactly_the_grant_is_sold_and_loaded_buyers_are_settled_duplicates",
        needs_server: false,
        sound: ".into_iter().zip(answers) {",
        broken: ".into_iter().rev().zip(answers) {",
    },
    Broken {
        engine: "sharded_slots",
        name: "plans_no_needs",
        what: "does not say how many units a slot must have for what is granted there",
        caught_by: "the_last_units_are_not_oversold",
        needs_server: false,
        sound: "plan.needs[request.slot] += request.quantity;",
        broken: "",
    },
    Broken {
        engine: "sharded_slots",
        name: "tells_a_wrong_rest",
        what: "says that nothing is left when something is",
        caught_by: "random_calls_answer_like_the_model",
        needs_server: false,
        sound: "plan.refused.push((position, least));",
        broken: "plan.refused.push((position, 0));",
    },
    Broken {
        engine: "sharded_slots",
        name: "forgets_its_looks",
        what: "does not remember what it saw, so that nothing can ever be called sold out",
        caught_by: "exactly_the_grant_is_sold_and_loaded_buyers_are_settled_duplicates",
        needs_server: false,
        sound: "batch.slots.remember_states(Arc::clone(&states));",
        broken: "",
    },
];
