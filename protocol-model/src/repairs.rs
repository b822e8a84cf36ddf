//! The reconciler's repairs: draining (drain-in-one-session, R5), retiring publishers
//! (fence-wait, R1; exclusive-route, R6), voiding orphans (mark-with-age, R8;
//! void-before-release, R9; parked-is-final, R10), and its own death in the middle of any of them.

use crate::consumers::forget_marker;
use crate::dead_letters;
use crate::engine;
use crate::model::{Protocol, Steps};
use crate::openings;
use crate::rules::Removed;
use crate::world::*;

pub fn steps(steps: &mut Steps<'_>) {
    let model = steps.model;
    for order in model
        .requests()
        .filter(|order| steps.now.engine.holds[*order].is_some())
    {
        resolve(steps, order);
    }
    for p in model.publishers() {
        fence(steps, p);
    }
    for k in model.reconcilers() {
        let reconciler = steps.now.reconcilers[k];
        match reconciler.job {
            Job::Idle => begin(steps, k),
            Job::Listed(order) => mark(steps, k, order),
            Job::Marked(_) | Job::Draining(_) | Job::Retiring(_) | Job::Clearing(_) => {
                drain(steps, k)
            }
            Job::Drained(order) => look(steps, k, order),
            Job::Absent(order) => void(steps, k, order),
            Job::Voided(order) => release(steps, k, order),
            Job::Retirable(p) => steps.to("reconciler stores drained, publisher", p, |world| {
                world.database.incarnations[p].state = State::Gone;
                world.reconcilers[k].job = Job::Retired(p);
            }),
            Job::Retired(p) => steps.to("reconciler deletes the queue, publisher", p, |world| {
                let queue = &mut world.queues[p];
                if queue.messages.len() == 0 {
                    queue.exists = false;
                    queue.channel = Channel::Closed;
                }
                world.reconcilers[k] = Reconciler::IDLE;
            }),
            _ => {}
        }
        if reconciler.job != Job::Idle && steps.now.left.reconciler_crashes > 0 {
            steps.to("reconciler dies", k, |world| {
                world.left.reconciler_crashes -= 1;
                give_up(world, k);
            });
        }
    }
}

/// Back to nothing; markers that nobody waits for any more mean nothing.
pub fn give_up(world: &mut World, k: usize) {
    world.reconcilers[k] = Reconciler::IDLE;
    forget_marker(world, k);
}

/// Live: settle. Void or cancelled: release (void-before-release, R9).
fn resolve(steps: &mut Steps<'_>, order: usize) {
    let model = steps.model;
    if !engine::sells(model, steps.now, steps.now.requests[order].epoch) {
        return;
    }
    match steps.now.database.rows[order] {
        Row::None => {}
        Row::Live | Row::Paid | Row::Completed => {
            steps.to("reconciler settles order", order, |world| {
                engine::settle(model, world, order);
            })
        }
        Row::Cancelled | Row::Expired | Row::Void => {
            steps.to("reconciler releases order", order, |world| {
                engine::release(model, world, order);
            })
        }
    }
}

/// fence-wait (R1): a publisher without heartbeats is fenced for good once its lease has surely run
/// out.
fn fence(steps: &mut Steps<'_>, p: usize) {
    let incarnation = steps.now.database.incarnations[p];
    if incarnation.state == State::Live && !incarnation.lease {
        steps.to("reconciler fences for good, publisher", p, |world| {
            world.database.incarnations[p].state = State::Fenced;
            world.database.incarnations[p].generation += 1;
        });
    }
}

fn begin(steps: &mut Steps<'_>, k: usize) {
    let model = steps.model;
    let now = *steps.now;
    for p in model.publishers() {
        let incarnation = now.database.incarnations[p];
        let is_sure = incarnation.acknowledged == incarnation.generation || !incarnation.lease;
        if incarnation.state == State::Fenced && is_sure {
            steps.to("reconciler begins to retire publisher", p, |world| {
                world.queues[p].bindings = 0;
                world.reconcilers[k].job = Job::Retiring(p);
                world.reconcilers[k].todo = bit(p);
            });
        }
    }
    if !engine::sells(model, &now, now.database.open) || now.database.open != now.database.newest {
        return;
    }
    for order in model.requests() {
        let Some(hold) = now.engine.holds[order].filter(|_| now.database.rows[order] == Row::None)
        else {
            continue;
        };
        if hold.marked {
            steps.to("reconciler finds marked order", order, |world| {
                world.reconcilers[k].job = Job::Marked(order);
                world.reconcilers[k].todo = hold.touched;
            });
        } else if hold.old && !may_be_parked(steps, order, hold) {
            steps.to("reconciler lists old order", order, |world| {
                world.reconcilers[k].job = Job::Listed(order);
            });
        }
    }
}

/// mark-with-age (R8): age test and mark are one step.
fn mark(steps: &mut Steps<'_>, k: usize, order: usize) {
    let model = steps.model;
    steps.to("reconciler marks order", order, |world| {
        let may_sell = engine::sells(model, world, world.requests[order].epoch);
        match &mut world.engine.holds[order] {
            Some(hold)
                if may_sell
                    && (hold.old
                        || hold.marked
                        || model.lacks(Removed::R8AgeTestedWithTheMark)) =>
            {
                hold.marked = true;
                world.reconcilers[k].job = Job::Marked(order);
                world.reconcilers[k].todo = hold.touched;
            }
            _ => give_up(world, k),
        }
    });
}

fn drain(steps: &mut Steps<'_>, k: usize) {
    let model = steps.model;
    let reconciler = steps.now.reconcilers[k];
    let Some(q) = model.publishers().find(|q| has(reconciler.todo, *q)) else {
        return;
    };
    // exclusive-route (R6): a retired queue counts as drained, and so does one that was never
    // bound.
    let is_retired = steps.now.database.incarnations[q].state == State::Gone;
    if is_gone(steps, q) && !model.lacks(Removed::R6GoneIsParked) {
        return steps.to("reconciler parks everything of lost queue", q, |world| {
            let incarnation = &mut world.database.incarnations[q];
            if incarnation.state == State::Live {
                incarnation.state = State::Fenced;
                incarnation.generation += 1;
            }
            world.database.lost_queues |= bit(q);
            world.queues[q].exists = true;
            world.reconcilers[k].drain = Drain::Idle;
        });
    }
    if is_retired || !steps.now.queues[q].exists {
        return steps.to("reconciler finds nothing to drain, queue", q, |world| {
            drained(model, world, k, q)
        });
    }
    match reconciler.drain {
        Drain::Idle => steps.to("reconciler reads the session, queue", q, |world| {
            let session = world.database.incarnations[q].session;
            world.reconcilers[k].drain = Drain::Ready { queue: q, session };
        }),
        Drain::Ready { queue, session } => {
            steps.to("reconciler puts a marker, queue", q, |world| {
                world.queues[q].messages.push(Message::Marker(k));
                world.reconcilers[k].drain = Drain::Waiting { queue, session };
            })
        }
        Drain::Waiting { .. } => {}
    }
}

/// exclusive-route (R6): a queue that is gone before its incarnation is stands in `parked` with
/// everything that was in it, and only then there is an empty one to drain.
fn is_gone(steps: &Steps<'_>, q: usize) -> bool {
    let is_used = steps.now.database.incarnations[q].state != State::Gone;
    steps.model.config.budget.queue_losses > 0 && is_used && !steps.now.queues[q].exists
}

/// drain-in-one-session (R5): nothing was returned since the marker was put, or another one is
/// needed. The reconciler hears of it at once: when it goes on is open anyway.
pub fn marker_committed(
    model: &Protocol,
    world: &mut World,
    k: usize,
    q: usize,
    is_its_session: bool,
) {
    if is_its_session || model.lacks(Removed::R5MarkerOfItsSession) {
        drained(model, world, k, q);
    } else {
        world.reconcilers[k].drain = Drain::Idle;
        forget_marker(world, k);
    }
}

fn drained(model: &Protocol, world: &mut World, k: usize, q: usize) {
    forget_marker(world, k);
    let reconciler = &mut world.reconcilers[k];
    reconciler.drain = Drain::Idle;
    reconciler.todo &= !bit(q);
    if reconciler.todo == 0 {
        reconciler.job = match reconciler.job {
            Job::Marked(order) => Job::Drained(order),
            Job::Draining(epoch) => Job::Granting(epoch),
            Job::Retiring(p) => Job::Retirable(p),
            Job::Clearing(epoch) => Job::Cleared(epoch),
            job => job,
        };
        if let Job::Granting(_) = reconciler.job {
            openings::after_draining(model, world, k);
        }
    }
}

fn may_be_parked(steps: &Steps<'_>, order: usize, hold: Hold) -> bool {
    let database = &steps.now.database;
    let in_message = |q: usize| has(hold.touched, q) && dead_letters::is_open(database, q);
    let is_parked = has(database.parked_orders, order) || steps.model.publishers().any(in_message);
    is_parked && !steps.model.lacks(Removed::R10ParkedIsNotVoided)
}

fn look(steps: &mut Steps<'_>, k: usize, order: usize) {
    let is_parked =
        steps.now.engine.holds[order].is_some_and(|hold| may_be_parked(steps, order, hold));
    steps.to("reconciler looks for the row, order", order, |world| {
        if world.database.rows[order] == Row::None && !is_parked {
            world.reconcilers[k].job = Job::Absent(order);
        } else {
            give_up(world, k);
        }
    });
}

/// void-before-release (R9): the VOID row first, the release after it; a row that is there sends it
/// back to look.
fn void(steps: &mut Steps<'_>, k: usize, order: usize) {
    let model = steps.model;
    steps.to("reconciler inserts a VOID row, order", order, |world| {
        let is_absent = world.database.rows[order] == Row::None;
        if model.lacks(Removed::R9VoidBeforeRelease) {
            engine::release(model, world, order);
        } else if is_absent && !model.lacks(Removed::R9VoidRow) {
            world.database.rows[order] = Row::Void;
        }
        if is_absent || model.lacks(Removed::R9ConflictLooksAgain) {
            world.reconcilers[k].job = Job::Voided(order);
        } else {
            give_up(world, k);
        }
    });
}

fn release(steps: &mut Steps<'_>, k: usize, order: usize) {
    let model = steps.model;
    steps.to("reconciler releases the voided order", order, |world| {
        if model.lacks(Removed::R9VoidBeforeRelease) {
            if world.database.rows[order] == Row::None {
                world.database.rows[order] = Row::Void;
            }
        } else if engine::sells(model, world, world.requests[order].epoch) {
            engine::release(model, world, order);
        }
        give_up(world, k);
    });
}
