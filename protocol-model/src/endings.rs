//! The sale's window and the end of the sale: who may still sell, when the engine forgets, and what
//! late repeats are told from the rows.

use crate::engine;
use crate::model::{Protocol, Steps};
use crate::repairs::give_up;
use crate::rules::Removed;
use crate::world::*;

pub fn steps(steps: &mut Steps<'_>) {
    let model = steps.model;
    window(steps);
    for k in model.reconcilers() {
        match steps.now.reconcilers[k].job {
            Job::Idle => claim(steps, k),
            Job::Ending(epoch) => steps.to("engine forgets up to epoch", epoch.into(), |world| {
                forget(model, world, epoch);
                world.reconcilers[k].job = Job::Forgotten(epoch);
            }),
            Job::Forgotten(epoch) if is_past_deadlines(model, steps.now, false) => {
                steps.to("deadlines have passed since the end", k, |world| {
                    if model.lacks(Removed::EndDrains) {
                        world.reconcilers[k].job = Job::Cleared(epoch);
                    } else {
                        world.reconcilers[k].job = Job::Clearing(epoch);
                        world.reconcilers[k].todo = model.publishers().map(bit).sum();
                    }
                });
            }
            Job::Cleared(epoch) => steps.to("sale has ended, with epoch", epoch.into(), |world| {
                // open-by-condition (R14): unless a newer epoch has been claimed, or the window has
                // been moved, in which somebody may have sold who had not read of the end yet.
                let is_newest = world.database.newest == epoch && !world.window;
                if is_newest || model.lacks(Removed::EndIsConditional) {
                    world.database.ended = true;
                    world.ghost.was_ended |= model.lacks(Removed::R12EndIsReadWithTheRelease);
                }
                give_up(world, k);
            }),
            _ => {}
        }
    }
}

fn window(steps: &mut Steps<'_>) {
    let now = *steps.now;
    if now.window && now.left.window_ends > 0 {
        steps.to("the window ends", 0, |world| {
            world.left.window_ends -= 1;
            world.window = false;
        });
    }
    if !now.window && now.left.window_moves > 0 {
        steps.to("the window is moved", 0, |world| {
            world.left.window_moves -= 1;
            world.window = true;
            world.told_ended = 0;
        });
    }
}

/// The claim of an epoch for the end, which no opening can complete; or somebody else's is taken up.
fn claim(steps: &mut Steps<'_>, k: usize) {
    let (model, now) = (steps.model, steps.now);
    let database = &now.database;
    if now.window || database.ended || !is_past_deadlines(model, now, true) {
        return;
    }
    if database.ending == database.newest {
        return steps.to("reconciler goes on with the end", k, |world| {
            world.reconcilers[k].job = Job::Ending(world.database.ending);
        });
    }
    if database.newest < model.config.epochs && is_at_rest(model, now) {
        steps.to("reconciler claims an epoch for the end", k, |world| {
            world.database.newest += 1;
            world.database.ending = world.database.newest;
            world.reconcilers[k].job = Job::Ending(world.database.newest);
        });
    }
}

/// deadline-before-reserve (R7): whether the longest deadline has passed for every request that may
/// have been granted, and for those that may still be granted (`may_sell`).
fn is_past_deadlines(model: &Protocol, world: &World, may_sell: bool) -> bool {
    let is_under_way = |request: &Request| match request.phase {
        Phase::Calling => may_sell && request.may_sell,
        Phase::Granted | Phase::Published => request.may_sell || !may_sell,
        Phase::NotSent | Phase::Done(_) => false,
    };
    !world.requests.iter().any(is_under_way) || model.lacks(Removed::EndWaitsForDeadlines)
}

/// Whether every order that was granted has its row, as far as the engine knows.
fn is_at_rest(model: &Protocol, world: &World) -> bool {
    let database = &world.database;
    let is_open = database.open == database.newest && engine::sells(model, world, database.open);
    let has_holds = world.engine.holds.iter().any(Option::is_some);
    !is_open || !has_holds || model.lacks(Removed::EndWaitsForHolds)
}

/// A later epoch is left alone; of this one nothing stays but a note of its number, so that an
/// older opening is stale.
fn forget(model: &Protocol, world: &mut World, epoch: u8) {
    if world.engine.epoch > epoch {
        return;
    }
    let note = if model.lacks(Removed::EndLeavesANote) {
        0
    } else {
        epoch
    };
    world.engine = Engine {
        scripts: world.engine.scripts,
        epoch: note,
        ..Engine::EMPTY
    };
}

/// A buyer who asks a publisher that knows no term is looked up among the rows, in one statement.
pub fn look_up(steps: &mut Steps<'_>, r: usize) {
    let (model, database) = (steps.model, steps.now.database);
    let is_early = |before: &Request| !matches!(before.phase, Phase::Done(_));
    let waits = model.config.one_by_one && steps.now.requests[..r].iter().any(is_early);
    if waits || !database.ended && database.ending != database.newest {
        return;
    }
    let user = model.user(r);
    let order = model
        .requests()
        .find(|order| model.user(*order) == user && database.rows[*order].is_live());
    let order = order.filter(|_| !database.ended || !model.lacks(Removed::EndLooksAtTheRows));
    steps.to("request is looked up among the rows", r, |world| {
        world.requests[r].phase = Phase::Done(match order {
            Some(order) => {
                world.accepted |= bit(order);
                Answer::Accepted
            }
            None if database.ended => {
                tell_ended(model, world, user);
                Answer::Ended
            }
            None => Answer::Unavailable,
        });
    });
}

/// What a buyer with an accepted order that is live, or on its way, must never hear.
pub fn tell_ended(model: &Protocol, world: &mut World, user: usize) {
    if !world.window {
        world.told_ended |= bit(user);
    }
    let stands = |order: usize| {
        has(world.accepted, order)
            && matches!(
                world.database.rows[order],
                Row::None | Row::Live | Row::Paid | Row::Completed
            )
    };
    world.wrongly_ended |= model
        .requests()
        .any(|order| model.user(order) == user && stands(order));
}
