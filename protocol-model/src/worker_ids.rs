//! A smaller model of worker ids: a process that may stall, another that gets its worker id, and
//! the order ids both mint (worker-id-outlives-lease, R17). An id is (worker, millisecond,
//! sequence); a process counts its own sequence, so only the time tells two apart.

use crate::search::Edge;
use stateright::{Model, Property};

/// Ticks of the clock until the search ends, and of a lease.
const END: u8 = 8;
const LEASE: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    R17IssuedAfterTheLease,
    R17LeaseCheckedWhenMinting,
}

#[derive(Clone, Copy, Debug)]
pub struct WorkerIds(pub Option<Removed>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    now: u8,
    /// Who holds the worker id in the database, and until when.
    holder: usize,
    held_until: u8,
    /// Until when each process may mint, by the answer to its last heartbeat.
    leases: [u8; 2],
    /// A heartbeat sent then, whose answer is still under way.
    answer: Option<u8>,
    /// Ticks in which each process minted, one bit each.
    minted: [u16; 2],
}

impl Model for WorkerIds {
    type State = World;
    type Action = Edge<World>;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            now: 0,
            holder: 0,
            held_until: LEASE,
            leases: [LEASE, 0],
            answer: None,
            minted: [0; 2],
        }]
    }

    fn actions(&self, world: &World, edges: &mut Vec<Edge<World>>) {
        let mut step = |what, number, next| edges.push(Edge { what, number, next });
        if world.now < END {
            step(
                "tick",
                0,
                World {
                    now: world.now + 1,
                    ..*world
                },
            );
        }
        for p in 0..2 {
            let has_lease =
                world.now < world.leases[p] || self.0 == Some(Removed::R17LeaseCheckedWhenMinting);
            if has_lease && world.leases[p] > 0 {
                let mut next = *world;
                next.minted[p] |= 1 << world.now;
                step("an order id is minted by", p, next);
            }
        }
        if world.holder == 0 && world.answer.is_none() {
            let held_until = world.now + LEASE;
            step(
                "heartbeat reaches the database, of",
                0,
                World {
                    held_until,
                    answer: Some(world.now),
                    ..*world
                },
            );
        }
        if let Some(sent) = world.answer {
            // Counted from when it was sent.
            let leases = [sent + LEASE, world.leases[1]];
            step(
                "heartbeat's answer arrives at",
                0,
                World {
                    leases,
                    answer: None,
                    ..*world
                },
            );
        }
        let is_free =
            world.held_until <= world.now || self.0 == Some(Removed::R17IssuedAfterTheLease);
        if world.holder == 0 && is_free {
            let held_until = world.now + LEASE;
            step(
                "the worker id is issued to",
                1,
                World {
                    holder: 1,
                    held_until,
                    leases: [world.leases[0], held_until],
                    ..*world
                },
            );
        }
    }

    fn next_state(&self, _world: &World, edge: Edge<World>) -> Option<World> {
        Some(edge.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![Property::always(
            "(c) an order id is minted once",
            |_, world: &World| world.minted[0] & world.minted[1] == 0,
        )];
        if self.0.is_none() {
            properties.push(Property::sometimes(
                "both have minted",
                |_, world: &World| world.minted.iter().all(|minted| *minted != 0),
            ));
        }
        properties
    }
}
