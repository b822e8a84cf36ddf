//! A total that changes, and a sale that is paused (units-in-one-place, R16).

use crate::model::{Protocol, Steps};
use crate::rules::Removed;
use crate::world::*;

pub fn steps(steps: &mut Steps<'_>) {
    let model = steps.model;
    let now = steps.now;
    let asked = usize::from(now.left.wants);
    if let Some(total) = model.config.wants.iter().rev().nth(asked.wrapping_sub(1)) {
        steps.to(
            "administrator wants a total of",
            usize::try_from(*total).unwrap_or(0),
            |world| {
                world.left.wants -= 1;
                world.ghost.asked = *total;
                want(model, world, *total);
            },
        );
    }
    if now.database.paused {
        steps.to("administrator resumes the sale", 0, |world| {
            world.database.paused = false;
        });
    } else if now.left.pauses > 0 {
        steps.to("administrator pauses the sale", 0, |world| {
            world.left.pauses -= 1;
            world.database.paused = true;
        });
    }
}

/// Only the next epoch's grant changes anything: until then somebody may be selling what is to go.
fn want(model: &Protocol, world: &mut World, total: i8) {
    let database = &mut world.database;
    let is_at_once = if total < database.total {
        model.lacks(Removed::R16CutAfterTheDrain)
    } else {
        model.lacks(Removed::R16RaiseByAnEpoch)
    };
    if !is_at_once {
        database.wanted = Some(total);
        return;
    }
    let by = total - database.total;
    let open = database
        .allocations
        .iter_mut()
        .find(|allocation| allocation.open);
    if let Some(open) = open.filter(|open| open.granted + by >= open.sold) {
        open.granted += by;
        database.total = total;
    }
}

/// In the transaction that grants an epoch: as far down as live orders allow.
pub fn apply(model: &Protocol, world: &mut World, taken: i8) {
    let database = &mut world.database;
    if let Some(wanted) = database.wanted {
        database.total = if model.lacks(Removed::R16NoLessThanIsSold) {
            wanted
        } else {
            wanted.max(taken)
        };
    }
    if !model.lacks(Removed::R16TakenWithTheGrant) {
        database.wanted = None;
    }
}
