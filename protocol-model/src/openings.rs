//! Opening the next epoch, step by step: claim, fence, drain, grant (grant-under-lock, R11), load
//! (lost-server-noticed, R13; gate-from-rows, R19), open, announce (open-by-condition, R14).

use crate::engine;
use crate::model::{Protocol, Steps};
use crate::repairs::give_up;
use crate::rules::Removed;
use crate::stock;
use crate::world::*;

pub fn steps(steps: &mut Steps<'_>) {
    let model = steps.model;
    for k in model.reconcilers() {
        let reconciler = steps.now.reconcilers[k];
        match reconciler.job {
            Job::Idle => claim(steps, k),
            Job::Claimed(epoch) => steps.to(
                "reconciler bumps the generations for epoch",
                epoch.into(),
                |world| {
                    bump(model, world, k);
                    world.reconcilers[k].job = Job::Fencing(epoch);
                },
            ),
            Job::Fencing(epoch) => fence_wait(steps, k, epoch),
            Job::Granting(epoch) => steps.to("reconciler grants epoch", epoch.into(), |world| {
                grant(model, world, k, epoch);
            }),
            Job::Granted(epoch) => steps.to("engine begins epoch", epoch.into(), |world| {
                begin(model, world, k, epoch)
            }),
            Job::Begun(epoch) => {
                steps.to("engine loads the gate of epoch", epoch.into(), |world| {
                    load(model, world, k, epoch);
                })
            }
            Job::Loaded(epoch) => steps.to("engine opens epoch", epoch.into(), |world| {
                open(model, world, k, epoch)
            }),
            Job::Opened(epoch) => steps.to("reconciler announces epoch", epoch.into(), |world| {
                // open-by-condition (R14): only while it is still the newest.
                if world.database.newest == epoch || model.lacks(Removed::R14ConditionalOpening) {
                    world.database.open = epoch;
                    world.database.newest = epoch;
                    if model.lacks(Removed::R16TakenWithTheGrant) {
                        world.database.wanted = None;
                    }
                }
                give_up(world, k);
            }),
            _ => {}
        }
    }
}

fn claim(steps: &mut Steps<'_>, k: usize) {
    let database = &steps.now.database;
    if database.newest >= steps.model.config.epochs || !steps.now.window {
        return;
    }
    let is_needed =
        database.open != database.newest || !engine::sells(steps.model, steps.now, database.open);
    let is_needed = is_needed || database.wanted.is_some();
    if is_needed || steps.now.left.needless_openings > 0 {
        steps.to("reconciler claims the next epoch", k, |world| {
            world.left.needless_openings -= u8::from(!is_needed);
            world.database.newest += 1;
            // An ended sale whose window has been moved is looked after again.
            world.database.ended = false;
            world.reconcilers[k].job = Job::Claimed(world.database.newest);
        });
    }
}

/// Unbinding is the second defence only: what is routed already still arrives.
fn bump(model: &Protocol, world: &mut World, k: usize) {
    for p in model.publishers() {
        let incarnation = &mut world.database.incarnations[p];
        if incarnation.state == State::Live {
            incarnation.generation += 1;
        }
        world.reconcilers[k].bumped[p] = incarnation.generation;
        world.reconcilers[k].todo |= bit(p);
        world.queues[p].bindings &= bit(incarnation.generation.into());
    }
}

/// fence-wait (R1): until the publisher has acknowledged, or its lease has surely run out.
fn fence_wait(steps: &mut Steps<'_>, k: usize, epoch: u8) {
    let model = steps.model;
    let reconciler = steps.now.reconcilers[k];
    let Some(p) = model.publishers().find(|p| has(reconciler.todo, *p)) else {
        return;
    };
    let incarnation = steps.now.database.incarnations[p];
    let is_over = incarnation.acknowledged >= reconciler.bumped[p]
        || !incarnation.lease
        || incarnation.state == State::Gone
        || model.lacks(Removed::R1FenceWait);
    if is_over {
        steps.to("reconciler has fenced publisher", p, |world| {
            world.reconcilers[k].todo &= !bit(p);
            if world.reconcilers[k].todo == 0 {
                world.reconcilers[k].job = Job::Draining(epoch);
                world.reconcilers[k].bumped = Reconciler::IDLE.bumped;
                world.reconcilers[k].todo = model.publishers().map(bit).sum();
            }
        });
    }
}

/// Too early a read of the rows, where a rule against it is taken out.
pub fn after_draining(model: &Protocol, world: &mut World, k: usize) {
    if model.lacks(Removed::R11LockBeforeTheRead) || model.lacks(Removed::R11OneSnapshot) {
        read(model, world, k);
    }
}

/// The live rows: what they take, and whom they keep from buying again (gate-from-rows, R19: paid
/// ones too).
fn read(model: &Protocol, world: &mut World, k: usize) {
    let mut taken = 0;
    let mut gate = [None; USERS];
    for order in model.requests() {
        let row = world.database.rows[order];
        taken += i8::from(row.is_live());
        if row == Row::Live || row.is_live() && !model.lacks(Removed::R19PaidRowsInTheGate) {
            gate[model.user(order)] = Some(order);
        }
    }
    stock::apply(model, world, taken);
    world.reconcilers[k].granted = world.database.total - taken;
    world.reconcilers[k].gate = gate;
}

/// grant-under-lock (R11): one transaction that locks the allocations first and then reads the
/// rows.
fn grant(model: &Protocol, world: &mut World, k: usize, epoch: u8) {
    if world.database.newest != epoch {
        return give_up(world, k);
    }
    let earlier = world.reconcilers[k];
    if !model.lacks(Removed::R11LockBeforeTheRead) {
        read(model, world, k);
    }
    if model.lacks(Removed::R11OneSnapshot) {
        world.reconcilers[k].gate = earlier.gate;
    }
    for allocation in world
        .database
        .allocations
        .iter_mut()
        .filter(|allocation| allocation.open)
    {
        allocation.open = false;
        if !model.lacks(Removed::R11ClosedKeepsOnlyItsSold) {
            allocation.granted = allocation.sold;
        }
    }
    let granted = world.reconcilers[k].granted;
    world.database.allocations[usize::from(epoch)] = Allocation {
        granted,
        sold: 0,
        open: true,
    };
    world.reconcilers[k].job = Job::Granted(epoch);
}

fn begin(model: &Protocol, world: &mut World, k: usize, epoch: u8) {
    if world.engine.epoch >= epoch {
        return give_up(world, k);
    }
    let scripts = if model.lacks(Removed::R13ScriptBeforeTheData) {
        0
    } else {
        bit(epoch.into())
    };
    world.engine = Engine {
        scripts: world.engine.scripts | scripts,
        epoch,
        ..Engine::EMPTY
    };
    world.reconcilers[k].job = Job::Begun(epoch);
}

/// lost-server-noticed (R13): every step of an opening runs through the script of its nonce.
fn is_loading(model: &Protocol, world: &World, epoch: u8) -> bool {
    let is_same_life = has(world.engine.scripts, epoch.into())
        && world.engine.epoch == epoch
        && !world.engine.open;
    is_same_life || model.lacks(Removed::R13ScriptBeforeTheData) && world.engine.epoch <= epoch
}

fn load(model: &Protocol, world: &mut World, k: usize, epoch: u8) {
    if !is_loading(model, world, epoch) {
        return give_up(world, k);
    }
    world.engine.gate = world.reconcilers[k].gate;
    world.reconcilers[k].job = Job::Loaded(epoch);
}

fn open(model: &Protocol, world: &mut World, k: usize, epoch: u8) {
    if !is_loading(model, world, epoch) {
        return give_up(world, k);
    }
    world.engine.scripts |= bit(epoch.into());
    world.engine.epoch = epoch;
    world.engine.open = true;
    world.engine.remaining = world.reconcilers[k].granted;
    world.engine.granted = world.engine.remaining;
    world.sold_out = false;
    world.reconcilers[k].job = Job::Opened(epoch);
}
