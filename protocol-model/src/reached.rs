//! The states that a search must have reached to mean something.

use crate::invariants::is_quiet;
use crate::model::Protocol;
use crate::world::*;
use stateright::Property;

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
pub const MET_ANOTHER: &str = "a cancel finds the order cancelled by another";
pub const MET_PAYMENT: &str = "a cancel finds the order paid";
pub const MET_EXPIRY: &str = "a cancel finds the order expired";
pub const LATE_PAYMENT: &str = "a payment finds the order expired";
pub const COMPLETED: &str = "an order is completed";
pub const MET_GRANT: &str = "a change finds its pool row closed";
pub const OVERTAKES: &str = "a cancel overtakes the settle of its order";
pub const LATE_RELEASE: &str = "a release comes late, when its buyer has bought again";
pub const BOUGHT_AGAIN: &str = "a buyer whose order was cancelled buys again";
pub const OTHER_BUYS: &str = "a cancelled unit is accepted again";
pub const LEFT_AT_END: &str = "the sale has ended with a release left to be done";
pub const PAUSED: &str = "a release is left to be done in a paused sale";
pub const REPLAYED: &str = "an order of a dead letter is live";
pub const TOO_LATE: &str = "an order of a dead letter is refused, because its epoch is over";
pub const GIVEN_UP: &str = "an order that an operator gave up is void";
pub const PROMISED_AGAIN: &str =
    "an order that was given up is live, because it was asked for again";
pub const RAISED: &str = "an order of a raised total is accepted";
pub const CUT: &str = "the total is cut";
pub const REFUSED_MEANWHILE: &str = "a buyer is refused while a cancelled unit is not released yet";
pub const CUT_SHORT: &str = "less is cut than was wanted";

const REACHED: [(&str, Condition); 31] = [
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
        let is_cancelled = |order: usize| world.database.rows[order].is_cancelled();
        let is_late = |order: usize| world.requests[order].epoch > 1 && has(world.accepted, order);
        model.requests().any(is_cancelled)
            && model
                .requests()
                .any(|order| is_late(order) && !is_cancelled(order))
    }),
    (PARKED, |_, world| {
        let parked = world.database.parked_messages.iter();
        let parked = parked.fold(world.database.lost_orders, |all, of| all | of);
        world.accepted & parked != 0
    }),
    (MET_ANOTHER, |model, world| {
        finds(model, world, Change::Cancel, Row::Cancelled)
    }),
    (MET_PAYMENT, |model, world| {
        finds(model, world, Change::Cancel, Row::Paid)
    }),
    (MET_EXPIRY, |model, world| {
        finds(model, world, Change::Cancel, Row::Expired)
    }),
    (LATE_PAYMENT, |model, world| {
        finds(model, world, Change::Pay, Row::Expired)
    }),
    (COMPLETED, |_, world| {
        world.database.rows.contains(&Row::Completed)
    }),
    (MET_GRANT, |_, world| {
        let is_closed = |hand: &Hand| match hand {
            Hand::Looked { pool, .. } => !world.database.allocations[*pool].open,
            Hand::Idle | Hand::Called(_) => false,
        };
        world.hands.iter().any(is_closed)
    }),
    (OVERTAKES, |model, world| {
        let is_open = |order: usize| world.engine.holds[order].is_some();
        cancelled(model, world).any(is_open)
    }),
    (LATE_RELEASE, |model, world| {
        let is_done = |order: usize| world.database.outbox[order] == 0;
        let bought = |order: usize| bought_again(model, world, order);
        cancelled(model, world).any(|order| {
            world.hands.contains(&Hand::Called(order)) && is_done(order) && bought(order)
        })
    }),
    (BOUGHT_AGAIN, |model, world| {
        cancelled(model, world).any(|order| bought_again(model, world, order))
    }),
    (OTHER_BUYS, |model, world| {
        let is_live = |other: usize| world.database.rows[other].is_live();
        let total = world.database.total;
        total == 1 && cancelled(model, world).next().is_some() && model.requests().any(is_live)
    }),
    (LEFT_AT_END, |_, world| {
        world.database.ended && world.database.outbox != [0; REQUESTS]
    }),
    (PAUSED, |_, world| {
        world.database.paused && world.database.outbox != [0; REQUESTS]
    }),
    (REPLAYED, |model, world| {
        world.left.replays < model.config.budget.replays && world.database.rows.contains(&Row::Live)
    }),
    (TOO_LATE, |model, world| {
        let is_void = |order: usize| world.database.rows[order] == Row::Void;
        let is_late = |order: usize| has(world.ghost.too_late & world.accepted, order);
        model
            .requests()
            .any(|order| is_void(order) && is_late(order))
    }),
    (GIVEN_UP, |model, world| {
        let is_void = |order: usize| world.database.rows[order] == Row::Void;
        model
            .requests()
            .any(|order| is_void(order) && has(world.ghost.discarded, order))
    }),
    (PROMISED_AGAIN, |model, world| {
        world.left.discards < model.config.budget.discards
            && world.database.rows.contains(&Row::Live)
    }),
    (RAISED, |model, world| {
        let accepted = i8::try_from(world.accepted.count_ones()).expect("few");
        accepted > model.config.total && !world.database.rows.iter().any(|row| row.is_cancelled())
    }),
    (CUT, |model, world| {
        world.database.total < model.config.total
    }),
    (REFUSED_MEANWHILE, |_, world| {
        world.sold_out && world.database.outbox != [0; REQUESTS]
    }),
    (CUT_SHORT, |_, world| {
        world.database.wanted.is_none() && world.database.total > world.ghost.asked
    }),
];

fn finds(model: &Protocol, world: &World, wanted: Change, row: Row) -> bool {
    let is_it = |hand: &Hand| match hand {
        Hand::Looked { order, change, .. } => {
            *change == wanted && world.database.rows[*order] == row
        }
        Hand::Idle | Hand::Called(_) => false,
    };
    model.config.hands > 0 && world.hands.iter().any(is_it)
}

fn cancelled(model: &Protocol, world: &World) -> impl Iterator<Item = usize> {
    let rows = world.database.rows;
    model
        .requests()
        .filter(move |order| rows[*order].is_cancelled())
}

fn bought_again(model: &Protocol, world: &World, order: usize) -> bool {
    let is_live = |other: &usize| world.database.rows[*other].is_live();
    let is_theirs = |other: &usize| model.user(*other) == model.user(order);
    model
        .requests()
        .any(|other| is_theirs(&other) && is_live(&other))
}
