//! Broken copies of the script, which the conformance suite must catch.

use super::tests::SLOTS;
use super::{SCRIPT, ShardedSlots};
use crate::StockEngine;
use crate::helpers::broken_scripts::{Broken, are_caught};
use std::sync::Arc;

const COPIES: &[Broken] = &[
    (
        "decrement without check",
        "the_last_units_are_not_oversold",
        "elseif may_sell == 0 or not is_selling or quantity > remaining then",
        "elseif false then",
    ),
    (
        "each slot sells alone",
        "a_batch_answers_as_the_same_requests_one_by_one",
        "local is_selling = remaining >= threshold",
        "local is_selling = true",
    ),
    (
        "stranded slots",
        "the_last_units_are_not_oversold",
        "if quantity <= 0 then",
        "if true then",
    ),
    (
        "units lost on the way",
        "the_count_is_exact_under_concurrent_tasks",
        "'remaining', remaining + quantity)",
        "'remaining', remaining)",
    ),
    (
        "units doubled on the way",
        "the_last_units_are_not_oversold",
        "'remaining', remaining - quantity, 'transfers'",
        "'transfers'",
    ),
    (
        "a look does not wait for its buyer's request",
        "a_request_that_may_not_sell_only_looks",
        "letters[i], undecided[user] = 'W', true",
        "letters[i] = 'W'",
    ),
    (
        "a look sells",
        "a_request_that_may_not_sell_only_looks",
        "elseif may_sell == 0 and not undecided[user] then
      letters[i] = 'O'
    elseif may_sell == 0 or not is_selling",
        "elseif not is_selling",
    ),
    (
        "no user gate",
        "a_user_has_one_live_hold_under_concurrent_retries",
        "elseif gates[i] or granted_at[user] then",
        "elseif false then",
    ),
    (
        "no gate within a batch",
        "a_batch_answers_as_the_same_requests_one_by_one",
        "elseif gates[i] or granted_at[user] then",
        "elseif gates[i] then",
    ),
    (
        "release twice",
        "a_release_gives_the_units_back_exactly_once",
        "call('HDEL', GATE, unpack(cleared))",
        "call('PING')",
    ),
    (
        "release twice in a batch",
        "a_batch_finishes_as_one_by_one",
        "local gate = not cleared[user] and gates[i]",
        "local gate = gates[i]",
    ),
    (
        "release of any order",
        "a_release_clears_only_the_gate_of_its_own_order",
        "if gate and sub(gate, 1, 8) == order then",
        "if gate then",
    ),
    (
        "release keeps the hold",
        "a_release_gives_the_units_back_exactly_once",
        "if hold and (is_done or not releases[i]) then",
        "if hold and not releases[i] then",
    ),
    (
        "release without units",
        "a_release_gives_the_units_back_exactly_once",
        "remaining = remaining + parse('<I4', gate, GATE_QUANTITY_AT)",
        "",
    ),
    (
        "settle twice in a batch",
        "a_batch_finishes_as_one_by_one",
        "local hold = not closed[order] and holds[i]",
        "local hold = holds[i]",
    ),
    (
        "expired requests sell",
        "an_expired_request_sells_nothing",
        "elseif now > expires_at_ms then",
        "elseif false then",
    ),
    (
        "marked holds are handed out",
        "a_marked_hold_answers_busy_and_is_not_touched",
        "not is_marked(hold) and touched(",
        "touched(",
    ),
    (
        "marked without age",
        "only_holds_that_are_old_enough_are_marked",
        "not is_marked(hold) and now - parse",
        "not is_marked(hold) and 1e15 - parse",
    ),
    (
        "listed without age",
        "listing_pages_through_every_open_hold",
        "if now - parse('<d', entries[i + 1], HOLD_TOUCHED_AT) >=",
        "if 1e15 >=",
    ),
    (
        "a touch keeps the old time",
        "a_retry_gets_the_same_order_id_and_touches_the_hold",
        "pack('<d', now) .. sub(hold, HOLD_MARKED_AT)",
        "sub(hold, HOLD_TOUCHED_AT)",
    ),
    (
        "a touch forgets who",
        "a_retry_gets_the_same_order_id_and_touches_the_hold",
        "sub(hold, HOLD_MARKED_AT) .. incarnation",
        "sub(hold, HOLD_MARKED_AT)",
    ),
    (
        "a replaced epoch sells",
        "a_newer_epoch_replaces_the_older",
        "if epoch ~= EPOCH or nonce ~= NONCE or",
        "if",
    ),
    (
        "a stale nonce sells",
        "another_term_is_not_open",
        "if epoch ~= EPOCH or nonce ~= NONCE or",
        "if epoch ~= EPOCH or",
    ),
    (
        "buyers are not loaded",
        "exactly_the_grant_is_sold_and_loaded_buyers_are_settled_duplicates",
        "call('HSET', GATE, unpack(fields))",
        "call('PING')",
    ),
];

/// Shows only where both buyers live in the same slot.
const COPIES_WITH_ONE_SLOT: &[Broken] = &[(
    "marked under another's name",
    "only_holds_that_are_old_enough_are_marked",
    "if hold and sub(hold, 1, 8) ~= user then",
    "if false then",
)];

#[tokio::test]
async fn broken_copies_of_the_script_are_caught_by_the_conformance_suite() {
    are_caught(SCRIPT, COPIES, |url, script| {
        Box::pin(async move {
            let prefix = "test:".to_owned();
            let engine = ShardedSlots::connect(&url, SLOTS, &script, prefix).await?;
            Ok(Arc::new(engine) as Arc<dyn StockEngine>)
        })
    })
    .await;
    are_caught(SCRIPT, COPIES_WITH_ONE_SLOT, |url, script| {
        Box::pin(async move {
            let prefix = "test:".to_owned();
            let engine = ShardedSlots::connect(&url, 1, &script, prefix).await?;
            Ok(Arc::new(engine) as Arc<dyn StockEngine>)
        })
    })
    .await;
}
