//! Cancels in the model of `leases`: the right goes from the lease to the pool, and the owner of the
//! buyer releases the gate (cancel-moves-the-right, R15; release-by-epoch, R12). What a dead owner
//! leaves ends with the next epoch.

use crate::lease_steps::{Steps, live_at};
use crate::leases::{Lease, Leases, Order, PROCESSES, Process, Removed, World};
use stateright::Property;

impl Leases {
    /// Every step of a cancel, of what follows from it, and of the next epoch.
    pub fn cancels(&self, steps: &mut Steps<'_>) {
        for user in 0..PROCESSES {
            for p in 0..PROCESSES {
                self.cancel(steps, user, p);
                self.release(steps, user, p);
                self.hold(steps, user, p);
            }
        }
        for p in 0..PROCESSES {
            self.give(steps, p);
            take_up(steps, p);
        }
        self.next_epoch(steps);
    }

    fn cancel(&self, steps: &mut Steps<'_>, user: usize, p: usize) {
        let order = steps.0.orders[user][p];
        if !order.is_live() || steps.0.cancels_left == 0 {
            return;
        }
        let right_stays = self.lacks(Removed::R15RightGoesToThePool);
        steps.to("order is cancelled, buyer", user, |world| {
            world.cancels_left -= 1;
            world.orders[user][p] = Order::Cancelled;
            world.outbox[user][p] = world.pool;
            if order == Order::Kept {
                world.earlier -= 1;
                world.unallocated += 1;
            } else {
                world.leases[p].sold -= 1;
                if !right_stays {
                    world.leases[p].granted -= 1;
                    world.unallocated += 1;
                }
            }
            // A unit has come back.
            world.sold_out = false;
        });
    }

    /// By the caretaker of the process that owns the buyer, under its term. Its answer may be lost
    /// with it.
    fn release(&self, steps: &mut Steps<'_>, user: usize, p: usize) {
        let recorded = steps.0.outbox[user][p];
        if recorded == 0 {
            return;
        }
        let owner = steps.0.owner[user];
        let done = |world: &mut World| world.outbox[user][p] = 0;
        if steps.0.open > recorded {
            steps.to("release is over, a later epoch is open, buyer", user, done);
        }
        if self.lacks(Removed::R12WrongInstanceIsNotDone) {
            steps.to("release is recorded by another instance, buyer", user, done);
        }
        if !steps.0.serves(owner) {
            return;
        }
        let execute = |world: &mut World| {
            let process = &mut world.processes[owner];
            if process.gate[user] == Some(p) {
                process.gate[user] = None;
                process.released_counted += i8::from(process.has_hold[user]);
                process.has_hold[user] = false;
            }
        };
        steps.to(
            "release is executed and its answer lost, buyer",
            user,
            execute,
        );
        if steps.0.processes[owner].term >= recorded {
            steps.to("release is executed, buyer", user, |world| {
                execute(world);
                done(world);
            });
        }
    }

    /// Live: settle. Given up before it was published: a VOID row, and its unit on its way back.
    fn hold(&self, steps: &mut Steps<'_>, user: usize, p: usize) {
        if !steps.0.processes[p].has_hold[user] || !steps.0.serves(p) {
            return;
        }
        match steps.0.orders[user][p] {
            Order::Live => steps.to("hold is settled, buyer", user, |world| {
                world.processes[p].has_hold[user] = false;
            }),
            Order::Held if steps.0.voids_left > 0 => {
                steps.to("hold is voided and released, buyer", user, |world| {
                    world.voids_left -= 1;
                    // The place is free for another order.
                    world.orders[user][p] = Order::None;
                    let process = &mut world.processes[p];
                    process.gate[user] = None;
                    process.has_hold[user] = false;
                    process.released_uncounted += 1;
                });
            }
            _ => {}
        }
    }

    /// The units of released holds go to the pool, except those that a cancel has moved already: only
    /// the row tells.
    fn give(&self, steps: &mut Steps<'_>, p: usize) {
        let process = steps.0.processes[p];
        if process.released_counted + process.released_uncounted == 0 || !steps.0.serves(p) {
            return;
        }
        let blindly = self.lacks(Removed::R15ReleaseOnlyClearsTheGate);
        steps.to(
            "units of released holds go to the pool, process",
            p,
            |world| {
                let counted = if blindly { process.released_counted } else { 0 };
                let units = process.released_uncounted + counted;
                world.leases[p].granted -= units;
                world.unallocated += units;
                world.sold_out &= units == 0;
                world.processes[p].released_counted = 0;
                world.processes[p].released_uncounted = 0;
            },
        );
    }

    /// All are fenced and drained; one transaction closes what is open and grants the rest, and the
    /// living are dealt the buyers.
    fn next_epoch(&self, steps: &mut Steps<'_>) {
        let under_way = |order: &Order| matches!(order, Order::Accepted | Order::Unknown);
        let is_drained = !steps.0.orders.iter().flatten().any(under_way);
        if steps.0.openings_left > 0 && steps.0.pool == steps.0.open && is_drained {
            steps.to("epoch is granted,", (steps.0.pool + 1).into(), |world| {
                grant(world, self.total)
            });
        }
        if steps.0.pool > steps.0.open {
            steps.to("epoch is announced,", steps.0.pool.into(), |world| {
                world.open = world.pool;
            });
        }
    }
}

fn grant(world: &mut World, total: i8) {
    world.openings_left -= 1;
    world.pool += 1;
    let mut live = 0;
    for order in world.orders.iter_mut().flatten() {
        *order = match *order {
            Order::Live => Order::Kept,
            Order::Held => Order::None,
            order => order,
        };
        live += i8::from(order.is_live());
    }
    world.earlier = live;
    world.unallocated = total - live;
    world.sold_out = false;
    for p in 0..PROCESSES {
        world.leases[p] = Lease {
            granted: 0,
            sold: 0,
            is_closed: !world.processes[p].is_alive,
        };
        world.processes[p] = Process {
            is_alive: world.processes[p].is_alive,
            ..Process::IDLE
        };
    }
    for owner in &mut world.owner {
        if !world.processes[*owner].is_alive {
            *owner = (*owner + 1) % PROCESSES;
        }
    }
}

fn take_up(steps: &mut Steps<'_>, p: usize) {
    let process = steps.0.processes[p];
    if process.is_alive && process.term < steps.0.open && steps.0.pool == steps.0.open {
        steps.to("process loads its gate and sells,", p, |world| {
            world.processes[p].term = world.open;
            for user in 0..PROCESSES {
                let live = live_at(world, user).filter(|_| world.owner[user] == p);
                world.processes[p].gate[user] = live;
            }
        });
    }
}

/// What a search with cancels has to come upon.
pub fn reached() -> Vec<Property<Leases>> {
    vec![
        Property::sometimes("a cancel overtakes the settle", |_, world: &World| {
            world
                .processes
                .iter()
                .any(|process| process.released_counted > 0)
        }),
        Property::sometimes("a release waits for a dead owner", |_, world: &World| {
            let waits = |user: usize| {
                !world.processes[world.owner[user]].is_alive
                    && world.outbox[user].contains(&world.open)
            };
            (0..PROCESSES).any(waits)
        }),
        Property::sometimes(
            "an order of an earlier epoch is cancelled",
            |model: &Leases, world: &World| {
                let is_cancelled = world
                    .orders
                    .iter()
                    .flatten()
                    .any(|order| *order == Order::Cancelled);
                is_cancelled && world.pool > 1 && world.unallocated == model.total
            },
        ),
        Property::sometimes(
            "a release is left while an epoch is opened",
            |_, world: &World| {
                let left = |epoch: &u8| *epoch == world.pool;
                world.pool > world.open && world.outbox.iter().flatten().any(left)
            },
        ),
    ]
}
