//! The consumers of the queues: deliveries, commits, acknowledgements, sessions
//! (one-consumer-per-queue, R4; drain-in-one-session, R5), and what happens to a batch when its
//! channel closes.

use crate::dead_letters;
use crate::model::{Protocol, Steps};
use crate::repairs;
use crate::rules::Removed;
use crate::world::*;

pub fn steps(steps: &mut Steps<'_>) {
    for q in steps.model.publishers() {
        session_steps(steps, q);
        if steps.now.left.queue_losses > 0 && steps.now.queues[q].exists {
            let model = steps.model;
            steps.to("broker loses queue", q, |world| lose(model, world, q));
        }
        if let Channel::Open(_) = steps.now.queues[q].channel {
            failures(steps, q);
        }
        if steps.now.queues[q].zombie.len() > 0 {
            let model = steps.model;
            steps.to("consumer without a channel commits, queue", q, |world| {
                let batch = std::mem::take(&mut world.queues[q].zombie);
                let session = session_of(world, q, world.queues[q].zombie_session);
                commit(model, world, q, batch, session);
                world.queues[q].zombie_session = 0;
            });
        }
    }
}

fn session_steps(steps: &mut Steps<'_>, q: usize) {
    let model = steps.model;
    let queue = &steps.now.queues[q];
    if model.config.budget.channel_closes == 0 {
        // Nothing can come between the steps of a consumer, so they are one.
        if queue.exists && queue.messages.len() > 0 {
            steps.to("consumer handles the next message, queue", q, |world| {
                let batch = world.queues[q].messages.cut(1);
                let live = commit(model, world, q, batch, 0);
                world.settling |= live;
            });
        }
        return;
    }
    let Channel::Open(session) = queue.channel else {
        // Retired queues are not taken up again.
        if queue.exists
            && steps.now.database.incarnations[q].state != State::Gone
            && queue.messages.len() > 0
        {
            steps.to("consumer opens a channel, queue", q, |world| {
                world.queues[q].channel = Channel::Open(0)
            });
        }
        return;
    };
    if queue.delivered < queue.messages.len() {
        steps.to("message is delivered, queue", q, |world| {
            world.queues[q].delivered += 1
        });
    }
    if queue.committed < queue.delivered {
        let (delivered, committed) = (queue.delivered, queue.committed);
        steps.to("consumer commits, queue", q, |world| {
            let mut batch = world.queues[q].messages;
            batch.cut(committed);
            let batch = batch.cut(delivered - committed);
            let session = session_of(world, q, session);
            world.queues[q].channel = Channel::Open(session);
            world.queues[q].committed = delivered;
            let live = commit(model, world, q, batch, session);
            world.queues[q].live |= live;
        });
    }
    if queue.committed > 0 {
        steps.to("consumer acknowledges, queue", q, |world| {
            let queue = &mut world.queues[q];
            queue.messages.cut(queue.committed);
            queue.delivered -= queue.committed;
            queue.committed = 0;
            world.settling |= std::mem::take(&mut queue.live);
        });
    }
}

/// The session's number; a new one with the first commit on a channel.
fn session_of(world: &mut World, q: usize, session: u8) -> u8 {
    if session > 0 {
        return session;
    }
    world.database.incarnations[q].session += 1;
    world.database.incarnations[q].session
}

/// One transaction. Returns the orders to settle: those whose row is live
/// (void-before-release, R9).
fn commit(model: &Protocol, world: &mut World, q: usize, batch: Messages, session: u8) -> u8 {
    let mut live = 0;
    for message in batch.iter() {
        match message {
            Message::Order(order) => {
                write(model, world, order);
                if world.database.rows[order].is_live() || model.lacks(Removed::R9SettleOnlyLive) {
                    live |= bit(order);
                }
            }
            Message::Poison(order) => {
                dead_letters::park(model, world, q, order);
            }
            Message::Marker(k) => {
                if let Drain::Waiting {
                    queue,
                    session: expected,
                } = world.reconcilers[k].drain
                {
                    repairs::marker_committed(model, world, k, queue, expected == session);
                }
            }
        }
    }
    live
}

/// Inserts the row unless there is one. What the unique key or the guard refuses is parked and void
/// at once (parked-is-final, R10).
pub fn write(model: &Protocol, world: &mut World, order: usize) {
    let database = &mut world.database;
    let is_revived =
        database.rows[order].is_cancelled() && model.lacks(Removed::R9CancelledStaysCancelled);
    if database.rows[order] != Row::None && !is_revived {
        return;
    }
    let user = model.user(order);
    let buys_twice = model
        .requests()
        .any(|other| model.user(other) == user && database.rows[other].is_live());
    let allocation = &mut database.allocations[usize::from(world.requests[order].epoch)];
    if buys_twice || !allocation.open || allocation.sold >= allocation.granted {
        database.parked_orders |= bit(order);
        database.rows[order] = Row::Void;
    } else {
        allocation.sold += 1;
        database.rows[order] = Row::Live;
    }
}

/// A marker counts once; further copies of it change nothing.
pub fn forget_marker(world: &mut World, k: usize) {
    for queue in &mut world.queues {
        if let Some(at) = queue.messages.remove(Message::Marker(k)) {
            queue.delivered -= usize::from(at < queue.delivered);
            queue.committed -= usize::from(at < queue.committed);
        }
        queue.zombie.remove(Message::Marker(k));
    }
}

/// What was in it cannot be read any more, as if it were poison; a marker in it is never seen.
fn lose(model: &Protocol, world: &mut World, q: usize) {
    world.left.queue_losses -= 1;
    for message in world.queues[q].messages.iter() {
        if let Message::Order(order) | Message::Poison(order) = message {
            world.database.lost_orders |= bit(order);
        }
    }
    let queue = &mut world.queues[q];
    queue.exists = false;
    queue.bindings = 0;
    queue.messages = Messages::default();
    for k in model.reconcilers() {
        let reconciler = &mut world.reconcilers[k];
        if matches!(reconciler.drain, Drain::Waiting { queue, .. } if queue == q) {
            reconciler.drain = Drain::Idle;
        }
    }
}

fn failures(steps: &mut Steps<'_>, q: usize) {
    let model = steps.model;
    let queue = steps.now.queues[q];
    if model.config.budget.channel_closes == 0 {
        return;
    }
    let Channel::Open(session) = queue.channel else {
        return;
    };
    if steps.now.left.channel_closes > 0 {
        steps.to(
            "channel closes, messages return in order, queue",
            q,
            |world| {
                close(world, q);
            },
        );
        if queue.delivered > 0 && queue.delivered < queue.messages.len() {
            steps.to(
                "channel closes, messages return behind the others, queue",
                q,
                |world| {
                    close(world, q);
                    return_behind(&mut world.queues[q].messages, queue.delivered);
                },
            );
        }
        if steps.now.left.zombies > 0
            && queue.committed < queue.delivered
            && queue.zombie.len() == 0
        {
            steps.to(
                "channel closes, its consumer does not notice, queue",
                q,
                |world| {
                    let mut batch = queue.messages;
                    batch.cut(queue.committed);
                    world.left.zombies -= 1;
                    world.queues[q].zombie = batch.cut(queue.delivered - queue.committed);
                    world.queues[q].zombie_session = session;
                    close(world, q);
                },
            );
        }
    }
    let has_uncommitted = queue.committed < queue.delivered;
    if model.lacks(Removed::R5NoNackRequeue) && queue.committed == 0 && has_uncommitted {
        steps.to("consumer nacks and requeues, queue", q, |world| {
            return_behind(&mut world.queues[q].messages, queue.delivered);
            world.queues[q].delivered = 0;
        });
    }
    if model.lacks(Removed::R4AcknowledgeAfterCommit) && has_uncommitted {
        steps.to(
            "consumer acknowledges and dies before its commit, queue",
            q,
            |world| {
                world.queues[q].messages.cut(queue.delivered);
                world.queues[q].delivered = 0;
                close(world, q);
            },
        );
    }
    if model.lacks(Removed::R4OneConsumer)
        && queue.committed == 0
        && has_uncommitted
        && queue.zombie.len() == 0
    {
        steps.to("a second consumer becomes active, queue", q, |world| {
            world.queues[q].zombie = world.queues[q].messages.cut(queue.delivered);
            world.queues[q].zombie_session = session;
            world.queues[q].delivered = 0;
        });
    }
}

fn close(world: &mut World, q: usize) {
    world.left.channel_closes = world.left.channel_closes.saturating_sub(1);
    let queue = &mut world.queues[q];
    queue.channel = Channel::Closed;
    queue.delivered = 0;
    queue.committed = 0;
    queue.live = 0;
}

fn return_behind(messages: &mut Messages, count: usize) {
    let returned = messages.cut(count);
    messages.append(returned);
}
