//! What only this engine promises: homes that never change, openings that sell nothing half-way,
//! and epochs with fewer slots.

use super::*;
use crate::{Epoch, IncarnationId, Nonce, OrderId, SaleId, UserId};
pub(super) use servers::RedisServer;

/// Few enough for their transfers to meet.
pub(super) const SLOTS: usize = 3;
pub(super) const GRANTED: u64 = 30;

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

#[test]
fn homes_are_spread_evenly_and_never_change() {
    let slots = Slots::new("", &term(1), 16, &slots::script(16, SCRIPT));
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
        // Another attempt at this term is refused at every point: it takes a new epoch,
        // lost-server-noticed (R13).
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
