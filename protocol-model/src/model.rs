//! The model as the checker sees it: which configuration, which rule is taken out, which steps a
//! state allows.

use crate::rules::Removed;
use crate::search::Edge;
use crate::world::*;
use crate::{
    changes, consumers, dead_letters, endings, engine, invariants, openings, publishers, reached,
    releases, repairs, stock,
};
use stateright::{Model, Property};

/// A small world to search completely.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub name: &'static str,
    pub total: i8,
    /// User and publisher of each request; requests of one user may overlap.
    pub requests: &'static [(usize, usize)],
    pub publishers: usize,
    pub reconcilers: usize,
    /// Newest epoch that may be opened; the first is open at the start.
    pub epochs: u8,
    /// A request is sent only when the ones before it have been answered.
    pub one_by_one: bool,
    /// Whether requests reach their deadline, and holds the grace period. Without, only a publisher
    /// that lost its term gives a request up, and nothing is voided.
    pub deadlines: bool,
    /// What the engine's server still has after a restart.
    pub loss: Loss,
    /// Publishers have taken their worker id but are not bound yet.
    pub starting: bool,
    /// The sale's window is over at the start.
    pub starts_over: bool,
    /// Requests whose orders are live and settled at the start, accepted long ago.
    pub sold: &'static [usize],
    /// Those who change and release orders.
    pub hands: usize,
    /// Totals that administrators want, one after the other.
    pub wants: &'static [i8],
    /// Publishers settle what they have published behind a drain.
    pub settles_drained: bool,
    pub budget: Budget,
    /// Reached states that prove that the search was not about nothing.
    pub reaches: &'static [&'static str],
}

/// Data that a restarted engine server comes back with. Its scripts are gone in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Everything,
    Nothing,
    /// It is back at what it had when the epoch was opened.
    SinceOpening,
}

/// A configuration under all rules, or under all but one.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub config: Config,
    pub removed: Option<Removed>,
}

impl Protocol {
    pub fn lacks(&self, rule: Removed) -> bool {
        self.removed == Some(rule)
    }

    pub fn user(&self, request: usize) -> usize {
        self.config.requests[request].0
    }

    pub fn publisher(&self, request: usize) -> usize {
        self.config.requests[request].1
    }

    pub fn requests(&self) -> std::ops::Range<usize> {
        0..self.config.requests.len()
    }

    pub fn publishers(&self) -> std::ops::Range<usize> {
        0..self.config.publishers
    }

    pub fn reconcilers(&self) -> std::ops::Range<usize> {
        0..self.config.reconcilers
    }

    fn start(&self) -> World {
        let serving = Publisher {
            life: Life::Serving,
            generation: 1,
            lease: true,
            term: 1,
        };
        let starting = Publisher {
            life: Life::Binding,
            generation: 1,
            lease: false,
            term: 0,
        };
        let incarnation = Incarnation {
            generation: 1,
            acknowledged: 1,
            state: State::Live,
            lease: true,
            session: 0,
        };
        let mut allocations = [Allocation::default(); EPOCHS];
        let sold = self.config.sold.len();
        allocations[1] = Allocation {
            granted: self.config.total,
            sold: i8::try_from(sold).expect("few"),
            open: true,
        };
        let mut world = World {
            left: self.config.budget,
            requests: [Request {
                phase: Phase::NotSent,
                generation: 0,
                epoch: 0,
                order: 0,
                flight: Flight::None,
                may_sell: false,
                is_paused: false,
                is_in_doubt: false,
            }; REQUESTS],
            publishers: [if self.config.starting {
                starting
            } else {
                serving
            }; PUBLISHERS],
            queues: [Queue {
                exists: !self.config.starting,
                bindings: if self.config.starting { 0 } else { bit(1) },
                messages: Messages::default(),
                delivered: 0,
                committed: 0,
                channel: Channel::Closed,
                live: 0,
                zombie: Messages::default(),
                zombie_session: 0,
            }; PUBLISHERS],
            engine: Engine {
                scripts: bit(1),
                epoch: 1,
                open: true,
                remaining: self.config.total,
                granted: self.config.total,
                gate: [None; USERS],
                holds: [None; REQUESTS],
            },
            database: Database {
                rows: [Row::None; REQUESTS],
                allocations,
                newest: 1,
                open: 1,
                outbox: [0; REQUESTS],
                incarnations: [incarnation; PUBLISHERS],
                parked_orders: 0,
                parked_messages: [0; PUBLISHERS],
                lost_queues: 0,
                lost_orders: 0,
                total: self.config.total,
                wanted: None,
                paused: false,
                ending: 0,
                ended: false,
            },
            reconcilers: [Reconciler::IDLE; RECONCILERS],
            hands: [Hand::Idle; HANDS],
            settling: 0,
            published: [0; PUBLISHERS],
            accepted: 0,
            sold_out: false,
            window: !self.config.starts_over,
            told_ended: 0,
            wrongly_ended: false,
            ghost: Ghost {
                asked: self.config.total,
                ..Ghost::default()
            },
        };
        for order in self.config.sold {
            accept_at_the_start(self, &mut world, *order);
        }
        world
    }
}

fn accept_at_the_start(model: &Protocol, world: &mut World, order: usize) {
    world.requests[order] = Request {
        phase: Phase::Done(Answer::Accepted),
        generation: 1,
        epoch: 1,
        order,
        flight: Flight::None,
        may_sell: true,
        is_paused: false,
        is_in_doubt: false,
    };
    world.accepted |= bit(order);
    world.engine.remaining -= 1;
    world.engine.gate[model.user(order)] = Some(order);
    world.database.rows[order] = Row::Live;
}

/// Collects the steps that one state allows.
#[derive(Debug)]
pub struct Steps<'a> {
    pub model: &'a Protocol,
    pub now: &'a World,
    edges: &'a mut Vec<Edge<World>>,
}

impl Steps<'_> {
    /// One atomic step: `what` happens, to the one with this `number`.
    pub fn to(&mut self, what: &'static str, number: usize, change: impl FnOnce(&mut World)) {
        let mut next = *self.now;
        change(&mut next);
        // Which of them does it is of no consequence.
        next.hands.sort_unstable();
        if next != *self.now {
            self.edges.push(Edge { what, number, next });
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Edge<World>;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, state: &World, edges: &mut Vec<Edge<World>>) {
        let mut steps = Steps {
            model: self,
            now: state,
            edges,
        };
        changes::steps(&mut steps);
        releases::steps(&mut steps);
        dead_letters::steps(&mut steps);
        stock::steps(&mut steps);
        publishers::steps(&mut steps);
        consumers::steps(&mut steps);
        engine::steps(&mut steps);
        openings::steps(&mut steps);
        repairs::steps(&mut steps);
        endings::steps(&mut steps);
    }

    fn next_state(&self, _state: &World, edge: Edge<World>) -> Option<World> {
        Some(edge.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = invariants::always();
        if self.removed.is_none() {
            properties.extend(reached::reached(self.config.reaches));
        }
        properties
    }
}
