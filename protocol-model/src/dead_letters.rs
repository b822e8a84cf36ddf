//! Dead letters (parked-is-final, R10): messages that cannot be read and orders that were refused,
//! what operators do with them, and how a publisher settles by itself what is drained.

use crate::model::{Protocol, Steps};
use crate::rules::Removed;
use crate::world::*;
use crate::{consumers, engine};

/// Whether an unreadable message of the incarnation is parked, or all of its queue.
pub fn is_open(database: &Database, q: usize) -> bool {
    database.parked_messages[q] != 0 || has(database.lost_queues, q)
}

/// The consumer parks a message. The same bytes are one record, which is open again.
pub fn park(model: &Protocol, world: &mut World, q: usize, order: usize) {
    let stays_resolved =
        has(world.ghost.resolved, order) && model.lacks(Removed::R10ParkedAgainIsOpen);
    if !stays_resolved {
        world.database.parked_messages[q] |= bit(order);
    }
    if model.config.settles_drained {
        doubt(model, world, q);
    }
}

pub fn steps(steps: &mut Steps<'_>) {
    let model = steps.model;
    let database = &steps.now.database;
    for order in model.requests() {
        for q in model.publishers() {
            if has(database.parked_messages[q], order) {
                message(steps, q, order);
            }
        }
        if has(database.parked_orders, order) {
            refused(steps, order);
        }
        if has(steps.now.ghost.replaying, order) {
            steps.to("the replayed order is written,", order, |world| {
                world.ghost.replaying &= !bit(order);
                replay(model, world, order);
            });
        }
    }
    for p in model.publishers() {
        settle_drained(steps, p);
    }
}

fn message(steps: &mut Steps<'_>, q: usize, order: usize) {
    let model = steps.model;
    if steps.now.left.replays > 0 {
        // The rows and the resolution are one transaction; doing it again finds nothing open.
        steps.to("operator replays the message of order", order, |world| {
            world.left.replays -= 1;
            world.database.parked_messages[q] &= !bit(order);
            if model.lacks(Removed::R10RowsBeforeResolved) {
                world.ghost.replaying |= bit(order);
            } else {
                replay(model, world, order);
            }
        });
    }
    if steps.now.left.discards > 0 {
        steps.to("operator discards the message of order", order, |world| {
            world.left.discards -= 1;
            world.database.parked_messages[q] &= !bit(order);
            world.ghost.discarded |= bit(order);
            if model.lacks(Removed::R10ParkedAgainIsOpen) {
                world.ghost.resolved |= bit(order);
            }
            if model.lacks(Removed::R10DiscardVoidsNothing)
                && world.database.rows[order] == Row::None
            {
                world.database.rows[order] = Row::Void;
                engine::release(model, world, order);
            }
        });
    }
}

/// As a consumer would: what the guard refuses has its VOID row then.
fn replay(model: &Protocol, world: &mut World, order: usize) {
    let own = usize::from(world.requests[order].epoch);
    if !world.database.allocations[own].open {
        world.ghost.too_late |= bit(order);
        if model.lacks(Removed::R10ReplayKeepsItsEpoch) {
            return adopt(world, order);
        }
    }
    consumers::write(model, world, order);
}

/// A refused order is final, whoever replays it.
fn refused(steps: &mut Steps<'_>, order: usize) {
    if steps.now.left.replays > 0 && steps.model.lacks(Removed::R10RefusedIsFinal) {
        steps.to("operator replays the refused order", order, |world| {
            world.left.replays -= 1;
            adopt(world, order);
        });
    }
    if steps.now.left.discards > 0 {
        steps.to("operator discards the refused order", order, |world| {
            world.left.discards -= 1;
            world.database.parked_orders &= !bit(order);
        });
    }
}

/// What nobody may do: count an order against the epoch that is open now.
fn adopt(world: &mut World, order: usize) {
    let database = &mut world.database;
    let open = database
        .allocations
        .iter_mut()
        .find(|allocation| allocation.open);
    if let Some(open) = open.filter(|allocation| allocation.sold < allocation.granted) {
        open.sold += 1;
        database.rows[order] = Row::Live;
        database.parked_orders &= !bit(order);
    }
}

/// Behind a drain every order that was published before has its row; of one that was sent before a
/// message of the incarnation was parked that is not known, whatever became of the record since.
fn settle_drained(steps: &mut Steps<'_>, p: usize) {
    let (model, now) = (steps.model, steps.now);
    let is_alive = now.publishers[p].life == Life::Serving;
    let queue = &now.queues[p];
    let is_drained = queue.messages.len() == 0 && queue.zombie.len() == 0 && queue.exists;
    if now.published[p] == 0 || !is_alive || !is_drained {
        return;
    }
    steps.to("publisher settles what is drained,", p, |world| {
        let requests = std::mem::take(&mut world.published[p]);
        for r in model.requests().filter(|r| has(requests, *r)) {
            let order = world.requests[r].order;
            if !has(world.database.parked_orders, order) {
                engine::settle(model, world, order);
            }
        }
    });
}

/// What was sent before is in doubt from here on.
fn doubt(model: &Protocol, world: &mut World, q: usize) {
    if !model.lacks(Removed::R10SentBeforeIsInDoubt) {
        world.published[q] = 0;
        for r in model.requests().filter(|r| model.publisher(*r) == q) {
            world.requests[r].is_in_doubt |= world.requests[r].phase == Phase::Published;
        }
    }
}
