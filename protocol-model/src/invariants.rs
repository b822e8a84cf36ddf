//! The invariants (a) to (f) of the consistency contract.

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
        Property::always(
            "(b) an order is paid or cancelled or expired, once",
            one_fate,
        ),
        Property::always("(c) a buyer has one live order", one_live),
        Property::always("(d) stock is conserved when quiet", conserved),
        Property::always("(d) the total is what was wanted when quiet", as_wanted),
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

fn rights(_: &Protocol, world: &World) -> bool {
    let allocations = &world.database.allocations;
    let granted: i8 = allocations
        .iter()
        .map(|allocation| allocation.granted)
        .sum();
    let is_within =
        |allocation: &Allocation| 0 <= allocation.sold && allocation.sold <= allocation.granted;
    granted <= world.database.total
        && allocations.iter().all(is_within)
        && world.engine.remaining >= 0
}

fn accepted(model: &Protocol, world: &World) -> bool {
    model
        .requests()
        .filter(|order| has(world.accepted, *order))
        .all(|order| match world.database.rows[order] {
            Row::Live | Row::Paid | Row::Completed | Row::Cancelled | Row::Expired => true,
            Row::Void => has(world.ghost.discarded | world.ghost.too_late, order),
            Row::None => {
                let is_parked = |parked: &u8| has(*parked, order);
                world.database.parked_messages.iter().any(is_parked)
                    || has(world.database.lost_orders | world.ghost.discarded, order)
                    || is_under_way(model, world, order)
            }
        })
}

fn one_fate(model: &Protocol, world: &World) -> bool {
    model.requests().all(|order| {
        let changed = |change: Change| has(world.ghost.changed[order], change as usize);
        let row = world.database.rows[order];
        let fates = [Change::Cancel, Change::Pay, Change::Expire].map(changed);
        fates
            == [
                row == Row::Cancelled,
                matches!(row, Row::Paid | Row::Completed),
                row == Row::Expired,
            ]
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
pub fn is_quiet(model: &Protocol, world: &World) -> bool {
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
        && database.wanted.is_none()
}

fn live(world: &World) -> i8 {
    let rows = world.database.rows.iter();
    i8::try_from(rows.filter(|row| row.is_live()).count()).expect("few")
}

/// And nobody is kept from buying but by a live order.
fn conserved(model: &Protocol, world: &World) -> bool {
    let engine = &world.engine;
    let of_gate = |order: &usize| engine.gate[model.user(*order)] == Some(*order);
    let is_live = |order: &usize| world.database.rows[*order].is_live();
    !is_quiet(model, world)
        || live(world) + engine.remaining == world.database.total
            && model
                .requests()
                .all(|order| of_gate(&order) == is_live(&order))
}

/// Or more, as far as it was sold when it was to become less.
fn as_wanted(model: &Protocol, world: &World) -> bool {
    !is_quiet(model, world) || world.database.total >= world.ghost.asked
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
    let is_all_sold = world.database.total - live(world) < 1;
    !world.sold_out || is_all_sold || !is_quiet(model, world)
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
