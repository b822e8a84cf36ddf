//! Broken copies of the script, which the conformance suite must catch.

use super::tests::SLOTS;
use super::{SCRIPT, ShardedSlots};
use crate::StockEngine;
use crate::helpers::broken_scripts::{Broken, are_caught};
use std::sync::Arc;

const COPIES: &[Broken] = &[
    (
        "decrement without check",
        "elseif may_sell == 0 or not is_selling or quantity > remaining then",
        "elseif false then",
    ),
    (
        "each slot sells alone",
        "local is_selling = remaining >= threshold",
        "local is_selling = true",
    ),
    ("stranded slots", "if quantity <= 0 then", "if true then"),
    (
        "units lost on the way",
        "'remaining', remaining + quantity)",
        "'remaining', remaining)",
    ),
    (
        "units doubled on the way",
        "'remaining', remaining - quantity, 'transfers'",
        "'transfers'",
    ),
    (
        "a look does not wait for its buyer's request",
        "letters[i], undecided[user] = 'W', true",
        "letters[i] = 'W'",
    ),
    (
        "a look sells",
        "elseif may_sell == 0 and not undecided[user] then
      letters[i] = 'O'
    elseif may_sell == 0 or not is_selling",
        "elseif not is_selling",
    ),
    (
        "no user gate",
        "elseif gates[i] or granted_at[user] then",
        "elseif false then",
    ),
    (
        "no gate within a batch",
        "elseif gates[i] or granted_at[user] then",
        "elseif gates[i] then",
    ),
    (
        "release twice",
        "call('HDEL', GATE, unpack(cleared))",
        "call('PING')",
    ),
    (
        "release twice in a batch",
        "local gate = not cleared[user] and gates[i]",
        "local gate = gates[i]",
    ),
    (
        "release of any order",
        "if gate and sub(gate, 1, 8) == order then",
        "if gate then",
    ),
    (
        "release keeps the hold",
        "if hold and (is_done or not releases[i]) then",
        "if hold and not releases[i] then",
    ),
    (
        "release without units",
        "remaining = remaining + parse('<I4', gate, GATE_QUANTITY_AT)",
        "",
    ),
    (
        "settle twice in a batch",
        "local hold = not closed[order] and holds[i]",
        "local hold = holds[i]",
    ),
    (
        "expired requests sell",
        "elseif now > expires_at_ms then",
        "elseif false then",
    ),
    (
        "marked holds are handed out",
        "not is_marked(hold) and touched(",
        "touched(",
    ),
    (
        "marked without age",
        "not is_marked(hold) and now - parse",
        "not is_marked(hold) and 1e15 - parse",
    ),
    (
        "listed without age",
        "if now - parse('<d', entries[i + 1], HOLD_TOUCHED_AT) >=",
        "if 1e15 >=",
    ),
    (
        "a touch keeps the old time",
        "pack('<d', now) .. sub(hold, HOLD_MARKED_AT)",
        "sub(hold, HOLD_TOUCHED_AT)",
    ),
    (
        "a touch forgets who",
        "sub(hold, HOLD_MARKED_AT) .. incarnation",
        "sub(hold, HOLD_MARKED_AT)",
    ),
    (
        "a replaced epoch sells",
        "if epoch ~= EPOCH or nonce ~= NONCE or",
        "if",
    ),
    (
        "a stale nonce sells",
        "if epoch ~= EPOCH or nonce ~= NONCE or",
        "if epoch ~= EPOCH or",
    ),
    (
        "buyers are not loaded",
        "call('HSET', GATE, unpack(fields))",
        "call('PING')",
    ),
];

/// Shows only where both buyers live in the same slot.
const COPIES_WITH_ONE_SLOT: &[Broken] = &[(
    "marked under another's name",
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
