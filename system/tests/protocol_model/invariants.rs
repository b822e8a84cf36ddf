//! The invariants (a) to (f) of the consistency contract, and the states that a search must have
//! reached to mean something.

use crate::engine;
use crate::model::Protocol;
use crate::world::*;
use stateright::Property;

pub fn always() -> Vec<Property<Protocol>> {
    vec![
        Property::always(
            "(a) no more is granted than there is, and no more sold than granted",
            rights,
        ),
        Property::always(
            "(b) an accepted order is live or cancelled by its buyer, or on its way",
            accepted,
        ),
        Property::always("(c) a buyer has one live order", one_live),
        Property::always("(d) stock is conserved when quiet", conserved),
        Property::always("(e) a buyer who was refused has no order", refused),
        Property::always(
            "(e) nobody with an accepted order is told that the sale has ended",
            |_, world: &World| !world.wrongly_ended,
        ),
        Property::always(
            "(e) a buyer who was told that the sale has ended has no order",
            ended,
        ),
        Property::always("(f) sold out was true of what is left when quiet", sold_out),
        Property::always(
            "(progress) whoever serves a generation has acknowledged it",
            acknowledged,
        ),
        Property::always(
            "(rest) a sale that has ended leaves nothing in the engine when quiet",
            forgotten,
        ),
    ]
}

pub fn reached(names: &[&'static str]) -> Vec<Property<Protocol>> {
    names
        .iter()
        .map(|name| {
            Property::sometimes(
                name,
                REACHED.iter().find(|r| r.0 == *name).expect("known").1,
            )
        })
        .collect()
}

type Condition = fn(&Protocol, &World) -> bool;

pub const ACCEPTED: &str = "an order is accepted";
pub const QUIET_SALE: &str = "everything is sold and quiet";
pub const VOIDED: &str = "an orphan is voided and its unit accepted again";
pub const REOPENED: &str = "an order is accepted in a later epoch";
pub const REFUSED_LATE: &str = "a late order is refused by the guard";
pub const RETIRED: &str = "a retired queue is deleted";
pub const RESOLD: &str = "a cancelled unit is accepted again in a later epoch";
pub const PARKED: &str = "an accepted order is parked, or gone with its queue";

pub const ENDED: &str = "a sale has ended";
pub const TOLD_ENDED: &str = "a buyer without an order is told that the sale has ended";
pub const TOLD_AFTERWARDS: &str = "a buyer is told of their order after the sale has ended";

const REACHED: [(&str, Condition); 11] = [
    (ENDED, |_, world| world.database.ended),
    (TOLD_ENDED, |_, world| {
        world.database.ended && world.told_ended != 0
    }),
    (TOLD_AFTERWARDS, |model, world| {
        let is_from_rows = |r: usize| {
            world.requests[r].epoch == 0 && world.requests[r].phase == Phase::Done(Answer::Accepted)
        };
        world.database.ended && model.requests().any(is_from_rows)
    }),
    (ACCEPTED, |_, world| world.accepted > 0),
    (QUIET_SALE, |model, world| {
        world.accepted > 0 && is_quiet(model, world) && world.engine.remaining == 0
    }),
    (VOIDED, |_, world| {
        let has_void =
            world.database.rows.contains(&Row::Void) && world.database.parked_orders == 0;
        has_void && world.accepted > 0 && world.database.newest == 1
    }),
    (REOPENED, |model, world| {
        model
            .requests()
            .any(|order| has(world.accepted, order) && world.requests[order].epoch > 1)
    }),
    (REFUSED_LATE, |_, world| world.database.parked_orders > 0),
    (RETIRED, |model, world| {
        model
            .publishers()
            .any(|p| !world.queues[p].exists && world.database.incarnations[p].state == State::Gone)
    }),
    (RESOLD, |model, world| {
        let is_cancelled = |order: usize| world.database.rows[order] == Row::Cancelled;
        let is_late = |order: usize| world.requests[order].epoch > 1 && has(world.accepted, order);
        model.requests().any(is_cancelled)
            && model
                .requests()
                .any(|order| is_late(order) && !is_cancelled(order))
    }),
    (PARKED, |_, world| {
        world.accepted & world.database.unreadable != 0
    }),
];

fn rights(model: &Protocol, world: &World) -> bool {
    let allocations = &world.database.allocations;
    let granted: i8 = allocations
        .iter()
        .map(|allocation| allocation.granted)
        .sum();
    let is_within =
        |allocation: &Allocation| 0 <= allocation.sold && allocation.sold <= allocation.granted;
    granted <= model.config.total
        && allocations.iter().all(is_within)
        && world.engine.remaining >= 0
}

fn accepted(model: &Protocol, world: &World) -> bool {
    model
        .requests()
        .filter(|order| has(world.accepted, *order))
        .all(|order| match world.database.rows[order] {
            Row::Live | Row::Paid | Row::Cancelled => true,
            Row::Void => false,
            Row::None => has(world.database.unreadable, order) || is_under_way(model, world, order),
        })
}

/// Whether a consumer will come upon it.
fn is_under_way(model: &Protocol, world: &World, order: usize) -> bool {
    model.publishers().any(|q| {
        let queue = &world.queues[q];
        let is_read =
            queue.channel != Channel::Closed || world.database.incarnations[q].state != State::Gone;
        let carries =
            |message| matches!(message, Message::Order(o) | Message::Poison(o) if o == order);
        // Under one-consumer-per-queue (R4) a consumer never has the only copy.
        queue.exists
            && (is_read && queue.messages.iter().any(carries) || queue.zombie.iter().any(carries))
    })
}

fn one_live(model: &Protocol, world: &World) -> bool {
    (0..USERS).all(|user| {
        let is_his =
            |order: &usize| model.user(*order) == user && world.database.rows[*order].is_live();
        model.requests().filter(is_his).count() <= 1
    })
}

/// Nothing is under way and nothing is left to repair.
fn is_quiet(model: &Protocol, world: &World) -> bool {
    let database = &world.database;
    let is_open = database.open == database.newest && engine::sells(model, world, database.open);
    is_open
        && world.engine.holds.iter().all(Option::is_none)
        && world
            .reconcilers
            .iter()
            .all(|reconciler| reconciler.job == Job::Idle)
        && world
            .queues
            .iter()
            .all(|queue| queue.messages.len() == 0 && queue.zombie.len() == 0)
        && world.requests.iter().all(|request| {
            request.flight == Flight::None
                && matches!(request.phase, Phase::NotSent | Phase::Done(_))
        })
        && database.outbox == [0; REQUESTS]
}

fn conserved(model: &Protocol, world: &World) -> bool {
    let sold = world
        .database
        .rows
        .iter()
        .filter(|row| row.is_live())
        .count();
    !is_quiet(model, world)
        || i8::try_from(sold).expect("few") + world.engine.remaining == model.config.total
}

fn refused(model: &Protocol, world: &World) -> bool {
    model
        .requests()
        .filter(|order| world.database.rows[*order].is_live())
        .all(|order| {
            model
                .requests()
                .filter(|r| model.user(*r) == model.user(order))
                .any(|r| {
                    !matches!(
                        world.requests[r].phase,
                        Phase::NotSent
                            | Phase::Done(Answer::SoldOut | Answer::Ended | Answer::Unavailable)
                    )
                })
        })
}

fn sold_out(model: &Protocol, world: &World) -> bool {
    !world.sold_out || world.engine.remaining < 1 || !is_quiet(model, world)
}

/// Else whoever fenced it to this generation waits for an acknowledgement that never comes.
fn acknowledged(model: &Protocol, world: &World) -> bool {
    model.publishers().all(|p| {
        let (publisher, incarnation) = (&world.publishers[p], &world.database.incarnations[p]);
        let is_current =
            publisher.life == Life::Serving && publisher.generation == incarnation.generation;
        !is_current
            || incarnation.state != State::Live
            || incarnation.acknowledged == incarnation.generation
    })
}

/// An engine that was lost after the window's end says nothing of its holds. An order that its
/// buyer was told "unknown" about may still come then, after an "ended"; an accepted one may not.
fn ended(model: &Protocol, world: &World) -> bool {
    model.config.budget.engine_losses > 0
        || !model
            .requests()
            .filter(|order| has(world.told_ended, model.user(*order)))
            .any(|order| world.database.rows[order].is_live())
}

fn forgotten(_: &Protocol, world: &World) -> bool {
    let is_busy = |reconciler: &Reconciler| reconciler.job != Job::Idle;
    let engine = &world.engine;
    let is_empty = engine.gate == [None; USERS] && engine.holds == [None; REQUESTS];
    !world.database.ended || world.reconcilers.iter().any(is_busy) || is_empty && !engine.open
}
