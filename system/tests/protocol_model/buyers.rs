//! What buyers do with an order once it is there: pay it, or cancel it (release-by-epoch, R12;
//! cancel-moves-the-right, R15), and the relay that brings a cancelled unit back.

use crate::engine;
use crate::model::{Protocol, Steps};
use crate::rules::Removed;
use crate::world::*;

pub fn steps(steps: &mut Steps<'_>) {
    let model = steps.model;
    for order in model.requests() {
        let row = steps.now.database.rows[order];
        if row == Row::Live && steps.now.left.payments > 0 {
            steps.to("buyer pays order", order, |world| {
                world.left.payments -= 1;
                world.database.rows[order] = Row::Paid;
            });
        }
        if row == Row::Live && steps.now.left.cancels > 0 {
            steps.to("buyer cancels order", order, |world| {
                world.left.cancels -= 1;
                cancel(model, world, order);
            });
        }
        if steps.now.database.outbox[order] > 0 {
            relay(steps, order);
        }
    }
}

/// One transaction: the row, the rights (cancel-moves-the-right, R15) and the outbox with the epoch
/// that is open now (release-by-epoch, R12).
fn cancel(model: &Protocol, world: &mut World, order: usize) {
    let database = &mut world.database;
    database.rows[order] = Row::Cancelled;
    let own = usize::from(world.requests[order].epoch);
    let open = (1..EPOCHS)
        .find(|epoch| database.allocations[*epoch].open)
        .unwrap_or(own);
    database.allocations[own].sold -= 1;
    if own != open {
        if !model.lacks(Removed::R15RightLeavesItsAllocation) {
            database.allocations[own].granted -= 1;
        }
        if !model.lacks(Removed::R15RightGoesToTheOpenPool) {
            database.allocations[open].granted += 1;
        }
    }
    let recorded = if model.lacks(Removed::R12EpochOfTheCancel) {
        1
    } else {
        open
    };
    database.outbox[order] = u8::try_from(recorded).expect("a small epoch");
}

fn relay(steps: &mut Steps<'_>, order: usize) {
    let model = steps.model;
    let epoch = steps.now.engine.epoch;
    if !steps.now.window && model.lacks(Removed::R12OverIsNotEnded) {
        steps.to(
            "release is recorded, the window is over, order",
            order,
            |world| {
                world.database.outbox[order] = 0;
            },
        );
    }
    let is_executed =
        engine::sells(model, steps.now, epoch) && epoch >= steps.now.database.outbox[order];
    if is_executed {
        steps.to("release is executed and recorded, order", order, |world| {
            engine::release(model, world, order);
            world.database.outbox[order] = 0;
        });
        steps.to(
            "release is executed and its record lost, order",
            order,
            |world| {
                engine::release(model, world, order);
            },
        );
    } else if steps.now.database.ended {
        steps.to(
            "release is recorded, the sale has ended, order",
            order,
            |world| {
                world.database.outbox[order] = 0;
            },
        );
    } else if model.lacks(Removed::R12NotOpenIsNotDone) {
        steps.to(
            "release is recorded though not open, order",
            order,
            |world| world.database.outbox[order] = 0,
        );
    }
}
