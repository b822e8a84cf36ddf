//! What may become of an order: paid, completed, cancelled by its buyer, or because nobody paid in
//! time. Each is one transaction that locks the order's row, and looks at it again; where units go
//! back, it locks the open pool row before (release-by-epoch, R12; cancel-moves-the-right, R15).

use crate::model::{Protocol, Steps};
use crate::rules::Removed;
use crate::world::*;

/// Each with what counts how often it may still be asked for.
type Left = fn(&mut Budget) -> &mut u8;
const CHANGES: [(Change, Left); 4] = [
    (Change::Cancel, |left| &mut left.cancels),
    (Change::Pay, |left| &mut left.payments),
    (Change::Expire, |left| &mut left.expiries),
    (Change::Complete, |left| &mut left.completions),
];

pub fn steps(steps: &mut Steps<'_>) {
    if let Some(hand) = idle(steps.model, steps.now) {
        look(steps, hand);
    }
    for (hand, state) in steps.now.hands.into_iter().enumerate() {
        if let Hand::Looked {
            order,
            change,
            pool,
        } = state
        {
            commit(steps, hand, order, (change, pool));
        }
    }
}

/// One that has nothing to do; they are all alike, and sorted. One that dies is idle.
pub fn idle(model: &Protocol, world: &World) -> Option<usize> {
    let is_busy = |hand: &&Hand| **hand != Hand::Idle;
    (world.hands.iter().filter(is_busy).count() < model.config.hands).then_some(0)
}

/// What a change is done to, as far as one can see.
fn fits(row: Row, change: Change) -> bool {
    row == match change {
        Change::Cancel | Change::Pay | Change::Expire => Row::Live,
        Change::Complete => Row::Paid,
    }
}

/// Plain reads of the order and of the sale. An order without a row is waited for, and then its
/// buyer is told to come back; nothing is written for it.
fn look(steps: &mut Steps<'_>, hand: usize) {
    let model = steps.model;
    let database = steps.now.database;
    let Some(pool) = (1..EPOCHS).find(|epoch| database.allocations[*epoch].open) else {
        return;
    };
    for (change, of) in CHANGES {
        let mut left = steps.now.left;
        if *of(&mut left) == 0 {
            continue;
        }
        *of(&mut left) -= 1;
        for order in model.requests() {
            let may_come = change == Change::Cancel
                && model.lacks(Removed::R15NoTombstones)
                && steps.now.requests[order].phase == Phase::Published;
            let row = database.rows[order];
            if fits(row, change) || row == Row::None && may_come {
                steps.to("change is asked for, order", order, |world| {
                    world.left = left;
                    world.hands[hand] = Hand::Looked {
                        order,
                        change,
                        pool,
                    };
                });
            }
        }
    }
}

/// The transaction. Whoever finds another pool row open begins again; whoever finds another status
/// is told so.
fn commit(steps: &mut Steps<'_>, hand: usize, order: usize, (change, pool): (Change, usize)) {
    let model = steps.model;
    let database = &steps.now.database;
    let is_open = database.allocations[pool].open;
    steps.to(
        "who changes dies before the transaction, order",
        order,
        |world| {
            world.hands[hand] = Hand::Idle;
        },
    );
    let gives_back = matches!(change, Change::Cancel | Change::Expire);
    if gives_back && !is_open && !model.lacks(Removed::R12PoolIsLookedAtAgain) {
        let open = (1..EPOCHS).find(|epoch| database.allocations[*epoch].open);
        return steps.to(
            "another pool row is open for the change of order",
            order,
            |world| {
                world.hands[hand] = Hand::Looked {
                    order,
                    change,
                    pool: open.expect("one is open"),
                };
            },
        );
    }
    let is_unchecked = match change {
        Change::Cancel => Removed::R15CancelLooksAgain,
        Change::Pay => Removed::R15PaymentLooksAgain,
        Change::Expire => Removed::R15ExpiryLooksAgain,
        Change::Complete => Removed::R15NoTombstones,
    };
    if !fits(database.rows[order], change) && !model.lacks(is_unchecked) {
        let is_tombstone = database.rows[order] == Row::None;
        if !is_tombstone || !model.lacks(Removed::R15NoTombstones) {
            return steps.to("change is refused, order", order, |world| {
                world.hands[hand] = Hand::Idle;
            });
        }
    }
    let what = match change {
        Change::Cancel => "order is cancelled,",
        Change::Pay => "order is paid,",
        Change::Expire => "order expires,",
        Change::Complete => "order is completed,",
    };
    steps.to(what, order, |world| {
        world.hands[hand] = Hand::Idle;
        world.ghost.changed[order] |= bit(change as usize);
        match change {
            Change::Cancel => cancel(model, world, order, (pool, Row::Cancelled)),
            Change::Pay => world.database.rows[order] = Row::Paid,
            Change::Expire => cancel(model, world, order, (pool, Row::Expired)),
            Change::Complete => world.database.rows[order] = Row::Completed,
        }
    });
}

/// The right goes to the open pool (cancel-moves-the-right, R15), and the release is left to be
/// done, with the epoch of that pool row (release-by-epoch, R12).
fn cancel(model: &Protocol, world: &mut World, order: usize, (open, row): (usize, Row)) {
    let own = usize::from(world.requests[order].epoch);
    let database = &mut world.database;
    database.rows[order] = row;
    database.allocations[own].sold -= 1;
    if own != open {
        if !model.lacks(Removed::R15RightLeavesItsAllocation) {
            database.allocations[own].granted -= 1;
        }
        if !model.lacks(Removed::R15RightGoesToTheOpenPool) {
            database.allocations[open].granted += 1;
        }
    }
    database.outbox[order] = if model.lacks(Removed::R12EpochOfTheLockedPool) {
        database.open
    } else {
        u8::try_from(open).expect("a small epoch")
    };
}
