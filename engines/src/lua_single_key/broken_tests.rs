//! Broken copies of the script, which the conformance suite must catch.

use super::{LuaSingleKey, SCRIPT};
use crate::StockEngine;
use crate::helpers::broken_scripts::{Broken, are_caught};
use std::sync::Arc;

const COPIES: &[Broken] = &[
    (
        "decrement without check",
        "elseif quantity > remaining then",
        "elseif false then",
    ),
    (
        "a look sells",
        "elseif may_sell == 0 then",
        "elseif false then",
    ),
    (
        "marked under another's name",
        "if hold and sub(hold, 1, 8) ~= user then",
        "if false then",
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
        "opening again resets",
        "elseif epoch == EPOCH and state == 'open' and script == SCRIPT and lives == here then",
        "elseif false then",
    ),
    (
        "an older epoch opens",
        "tonumber(epoch) > tonumber(EPOCH)",
        "false",
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

#[tokio::test]
async fn broken_copies_of_the_script_are_caught_by_the_conformance_suite() {
    are_caught(SCRIPT, COPIES, |url, script| {
        Box::pin(async move {
            let engine = LuaSingleKey::connect(&url, &script, "test:".to_owned())?;
            Ok(Arc::new(engine) as Arc<dyn StockEngine>)
        })
    })
    .await;
}
