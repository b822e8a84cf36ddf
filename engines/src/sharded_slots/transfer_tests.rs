//! Transfers survive an interruption at every step: units-in-one-place (R16).

use super::tests::{GRANTED, RedisServer, engine, opening, request, term};
use super::transfers::{Move, carry_out, clear, credit, debit};
use super::{SCRIPT, ShardedSlots};
use crate::helpers::broken_scripts::broken;
use crate::{Reserve, StockEngine, Tending, Upkeep};

async fn remaining(engine: &ShardedSlots) -> i64 {
    engine.stock(&term(1)).await.unwrap().remaining
}

/// Interrupts a transfer after each of its steps, finishes it from another client, repeats all of
/// its steps late, and sells everything.
async fn a_transfer_survives(script: &str, steps: usize) -> std::result::Result<(), String> {
    let Some(server) = RedisServer::start().await else {
        return Err("no server".to_owned());
    };
    let first = engine(&server, script).await;
    first.open(&opening(1)).await.unwrap();
    let slots = first.open_slots(&term(1)).await.unwrap().unwrap();
    let wanted = Move {
        source: 0,
        target: 1,
        quantity: 4,
    };
    let transfer = debit(&slots, &first.link, wanted).await.unwrap().unwrap();
    if steps > 1 {
        credit(&slots, &first.link, 0, transfer).await.unwrap();
    }
    if steps > 2 {
        clear(&slots, &first.link, 0, transfer).await.unwrap();
    }
    drop(first);

    let second = engine(&server, script).await;
    let same = |left: i64, right: i64, what: &str| {
        if left == right {
            Ok(())
        } else {
            Err(format!("{what}: {left}"))
        }
    };
    same(
        remaining(&second).await,
        GRANTED as i64,
        "units while a transfer is interrupted",
    )?;
    let slots = second.open_slots(&term(1)).await.unwrap().unwrap();
    if steps < 3 {
        let again = debit(&slots, &second.link, wanted).await.unwrap().unwrap();
        same(
            again.number,
            transfer.number,
            "the transfer that is under way",
        )?;
    }
    let tended = second
        .tend(&Tending {
            term: term(1),
            publisher: None,
        })
        .await
        .unwrap();
    same(
        tended as i64,
        i64::from(steps < 3),
        "transfers that were finished",
    )?;
    for _ in 0..2 {
        let was_late = credit(&slots, &second.link, 0, transfer).await.unwrap() == Some(false);
        same(i64::from(was_late), 1, "a late duplicate credit is ignored")?;
        clear(&slots, &second.link, 0, transfer).await.unwrap();
    }
    carry_out(
        &slots,
        &second.link,
        &[Move {
            quantity: 2,
            ..wanted
        }],
    )
    .await
    .unwrap();
    same(
        remaining(&second).await,
        GRANTED as i64,
        "units after late repetitions and one transfer more",
    )?;
    let states = slots.states_of_all(&second.link).await.unwrap().unwrap();
    let held: Vec<u64> = states.iter().map(|state| state.remaining).collect();
    if held != [4, 16, 10] {
        return Err(format!("units in the slots: {held:?}"));
    }
    let batch: Vec<Reserve> = (1..=20).map(|user| request(user, 2)).collect();
    let verdicts = second.reserve(&term(1), &batch).await;
    let sold = verdicts
        .iter()
        .filter(|verdict| matches!(verdict, Ok(verdict) if verdict.is_granted()))
        .count();
    same(sold as i64 * 2, GRANTED as i64, "units sold")
}

#[tokio::test]
async fn a_transfer_interrupted_at_any_step_loses_and_doubles_nothing() {
    if RedisServer::start().await.is_none() {
        return;
    }
    for steps in 1..=3 {
        a_transfer_survives(SCRIPT, steps)
            .await
            .unwrap_or_else(|why| panic!("after {steps} steps: {why}"));
    }
}

#[tokio::test]
async fn broken_transfers_are_caught() {
    if RedisServer::start().await.is_none() {
        return;
    }
    for (what, healthy, becomes) in [
        (
            "credit without id check",
            "if number <= tonumber(call('HGET', META, 'in:' .. source) or 0) then",
            "if false then",
        ),
        (
            "the id is forgotten",
            "'in:' .. source, number, 'remaining'",
            "'in:' .. source, 0, 'remaining'",
        ),
        (
            "a second transfer beside the first",
            "  if at then\n    return { number, quantity }",
            "  if false then",
        ),
        (
            "a debit without a record",
            ", 'transfers', transfers .. pack(TRANSFER, target, number, quantity))",
            ")",
        ),
        ("never cleared", "if known ~= number then", "if true then"),
    ] {
        let script = broken(SCRIPT, healthy, becomes);
        let mut caught = Vec::new();
        for steps in 1..=3 {
            caught.extend(a_transfer_survives(&script, steps).await.err());
        }
        assert!(!caught.is_empty(), "{what}: not caught");
        eprintln!("{what}: caught by {:?}", caught[0]);
    }
}
