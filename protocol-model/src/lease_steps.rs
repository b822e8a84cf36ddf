//! What can happen in the model of `leases`, step by step: rights that come and go, orders, the end
//! of a process, and partitions that move.

use crate::leases::{Leases, Order, PROCESSES, Process, Removed, World};
use crate::search::Edge;

pub struct Steps<'a>(pub &'a World, &'a mut Vec<Edge<World>>);

impl Steps<'_> {
    pub fn to(&mut self, what: &'static str, number: usize, change: impl FnOnce(&mut World)) {
        let mut next = *self.0;
        change(&mut next);
        self.1.push(Edge { what, number, next });
    }
}

impl Leases {
    /// Every step that `world` allows.
    pub fn steps(&self, world: &World, edges: &mut Vec<Edge<World>>) {
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
        self.cancels(&mut steps);
    }

    /// units-in-one-place (R16): rights coming in, database first; rights going out, memory first;
    /// each with an id, executed once.
    fn rights(&self, steps: &mut Steps<'_>, p: usize) {
        let process = steps.0.processes[p];
        if !steps.0.serves(p) {
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
        let has_live = steps.0.has_live(user);
        let is_free = match order {
            Order::None => true,
            // The place of an order that nobody will speak of any more.
            Order::Cancelled => steps.0.outbox[user][p] == 0 && process.released_counted == 0,
            _ => false,
        };
        match order {
            _ if is_free
                && owns
                && process.gate[user].is_none()
                && process.is_alive
                && process.term > 0 =>
            {
                if process.memory > 0 {
                    steps.to("buyer is granted the unit, buyer", user, |world| {
                        world.processes[p].memory -= 1;
                        world.orders[user][p] = Order::Held;
                        world.processes[p].gate[user] = Some(p);
                        world.processes[p].has_hold[user] = true;
                    });
                } else if self.may_say_sold_out(steps.0, p) {
                    steps.to("buyer is told sold out, buyer", user, |world| {
                        world.sold_out = true
                    });
                }
            }
            // A publish that was under way goes on, whoever owns the partition by then; yes is said
            // by the owner only.
            Order::Held if process.is_alive && process.term > 0 => {
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
        let pooled = if self.lacks(Removed::R18LooksAtThePool) {
            0
        } else {
            world.unallocated
        };
        let is_empty = pooled == 0 && process.memory + process.coming + process.going == 0;
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
                world.processes[p] = Process {
                    is_alive: false,
                    coming: world.processes[p].coming,
                    going: world.processes[p].going,
                    is_repeatable: world.processes[p].is_repeatable,
                    ..Process::IDLE
                };
            });
            let is_queued = |user: usize| {
                !matches!(
                    steps.0.orders[user][p],
                    Order::None | Order::Live | Order::Kept | Order::Cancelled | Order::Void
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
            let to = (from + 1) % PROCESSES;
            world.owner[user] = to;
            world.processes[from].gate[user] = None;
            world.processes[from].has_hold[user] = false;
            if world.serves(to) {
                world.processes[to].gate[user] = live_at(world, user);
            }
            if world.orders[user][from] == Order::Held && !self.lacks(Removed::R18VoidBeforeTheMove)
            {
                world.orders[user][from] = Order::Void;
                world.processes[from].memory += i8::from(world.processes[from].is_alive);
                world.sold_out = false;
            }
        });
    }
}

/// gate-from-rows (R19): where the live order of `user` was made.
pub fn live_at(world: &World, user: usize) -> Option<usize> {
    world.orders[user].iter().position(|order| order.is_live())
}

fn close(world: &mut World, p: usize) {
    let lease = &mut world.leases[p];
    world.unallocated += lease.granted - lease.sold;
    // Units that come back make an earlier "sold out" a thing of the past.
    world.sold_out &= lease.granted == lease.sold;
    lease.granted = lease.sold;
    lease.is_closed = true;
    world.processes[p] = Process {
        is_alive: world.processes[p].is_alive,
        term: world.processes[p].term,
        ..Process::IDLE
    };
    for orders in &mut world.orders {
        if orders[p] == Order::Held {
            orders[p] = Order::Void;
        }
    }
}
