//! A smaller model of the expiry's place in the orders: it walks them by id, which is by time, and
//! stores how far it has come. An order that comes late, out of a queue or a dead letter, must not be
//! passed over. Two sweepers, one queue, a message that cannot be read.

use crate::search::Edge;
use stateright::{Model, Property};

const ORDERS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The place moves only over orders that were drained.
    DrainFirst,
    /// It moves only from where the walk began.
    CompareAndSet,
    /// A replay takes the place back to before its order.
    ReplayGoesBack,
    /// Under the lock of the place, which a replay takes too, one looks again for unpaid orders in
    /// what was walked over: a replayed one may lie there.
    StoreLooksAgain,
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
    Unpaid,
    Expired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Sweeper {
    Idle,
    /// Has drained the queue of everything up to there.
    Drained {
        to: i8,
    },
    Walked {
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
        match world.orders[at] {
            Order::Queued => {
                to("consumer writes order", &|world| {
                    world.orders[at] = Order::Unpaid
                });
                if world.poison_left > 0 {
                    to("consumer parks order", &|world| {
                        world.poison_left -= 1;
                        world.orders[at] = Order::Parked;
                    });
                }
            }
            Order::Parked => to("operator replays order", &|world| {
                world.orders[at] = Order::Unpaid;
                if !self.lacks(Removed::ReplayGoesBack) {
                    world.place = world.place.min(id - 1);
                }
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
            Sweeper::Idle => {
                let waits = |(at, id): (usize, i8)| {
                    id <= world.overdue && world.orders[at] == Order::Queued
                };
                if !ids().any(waits) || self.lacks(Removed::DrainFirst) {
                    to("sweeper has drained the queue,", &|world| {
                        world.sweepers[k] = Sweeper::Drained { to: world.overdue };
                    });
                }
            }
            Sweeper::Drained { to: bound } => to("sweeper walks,", &|world| {
                for (at, id) in ids() {
                    let is_in = world.place < id && id <= bound;
                    if is_in && world.orders[at] == Order::Unpaid {
                        world.orders[at] = Order::Expired;
                    }
                }
                world.sweepers[k] = Sweeper::Walked {
                    from: world.place,
                    to: bound,
                };
            }),
            Sweeper::Walked { from, to: bound } => to("sweeper stores its place,", &|world| {
                let is_left = |(at, id): (usize, i8)| {
                    from < id && id <= bound && world.orders[at] == Order::Unpaid
                };
                let is_clear = !ids().any(is_left) || self.lacks(Removed::StoreLooksAgain);
                let is_there = world.place == from || self.lacks(Removed::CompareAndSet);
                if is_there && is_clear {
                    world.place = world.place.max(bound);
                }
                world.sweepers[k] = Sweeper::Idle;
            }),
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
