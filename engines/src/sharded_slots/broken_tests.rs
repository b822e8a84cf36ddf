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
        "a touch forgets who",
        "sub(hold, HOLD_MARKED_AT) .. incarnation",
        "sub(hold, HOLD_MARKED_AT)",
    ),
    (
        "a replaced epoch sells",
        "if epoch ~= EPOCH or nonce ~= NONCE then",
        "if not epoch then",
    ),
    (
        "buyers are not loaded",
        "call('HSET', GATE, unpack(fields))",
        "call('PING')",
    ),
];

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
}
