//! A smaller model of stock leased into processes: refill and hand-back (units-in-one-place, R16),
//! partitions of users that move between living processes, and who may say "sold out"
//! (sold-out-means-gone, R18). One unit or two, two processes, one buyer at home in each.
//!
//! Publishing is one step here; that a lease which ran out says no yes is the other model's
//! business (fence-wait, R1).

use crate::search::Edge;
use stateright::{Model, Property};

/// Also the number of buyers.
const PROCESSES: usize = 2;

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
    unallocated: i8,
    leases: [Lease; PROCESSES],
    processes: [Process; PROCESSES],
    /// Orders by buyer and process.
    orders: [[Order; PROCESSES]; PROCESSES],
    /// Process that owns each buyer's partition.
    owner: [usize; PROCESSES],
    moves_left: u8,
    kills_left: u8,
    /// Somebody was told "sold out" after the last unit came back.
    sold_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lease {
    granted: i8,
    sold: i8,
    is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Process {
    memory: i8,
    is_alive: bool,
    /// Units on their way between memory and database.
    coming: i8,
    going: i8,
    /// A hand-back that was executed and may be sent again because its answer was lost.
    is_repeatable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
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
    fn lacks(&self, rule: Removed) -> bool {
        self.removed == Some(rule)
    }
}

struct Steps<'a>(&'a World, &'a mut Vec<Edge<World>>);

impl Steps<'_> {
    fn to(&mut self, what: &'static str, number: usize, change: impl FnOnce(&mut World)) {
        let mut next = *self.0;
        change(&mut next);
        self.1.push(Edge { what, number, next });
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
        let mut steps = Steps(world, edges);
        for p in 0..PROCESSES {
            self.rights(&mut steps, p);
            self.ends(&mut steps, p);
            for user in 0..PROCESSES {
                self.order(&mut steps, user, p);
            }
        }
        for user in 0..PROCESSES {
            self.move_partition(&mut steps, user);
        }
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

impl Leases {
    /// units-in-one-place (R16): rights coming in, database first; rights going out, memory first;
    /// each with an id, executed once.
    fn rights(&self, steps: &mut Steps<'_>, p: usize) {
        let (process, lease) = (steps.0.processes[p], steps.0.leases[p]);
        if !process.is_alive || lease.is_closed {
            return;
        }
        let memory_first = self.lacks(Removed::R16DatabaseFirstWhenRefilling);
        if memory_first && steps.0.unallocated > 0 && process.coming == 0 {
            steps.to("memory is filled first, process", p, |world| {
                world.processes[p].memory += 1;
                world.processes[p].coming = 1;
            });
        }
        if memory_first && process.coming > 0 {
            steps.to("database follows, process", p, |world| {
                world.processes[p].coming = 0;
                if world.unallocated > 0 {
                    world.unallocated -= 1;
                    world.leases[p].granted += 1;
                }
            });
        }
        if !memory_first && steps.0.unallocated > 0 && process.coming == 0 {
            steps.to("database grants, process", p, |world| {
                world.unallocated -= 1;
                world.leases[p].granted += 1;
                world.processes[p].coming = 1;
            });
        }
        if !memory_first && process.coming > 0 {
            steps.to("memory is filled, process", p, |world| {
                world.processes[p].coming = 0;
                world.processes[p].memory += 1;
            });
        }
        self.hand_back(steps, p);
    }

    fn hand_back(&self, steps: &mut Steps<'_>, p: usize) {
        let process = steps.0.processes[p];
        let database_first = self.lacks(Removed::R16MemoryFirstWhenHandingBack);
        if process.memory > 0 && process.going == 0 {
            steps.to("hand-back begins, process", p, |world| {
                world.processes[p].going = 1;
                if database_first {
                    world.unallocated += 1;
                    world.leases[p].granted -= 1;
                } else {
                    world.processes[p].memory -= 1;
                }
            });
        }
        if process.going > 0 {
            steps.to("hand-back ends, process", p, |world| {
                world.processes[p].going = 0;
                if database_first {
                    world.processes[p].memory = (process.memory - 1).max(0);
                } else {
                    world.unallocated += 1;
                    world.leases[p].granted -= 1;
                    world.processes[p].is_repeatable = true;
                }
            });
        }
        if process.is_repeatable {
            steps.to("hand-back arrives twice, process", p, |world| {
                world.processes[p].is_repeatable = false;
                if self.lacks(Removed::R16TransferIds) {
                    world.unallocated += 1;
                    world.leases[p].granted -= 1;
                }
            });
        }
    }

    /// The life of the order of `user` at process `p`.
    fn order(&self, steps: &mut Steps<'_>, user: usize, p: usize) {
        let (process, order) = (steps.0.processes[p], steps.0.orders[user][p]);
        let owns = steps.0.owner[user] == p;
        let has_live = steps.0.orders[user].contains(&Order::Live);
        match order {
            Order::None if process.is_alive && owns && !has_live => {
                if process.memory > 0 {
                    steps.to("buyer is granted the unit, buyer", user, |world| {
                        world.processes[p].memory -= 1;
                        world.orders[user][p] = Order::Held;
                    });
                } else if self.may_say_sold_out(steps.0, p) {
                    steps.to("buyer is told sold out, buyer", user, |world| {
                        world.sold_out = true
                    });
                }
            }
            // A publish that was under way goes on, whoever owns the partition by then; yes is said
            // by the owner only.
            Order::Held if process.is_alive => {
                steps.to("order is published, buyer", user, |world| {
                    world.orders[user][p] = if owns {
                        Order::Accepted
                    } else {
                        Order::Unknown
                    };
                })
            }
            Order::Accepted | Order::Unknown => {
                steps.to("order is consumed, buyer", user, |world| {
                    let lease = &mut world.leases[p];
                    let is_right = !lease.is_closed && lease.sold < lease.granted && !has_live;
                    lease.sold += i8::from(is_right);
                    world.orders[user][p] = match (is_right, order) {
                        (true, _) => Order::Live,
                        (false, Order::Accepted) => Order::Refused,
                        (false, _) => Order::Void,
                    };
                })
            }
            _ => {}
        }
    }

    /// sold-out-means-gone (R18): only if nothing is idle anywhere, seen from the database; and
    /// never by one whose lease is over.
    fn may_say_sold_out(&self, world: &World, p: usize) -> bool {
        let (process, lease) = (world.processes[p], world.leases[p]);
        if lease.is_closed {
            return self.lacks(Removed::R18FencedSaysUnavailable);
        }
        let is_empty =
            world.unallocated == 0 && process.memory + process.coming + process.going == 0;
        let elsewhere = world
            .leases
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != p);
        let is_all_sold = elsewhere
            .map(|(_, lease)| lease.granted - lease.sold)
            .sum::<i8>()
            == 0;
        is_empty && (is_all_sold || self.lacks(Removed::R18NothingIdleElsewhere))
    }

    /// A killed process: its lease is fenced, its queue drained, and what it did not sell goes
    /// back. A living one that is fenced (it stalled) forgets its memory.
    fn ends(&self, steps: &mut Steps<'_>, p: usize) {
        let (process, lease) = (steps.0.processes[p], steps.0.leases[p]);
        if process.is_alive && steps.0.kills_left > 0 {
            steps.to("process is killed,", p, |world| {
                world.kills_left -= 1;
                world.processes[p].is_alive = false;
                world.processes[p].memory = 0;
            });
            let is_queued = |user: usize| {
                !matches!(
                    steps.0.orders[user][p],
                    Order::None | Order::Live | Order::Void
                )
            };
            if !lease.is_closed && !(0..PROCESSES).any(is_queued) {
                steps.to("process stalls and is fenced,", p, |world| {
                    world.kills_left -= 1;
                    close(world, p);
                });
            }
        }
        let is_drained = (0..PROCESSES)
            .all(|user| !matches!(steps.0.orders[user][p], Order::Accepted | Order::Unknown));
        if !process.is_alive && !lease.is_closed && is_drained {
            steps.to("lease is fenced, drained and closed, process", p, |world| {
                close(world, p)
            });
        }
    }

    /// The gate at the new owner is loaded from rows, so open holds must have one: VOID if need be.
    fn move_partition(&self, steps: &mut Steps<'_>, user: usize) {
        let from = steps.0.owner[user];
        // Drained first: what was told yes has its row.
        if steps.0.moves_left == 0 || steps.0.orders[user][from] == Order::Accepted {
            return;
        }
        steps.to("partition moves, buyer", user, |world| {
            world.moves_left -= 1;
            world.owner[user] = (from + 1) % PROCESSES;
            if world.orders[user][from] == Order::Held && !self.lacks(Removed::R18VoidBeforeTheMove)
            {
                world.orders[user][from] = Order::Void;
                world.processes[from].memory += i8::from(world.processes[from].is_alive);
                world.sold_out = false;
            }
        });
    }
}

fn close(world: &mut World, p: usize) {
    let lease = &mut world.leases[p];
    world.unallocated += lease.granted - lease.sold;
    // Units that come back make an earlier "sold out" a thing of the past.
    world.sold_out &= lease.granted == lease.sold;
    lease.granted = lease.sold;
    lease.is_closed = true;
    world.processes[p] = Process {
        memory: 0,
        coming: 0,
        going: 0,
        is_repeatable: false,
        ..world.processes[p]
    };
    for orders in &mut world.orders {
        if orders[p] == Order::Held {
            orders[p] = Order::Void;
        }
    }
}
