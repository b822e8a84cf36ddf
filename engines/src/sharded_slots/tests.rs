//! What only this engine promises: transfers that survive an interruption at every step, homes that
//! never change, and broken copies of the script that must be caught.

use super::transfers::{Move, carry_out, clear, credit, debit};
use super::*;
use crate::conformance::{self, Harness, Subject};
use crate::{Epoch, IncarnationId, Nonce, OrderId, SaleId, UserId};
pub(super) use servers::RedisServer;

/// Few enough for their transfers to meet.
const SLOTS: usize = 3;
const GRANTED: u64 = 30;

pub(super) async fn engine(server: &RedisServer, script: &str) -> Arc<ShardedSlots> {
    Arc::new(
        ShardedSlots::connect(&server.url(), SLOTS, script, "test:".to_owned())
            .await
            .unwrap(),
    )
}

pub(super) fn term(epoch: u32) -> Term {
    Term {
        sale: SaleId(1),
        epoch: Epoch(epoch),
        nonce: Nonce(u64::from(epoch) * 11),
    }
}

pub(super) fn opening(epoch: u32) -> Opening {
    Opening {
        term: term(epoch),
        granted: GRANTED,
        buyers: Vec::new(),
        publishers: Vec::new(),
    }
}

pub(super) fn request(user: i64, quantity: u32) -> Reserve {
    let incarnation = IncarnationId(1);
    Reserve {
        user: UserId(user),
        order: OrderId(user * 10),
        quantity,
        expires_at_ms: i64::MAX,
        incarnation,
        may_sell: true,
    }
}

async fn remaining(engine: &ShardedSlots) -> i64 {
    engine.stock(&term(1)).await.unwrap().remaining
}

struct Mutant {
    server: RedisServer,
    script: String,
}

#[async_trait::async_trait]
impl Subject for Mutant {
    async fn connect(&self) -> Result<Arc<dyn StockEngine>> {
        Ok(engine(&self.server, &self.script).await)
    }
}

/// Each line: what is broken, the text of the script, and what it becomes.
const MUTANTS: &[(&str, &str, &str)] = &[
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

fn broken(healthy: &str, becomes: &str) -> String {
    assert_eq!(
        SCRIPT.matches(healthy).count(),
        1,
        "the script does not have {healthy:?} exactly once"
    );
    SCRIPT.replace(healthy, becomes)
}

#[tokio::test]
async fn broken_copies_of_the_script_are_caught_by_the_conformance_suite() {
    for (what, healthy, becomes) in MUTANTS {
        let Some(server) = RedisServer::start().await else {
            return;
        };
        let harness = Harness::new(Mutant {
            server,
            script: broken(healthy, becomes),
        });
        let caught = conformance::first_failure(&harness).await.unwrap();
        let (check, how) =
            caught.unwrap_or_else(|| panic!("{what}: not caught; {}", harness.seed_line()));
        assert_ne!(
            check.name, "a_lost_server_is_noticed_and_a_new_epoch_goes_on",
            "{what}: caught for no reason"
        );
        eprintln!(
            "{what}: caught by {} ({})",
            check.name,
            how.lines().next().unwrap_or_default()
        );
    }
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
        let script = broken(healthy, becomes);
        let mut caught = Vec::new();
        for steps in 1..=3 {
            caught.extend(a_transfer_survives(&script, steps).await.err());
        }
        assert!(!caught.is_empty(), "{what}: not caught");
        eprintln!("{what}: caught by {:?}", caught[0]);
    }
}

#[test]
fn homes_are_spread_evenly_and_never_change() {
    let slots = Slots::new("", &term(1), 16, SCRIPT);
    let mut users = [0; 16];
    for user in 0..16_000 {
        users[slots.home(UserId(user))] += 1;
    }
    assert!(
        users.iter().all(|count| (900..1_100).contains(count)),
        "{users:?}"
    );
    let homes: Vec<usize> = [0, 1, 2, 1_000_000, -1, i64::MAX]
        .map(|user| slots.home(UserId(user)))
        .to_vec();
    assert_eq!(
        homes,
        [15, 1, 14, 7, 0, 7],
        "homes are where the data is: another hash loses every gate"
    );
}

#[tokio::test]
async fn a_slot_sells_nothing_before_the_last_one_is_open() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let opener = engine(&server, SCRIPT).await;
    let slots = opener.slots(&term(1));
    assert_eq!(opener.begin(&term(1), &slots, "one").await.unwrap(), None);
    opener.load_script(&term(1)).await.unwrap();
    for slot in 0..SLOTS {
        opener.fill(&slots, slot, "one", &[], 10).await.unwrap();
    }
    let customer = engine(&server, SCRIPT).await;
    for slot in 0..SLOTS {
        for user in 1..=8 {
            assert_eq!(
                *customer.reserve(&term(1), &[request(user, 1)]).await[0]
                    .as_ref()
                    .unwrap(),
                Verdict::NotOpen
            );
        }
        assert!(!customer.stock(&term(1)).await.unwrap().is_open);
        // Another attempt at this term is refused at every point: it takes a new epoch (R13).
        assert_eq!(
            customer.open(&opening(1)).await.unwrap(),
            Opened::Stale { newest: Epoch(1) }
        );
        opener
            .step(&slots, slot, "opening", "one", "open", [])
            .await
            .unwrap();
    }
    assert_eq!(
        *customer.reserve(&term(1), &[request(1, 1)]).await[0]
            .as_ref()
            .unwrap(),
        Verdict::GRANTED
    );
    assert_eq!(
        customer.open(&opening(1)).await.unwrap(),
        Opened::AlreadyOpen
    );
}

#[tokio::test]
async fn fewer_slots_in_a_new_epoch_retire_the_others() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let old = engine(&server, SCRIPT).await;
    old.open(&opening(1)).await.unwrap();
    assert_eq!(
        *old.reserve(&term(1), &[request(1, 1)]).await[0]
            .as_ref()
            .unwrap(),
        Verdict::GRANTED
    );
    let new = ShardedSlots::connect(&server.url(), 1, SCRIPT, "test:".to_owned())
        .await
        .unwrap();
    assert_eq!(new.open(&opening(2)).await.unwrap(), Opened::Opened);
    for user in 10..40 {
        let verdict = old
            .reserve(&term(1), &[request(user, 1)])
            .await
            .remove(0)
            .unwrap();
        assert_eq!(
            verdict,
            Verdict::NotOpen,
            "user {user} in slot {}",
            old.slots(&term(1)).home(UserId(user))
        );
    }
    assert_eq!(new.stock(&term(2)).await.unwrap().remaining, GRANTED as i64);
}

#[tokio::test]
async fn a_quantity_of_nothing_and_a_stock_beyond_counting_are_refused() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let engine = engine(&server, SCRIPT).await;
    let too_much = Opening {
        granted: (1 << 53) + 1,
        ..opening(1)
    };
    assert!(
        engine
            .open(&too_much)
            .await
            .unwrap_err()
            .to_string()
            .contains("can count")
    );
    assert_eq!(engine.open(&opening(1)).await.unwrap(), Opened::Opened);
    let verdicts = engine
        .reserve(&term(1), &[request(1, 0), request(2, 1)])
        .await;
    assert!(
        verdicts[0]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("0 units")
    );
    assert_eq!(*verdicts[1].as_ref().unwrap(), Verdict::GRANTED);
}
