//! A smaller model of stock leased into processes: refill and hand-back (units-in-one-place, R16),
//! partitions of users that move between living processes, and who may say "sold out"
//! (sold-out-means-gone, R18). One unit or two, two processes, one buyer at home in each.
//!
//! Publishing is one step here; that a lease which ran out says no yes is the other model's
//! business (fence-wait, R1). What can happen in it is in `lease_steps`; cancels
//! (cancel-moves-the-right, R15), their releases by the owner of the buyer (release-by-epoch, R12),
//! and the next epoch are in `lease_cancels`.

use crate::lease_cancels;
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
    R12WrongInstanceIsNotDone,
    R15RightGoesToThePool,
    R15ReleaseOnlyClearsTheGate,
    R18LooksAtThePool,
}

#[derive(Clone, Copy, Debug)]
pub struct Leases {
    pub total: i8,
    /// How often orders are cancelled, and epochs opened.
    pub cancels: u8,
    pub openings: u8,
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
    pub cancels_left: u8,
    pub openings_left: u8,
    pub voids_left: u8,
    /// Epoch of the pool's row, and the one that was announced last.
    pub pool: u8,
    pub open: u8,
    /// Live orders of earlier epochs; the allocations that count them are granted no more.
    pub earlier: i8,
    /// Epoch of each order's release that is left to be done, 0 for none.
    pub outbox: [[u8; PROCESSES]; PROCESSES],
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
    /// Epoch under which it sells, 0 for none.
    pub term: u8,
    /// By buyer, the process at which their order was made; and whether its hold is open.
    pub gate: [Option<usize>; PROCESSES],
    pub has_hold: [bool; PROCESSES],
    /// Units of open holds that were released: of orders that the lease counted, and of others.
    /// Only a look at the rows tells them apart.
    pub released_counted: i8,
    pub released_uncounted: i8,
}

impl Process {
    /// It knows nothing of any epoch.
    pub const IDLE: Self = Self {
        memory: 0,
        is_alive: true,
        coming: 0,
        going: 0,
        is_repeatable: false,
        term: 0,
        gate: [None; PROCESSES],
        has_hold: [false; PROCESSES],
        released_counted: 0,
        released_uncounted: 0,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    None,
    Held,
    /// In the queue; the buyer was told yes, or, after their partition moved, "unknown".
    Accepted,
    Unknown,
    Live,
    /// Live, of an earlier epoch.
    Kept,
    Cancelled,
    Void,
    /// The guard or a key refused an accepted one.
    Refused,
}

impl Order {
    pub fn is_live(self) -> bool {
        matches!(self, Order::Live | Order::Kept)
    }
}

impl World {
    pub fn has_live(&self, user: usize) -> bool {
        self.orders[user].iter().any(|order| order.is_live())
    }

    /// Whether `p` may sell, and look after holds.
    pub fn serves(&self, p: usize) -> bool {
        self.processes[p].is_alive && self.processes[p].term > 0 && !self.leases[p].is_closed
    }
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
                term: 1,
                ..Process::IDLE
            }; PROCESSES],
            orders: [[Order::None; PROCESSES]; PROCESSES],
            owner: [0, 1],
            moves_left: 1,
            kills_left: 1,
            cancels_left: self.cancels,
            openings_left: self.openings,
            voids_left: self.cancels,
            pool: 1,
            open: 1,
            earlier: 0,
            outbox: [[0; PROCESSES]; PROCESSES],
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
                    granted + world.unallocated + world.earlier <= model.total
                        && world.unallocated >= 0
                        && world.earlier >= 0
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
                "(d) stock is conserved when quiet",
                |model, world: &World| {
                    let sold: i8 = world.leases.iter().map(|lease| lease.sold).sum();
                    !is_quiet(world) || sold + world.earlier + idle(world) == model.total
                },
            ),
            Property::always(
                "(d) nobody is kept from buying but by a live order when quiet",
                |_, world: &World| {
                    let is_right = |user: usize| {
                        let owner = world.owner[user];
                        let is_shut = world.processes[owner].gate[user].is_some();
                        !world.serves(owner) || is_shut == world.has_live(user)
                    };
                    !is_quiet(world) || (0..PROCESSES).all(is_right)
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
        if self.removed.is_none() && self.openings > 0 {
            properties.extend(lease_cancels::reached());
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
    let is_still = |process: &Process| {
        let moving = process.released_counted + process.released_uncounted;
        process.coming + process.going + moving == 0
            && (!process.is_alive || process.term == world.open)
    };
    let is_settled =
        |order: &Order| !matches!(order, Order::Held | Order::Accepted | Order::Unknown);
    world.processes.iter().all(is_still)
        && world.pool == world.open
        && world.outbox == [[0; PROCESSES]; PROCESSES]
        && world
            .processes
            .iter()
            .zip(&world.leases)
            .all(|(process, lease)| process.is_alive || lease.is_closed)
        && world.orders.iter().flatten().all(is_settled)
}
