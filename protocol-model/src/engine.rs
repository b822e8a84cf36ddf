//! The stock engine: reserve with touch (deadline-before-reserve, R7; mark-with-age, R8), settle
//! and release, ageing of holds, and how its server loses what it knew (lost-server-noticed, R13).

use crate::endings::tell_ended;
use crate::model::{Loss, Protocol, Steps};
use crate::rules::Removed;
use crate::world::*;

/// lost-server-noticed (R13): only the script of the opening's nonce answers, and only if the data
/// beside it is of the same epoch.
pub fn sells(model: &Protocol, world: &World, epoch: u8) -> bool {
    let engine = &world.engine;
    let has_script =
        has(engine.scripts, epoch.into()) || model.lacks(Removed::R13ScriptOfTheOpening);
    epoch > 0 && engine.epoch == epoch && engine.open && has_script
}

pub fn reserve(model: &Protocol, world: &mut World, r: usize) {
    let (user, publisher) = (model.user(r), model.publisher(r));
    if !sells(model, world, world.requests[r].epoch) {
        world.requests[r].phase = Phase::Done(Answer::Unavailable);
        return;
    }
    let engine = &mut world.engine;
    let order = engine.gate[user];
    let hold = order.and_then(|order| engine.holds[order].as_mut());
    world.requests[r].phase = match (order, hold) {
        (Some(order), Some(hold)) if !hold.marked || model.lacks(Removed::R8BusyOnceMarked) => {
            hold.old = false;
            if !model.lacks(Removed::R8EveryTouchRecorded) {
                hold.touched |= bit(publisher);
            }
            world.requests[r].order = order;
            Phase::Granted
        }
        (Some(_), Some(_)) => Phase::Done(Answer::Unavailable),
        (Some(order), None) => {
            world.accepted |= bit(order);
            Phase::Done(Answer::Accepted)
        }
        // Not for good: the sale goes on when it is resumed.
        (None, _) if world.requests[r].is_paused => Phase::Done(Answer::Unavailable),
        (None, _) if !world.requests[r].may_sell => {
            tell_ended(model, world, user);
            Phase::Done(Answer::Ended)
        }
        (None, _) if engine.remaining < 1 => {
            world.sold_out = true;
            world.ghost.knows_sold_out |= model.lacks(Removed::R18AskedEachTime);
            Phase::Done(Answer::SoldOut)
        }
        (None, _) => {
            engine.remaining -= 1;
            engine.gate[user] = Some(r);
            engine.holds[r] = Some(Hold {
                touched: bit(publisher),
                old: false,
                marked: false,
            });
            world.requests[r].order = r;
            Phase::Granted
        }
    };
}

/// Closes the hold under the term of its order; anything else is "not open".
pub fn settle(model: &Protocol, world: &mut World, order: usize) {
    if sells(model, world, world.requests[order].epoch) {
        world.engine.holds[order] = None;
    }
}

/// Gives the unit back once: compare and delete on the gate.
pub fn release(model: &Protocol, world: &mut World, order: usize) {
    let user = model.user(order);
    let is_its = world.engine.gate[user] == Some(order);
    if is_its || world.engine.gate[user].is_some() && model.lacks(Removed::R9ReleaseIsOfItsOrder) {
        world.engine.gate[user] = None;
        world.engine.remaining += 1;
        world.sold_out = false;
    }
    world.engine.holds[order] = None;
}

pub fn steps(steps: &mut Steps<'_>) {
    let model = steps.model;
    for order in model.requests() {
        if has(steps.now.settling, order) {
            steps.to("consumer settles order", order, |world| {
                world.settling &= !bit(order);
                settle(model, world, order);
            });
        }
        if model.config.deadlines && can_age(model, steps.now, order) {
            steps.to("hold reaches the grace period, order", order, |world| {
                if let Some(hold) = &mut world.engine.holds[order] {
                    hold.old = true;
                }
            });
        }
    }
    if steps.now.left.engine_losses > 0 {
        lose(steps);
    }
}

/// deadline-before-reserve (R7): the grace period is longer than the deadline of whoever touched
/// the hold last.
fn can_age(model: &Protocol, world: &World, order: usize) -> bool {
    let is_young = world.engine.holds[order].is_some_and(|hold| !hold.old && !hold.marked);
    let touches = |r: usize| world.requests[r].order == order;
    is_young
        && !model.requests().any(|r| match world.requests[r].phase {
            Phase::Granted => touches(r) && !model.lacks(Removed::R7DeadlineBeforeReserve),
            Phase::Published => touches(r),
            Phase::NotSent | Phase::Calling | Phase::Done(_) => false,
        } && !model.lacks(Removed::R7GraceAboveDeadline))
}

/// The server restarts: its scripts are gone whatever becomes of the data.
fn lose(steps: &mut Steps<'_>) {
    let loss = steps.model.config.loss;
    steps.to("engine restarts", 0, |world| {
        world.left.engine_losses -= 1;
        match loss {
            Loss::Everything => world.engine = Engine::EMPTY,
            Loss::Nothing => {}
            Loss::SinceOpening => restore(world),
        }
        world.engine.scripts = 0;
    });
}

fn restore(world: &mut World) {
    world.engine.holds = [None; REQUESTS];
    world.engine.remaining = world.engine.granted;
    for user in 0..USERS {
        let order = world.engine.gate[user];
        if order.is_some_and(|order| world.requests[order].epoch == world.engine.epoch) {
            world.engine.gate[user] = None;
        }
    }
}
