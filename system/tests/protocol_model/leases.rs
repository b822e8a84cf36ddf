//! A smaller model of stock leased into processes: refill and hand-back (units-in-one-place, R16),
//! partitions of users that move between living processes, and who may say "sold out"
//! (sold-out-means-gone, R18). One unit or two, two processes, one buyer at home in each.
//!
//! Publishing is one step here; that a lease which ran out says no yes is the other model's
//! business (fence-wait, R1). What can happen in it is in `lease_steps`.

use crate::search::Edge;
use stateright::{Model, Property};

/// Also the number of buyers.
pub const PROCESSES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    R16MemoryFirstWhenHandingBack,
    R16DatabaseFirstWhenRefilling,
    R16TransferIds,
    R18NothingIdleElsewhere,
    R18FencedSaysUnavailable,
    R18VoidBeforeTheMove,
}

#[derive(Clone, Copy, Debug)]
pub struct Leases {
    pub total: i8,
    pub removed: Option<Removed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub unallocated: i8,
    pub leases: [Lease; PROCESSES],
    pub processes: [Process; PROCESSES],
    /// Orders by buyer and process.
    pub orders: [[Order; PROCESSES]; PROCESSES],
    /// Process that owns each buyer's partition.
    pub owner: [usize; PROCESSES],
    pub moves_left: u8,
    pub kills_left: u8,
    /// Somebody was told "sold out" after the last unit came back.
    pub sold_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub granted: i8,
    pub sold: i8,
    pub is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub memory: i8,
    pub is_alive: bool,
    /// Units on their way between memory and database.
    pub coming: i8,
    pub going: i8,
    /// A hand-back that was executed and may be sent again because its answer was lost.
    pub is_repeatable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    None,
    Held,
    /// In the queue; the buyer was told yes, or, after their partition moved, "unknown".
    Accepted,
    Unknown,
    Live,
    Void,
    /// The guard or a key refused an accepted one.
    Refused,
}

impl Leases {
    pub fn lacks(&self, rule: Removed) -> bool {
        self.removed == Some(rule)
    }
}

impl Model for Leases {
    type State = World;
    type Action = Edge<World>;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            unallocated: self.total,
            leases: [Lease {
                granted: 0,
                sold: 0,
                is_closed: false,
            }; PROCESSES],
            processes: [Process {
                memory: 0,
                is_alive: true,
                coming: 0,
                going: 0,
                is_repeatable: false,
            }; PROCESSES],
            orders: [[Order::None; PROCESSES]; PROCESSES],
            owner: [0, 1],
            moves_left: 1,
            kills_left: 1,
            sold_out: false,
        }]
    }

    fn actions(&self, world: &World, edges: &mut Vec<Edge<World>>) {
        self.steps(world, edges);
    }

    fn next_state(&self, _world: &World, edge: Edge<World>) -> Option<World> {
        Some(edge.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "(a) no more is granted than there is, and no more sold than granted",
                |model: &Self, world: &World| {
                    let granted: i8 = world.leases.iter().map(|lease| lease.granted).sum();
                    granted + world.unallocated <= model.total
                        && world
                            .leases
                            .iter()
                            .all(|lease| 0 <= lease.sold && lease.sold <= lease.granted)
                },
            ),
            Property::always(
                "(b) an accepted order is not refused",
                |_, world: &World| {
                    world
                        .orders
                        .iter()
                        .flatten()
                        .all(|order| *order != Order::Refused)
                },
            ),
            Property::always(
                "(f) sold out was true of what is left when quiet",
                |_, world: &World| !world.sold_out || !is_quiet(world) || idle(world) == 0,
            ),
        ];
        if self.removed.is_none() && self.total < 2 {
            properties.push(Property::sometimes(
                "the unit is sold and the other buyer refused",
                |_, world: &World| {
                    world.sold_out
                        && world
                            .orders
                            .iter()
                            .flatten()
                            .any(|order| *order == Order::Live)
                },
            ));
        }
        properties
    }
}

/// Units that could still be sold: unallocated or in a living process.
fn idle(world: &World) -> i8 {
    world.unallocated
        + world
            .processes
            .iter()
            .map(|process| process.memory)
            .sum::<i8>()
}

fn is_quiet(world: &World) -> bool {
    let is_still = |process: &Process| process.coming == 0 && process.going == 0;
    let is_settled =
        |order: &Order| !matches!(order, Order::Held | Order::Accepted | Order::Unknown);
    world.processes.iter().all(is_still)
        && world
            .processes
            .iter()
            .zip(&world.leases)
            .all(|(process, lease)| process.is_alive || lease.is_closed)
        && world.orders.iter().flatten().all(is_settled)
}
