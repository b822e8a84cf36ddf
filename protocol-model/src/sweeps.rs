//! A smaller model of the expiry's place in the orders: it walks them by id, which is by time, and
//! stores how far it has come. An order that comes late, out of a queue or a dead letter, must not be
//! passed over. Two sweepers, consumers whose transactions take their time, a message that cannot be
//! read.
//!
//! A consumer inserts its row, then looks how old it is: of a young one it says nothing, with an older
//! one it locks the place until its commit and takes it back. Whoever moves the place waits for rows
//! that are not committed, locks it, and looks again.

use crate::search::Edge;
use stateright::{Model, Property};

const ORDERS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A late row takes the place back to before its order.
    LateGoesBack,
    /// The place moves only from where the walk began.
    CompareAndSet,
    /// With the place locked one looks again for unpaid orders in what was walked over.
    StoreLooksAgain,
    /// Before, one waits for rows that are not committed: they were young when they were written.
    StoreWaitsForWriters,
}

#[derive(Clone, Copy, Debug)]
pub struct Sweeps(pub Option<Removed>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// By id, from 1.
    orders: [Order; ORDERS],
    /// Orders up to this id are old enough to expire.
    overdue: i8,
    /// Up to this id every order that has to has expired.
    place: i8,
    sweepers: [Sweeper; 2],
    poison_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    Queued,
    Parked,
    /// Not committed: just inserted, found young, found late with the place locked.
    Inserted,
    Young,
    Late,
    Unpaid,
    Expired,
}

impl Order {
    fn is_under_way(self) -> bool {
        matches!(self, Order::Inserted | Order::Young | Order::Late)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Sweeper {
    Idle,
    Walked {
        from: i8,
        to: i8,
    },
    /// No row of what it walked over was under way.
    Waited {
        from: i8,
        to: i8,
    },
}

fn ids() -> impl Iterator<Item = (usize, i8)> {
    (0..ORDERS).zip(1..)
}

impl Sweeps {
    fn lacks(self, rule: Removed) -> bool {
        self.0 == Some(rule)
    }

    fn order(self, world: &World, (at, id): (usize, i8), edges: &mut Vec<Edge<World>>) {
        let mut to = |what: &'static str, change: &dyn Fn(&mut World)| {
            let mut next = *world;
            change(&mut next);
            edges.push(Edge {
                what,
                number: at + 1,
                next,
            });
        };
        let go_back = |world: &mut World| {
            if !self.lacks(Removed::LateGoesBack) {
                world.place = world.place.min(id - 1);
            }
        };
        match world.orders[at] {
            Order::Queued => {
                to("consumer inserts order", &|world| {
                    world.orders[at] = Order::Inserted;
                });
                if world.poison_left > 0 {
                    to("consumer parks order", &|world| {
                        world.poison_left -= 1;
                        world.orders[at] = Order::Parked;
                    });
                }
            }
            Order::Inserted if id > world.overdue => {
                to("consumer finds it young, order", &|world| {
                    world.orders[at] = Order::Young;
                })
            }
            Order::Inserted => to(
                "consumer locks the place and takes it back for order",
                &|world| {
                    world.orders[at] = Order::Late;
                    go_back(world);
                },
            ),
            Order::Young | Order::Late => to("consumer commits order", &|world| {
                world.orders[at] = Order::Unpaid;
            }),
            Order::Parked => to("operator replays order", &|world| {
                world.orders[at] = Order::Unpaid;
                go_back(world);
            }),
            Order::Unpaid | Order::Expired => {}
        }
    }

    fn sweep(self, world: &World, k: usize, edges: &mut Vec<Edge<World>>) {
        let mut to = |what: &'static str, change: &dyn Fn(&mut World)| {
            let mut next = *world;
            change(&mut next);
            next.sweepers.sort_unstable();
            edges.push(Edge {
                what,
                number: k,
                next,
            });
        };
        match world.sweepers[k] {
            Sweeper::Idle if world.place < world.overdue => to("sweeper walks,", &|world| {
                for (at, id) in ids() {
                    let is_in = world.place < id && id <= world.overdue;
                    if is_in && world.orders[at] == Order::Unpaid {
                        world.orders[at] = Order::Expired;
                    }
                }
                world.sweepers[k] = Sweeper::Walked {
                    from: world.place,
                    to: world.overdue,
                };
            }),
            Sweeper::Walked { from, to: bound } => {
                let waits = |(at, id): (usize, i8)| {
                    from < id && id <= bound && world.orders[at].is_under_way()
                };
                if !ids().any(waits) || self.lacks(Removed::StoreWaitsForWriters) {
                    to("sweeper has waited for rows under way,", &|world| {
                        world.sweepers[k] = Sweeper::Waited { from, to: bound };
                    });
                }
            }
            Sweeper::Waited { from, to: bound } if !world.orders.contains(&Order::Late) => {
                to("sweeper stores its place,", &|world| {
                    let is_left = |(at, id): (usize, i8)| {
                        from < id && id <= bound && world.orders[at] == Order::Unpaid
                    };
                    let is_clear = !ids().any(is_left) || self.lacks(Removed::StoreLooksAgain);
                    let is_there = world.place == from || self.lacks(Removed::CompareAndSet);
                    if is_there && is_clear {
                        world.place = bound;
                    }
                    world.sweepers[k] = Sweeper::Idle;
                });
            }
            Sweeper::Idle | Sweeper::Waited { .. } => {}
        }
        if world.sweepers[k] != Sweeper::Idle {
            to("sweeper dies,", &|world| world.sweepers[k] = Sweeper::Idle);
        }
    }
}

impl Model for Sweeps {
    type State = World;
    type Action = Edge<World>;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            orders: [Order::Queued; ORDERS],
            overdue: 0,
            place: 0,
            sweepers: [Sweeper::Idle; 2],
            poison_left: 1,
        }]
    }

    fn actions(&self, world: &World, edges: &mut Vec<Edge<World>>) {
        for id in ids() {
            self.order(world, id, edges);
        }
        for k in 0..world.sweepers.len() {
            self.sweep(world, k, edges);
        }
        if ids().any(|(_, id)| id == world.overdue + 1) {
            let mut next = *world;
            next.overdue += 1;
            edges.push(Edge {
                what: "time passes for order",
                number: 0,
                next,
            });
        }
    }

    fn next_state(&self, _world: &World, edge: Edge<World>) -> Option<World> {
        Some(edge.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![Property::always(
            "(progress) no order behind the place of the expiry is unpaid",
            |_, world: &World| {
                let is_idle = world.sweepers == [Sweeper::Idle; 2];
                !is_idle
                    || ids().all(|(at, id)| id > world.place || world.orders[at] != Order::Unpaid)
            },
        )];
        if self.0.is_none() {
            properties.push(Property::sometimes(
                "everything has expired, a replayed order too",
                |_, world: &World| {
                    world.poison_left == 0 && world.orders == [Order::Expired; ORDERS]
                },
            ));
        }
        properties
    }
}
