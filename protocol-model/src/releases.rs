//! The release of what was cancelled: inline, or by a relay, and when it counts as done
//! (release-by-epoch, R12).

use crate::changes::idle;
use crate::engine;
use crate::model::Steps;
use crate::rules::Removed;
use crate::world::*;

pub fn steps(steps: &mut Steps<'_>) {
    let model = steps.model;
    let database = &steps.now.database;
    let idle = idle(model, steps.now);
    for order in model.requests().filter(|order| database.outbox[*order] > 0) {
        if let Some(hand) = idle {
            steps.to("release is taken up, order", order, |world| {
                world.hands[hand] = Hand::Called(order);
            });
        }
        done_without_the_engine(steps, order);
    }
    for (hand, state) in steps.now.hands.into_iter().enumerate() {
        if let Hand::Called(order) = state {
            call(steps, hand, order);
        }
    }
}

/// What ends a release without any engine.
fn done_without_the_engine(steps: &mut Steps<'_>, order: usize) {
    let model = steps.model;
    let now = steps.now;
    let is_later = now.database.open > now.database.outbox[order];
    let has_ended = now.database.ended
        || now.ghost.was_ended && model.lacks(Removed::R12EndIsReadWithTheRelease)
        || !now.window && model.lacks(Removed::R12OverIsNotEnded)
        || now.database.paused && model.lacks(Removed::R12PausedIsNotEnded);
    if is_later || has_ended {
        steps.to("release is over, order", order, |world| {
            world.database.outbox[order] = 0;
        });
    }
}

/// Under the newest term that was announced, whenever the one who calls has learnt of it. The answer
/// may be lost with them, and then somebody else does it again.
fn call(steps: &mut Steps<'_>, hand: usize, order: usize) {
    let (model, now) = (steps.model, steps.now);
    let epoch = now.engine.epoch;
    let is_executed = engine::sells(model, now, epoch) && epoch <= now.database.open;
    let is_of_its_epoch = epoch >= now.database.outbox[order];
    let counts = if is_executed {
        is_of_its_epoch || model.lacks(Removed::R12OlderEngineIsNotEnough)
    } else {
        model.lacks(Removed::R12NotOpenIsNotDone)
    };
    if is_executed {
        steps.to(
            "release is executed and its answer lost, order",
            order,
            |world| {
                engine::release(model, world, order);
                world.hands[hand] = Hand::Idle;
            },
        );
    }
    if counts {
        steps.to("release is done, order", order, |world| {
            if is_executed {
                engine::release(model, world, order);
            }
            world.database.outbox[order] = 0;
            world.hands[hand] = Hand::Idle;
        });
    } else {
        steps.to("release is left for later, order", order, |world| {
            world.hands[hand] = Hand::Idle;
        });
    }
}
