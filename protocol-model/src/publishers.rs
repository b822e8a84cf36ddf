//! Publishing processes: lease, fence and succession (fence-wait, R1; bind-then-recheck, R2), the
//! life of a request (one-term-per-batch, R3; deadline-before-reserve, R7), and the broker's way
//! from the wire into the queue (exclusive-route, R6).

use crate::model::{Protocol, Steps};
use crate::rules::Removed;
use crate::world::*;
use crate::{endings, engine};

pub fn steps(steps: &mut Steps<'_>) {
    if steps.now.left.clock_steps > 0 {
        // fence-wait (R1): leases are counted on the clock of whoever waits, which does not step.
        let model = steps.model;
        steps.to("the database's clock leaps forward", 0, |world| {
            world.left.clock_steps -= 1;
            for p in model
                .publishers()
                .filter(|_| model.lacks(Removed::R1OwnClock))
            {
                world.database.incarnations[p].lease = false;
            }
        });
    }
    for publisher in steps.model.publishers() {
        identity(steps, publisher);
        faults(steps, publisher);
    }
    for request in steps.model.requests() {
        request_steps(steps, request);
        broker(steps, request);
    }
}

/// The term as the `sales` row has it.
fn current_term(database: &Database) -> u8 {
    if database.open == database.newest && !database.ended {
        database.open
    } else {
        0
    }
}

fn identity(steps: &mut Steps<'_>, p: usize) {
    let model = steps.model;
    let publisher = steps.now.publishers[p];
    let incarnation = steps.now.database.incarnations[p];
    let is_own = incarnation.generation == publisher.generation && incarnation.state == State::Live;
    match publisher.life {
        Life::Serving => {
            steps.to("publisher reads the sales", p, |world| {
                world.publishers[p].term = current_term(&world.database);
            });
            steps.to("publisher's heartbeat", p, |world| {
                if is_own {
                    world.publishers[p].lease = true;
                    world.database.incarnations[p].lease = true;
                } else {
                    world.publishers[p].life = Life::Revoked;
                    world.publishers[p].lease = false;
                }
            });
        }
        Life::Revoked => steps.to("publisher acknowledges its fence", p, |world| {
            world.database.incarnations[p].acknowledged = incarnation.generation;
            world.publishers[p].life = Life::Acknowledged;
        }),
        Life::Acknowledged => steps.to("publisher reads its generation", p, |world| {
            // One that was declared dead goes on as a new incarnation, which is another publisher.
            let is_live = incarnation.state == State::Live;
            world.publishers[p].life = if is_live { Life::Binding } else { Life::Dead };
            world.publishers[p].generation = incarnation.generation;
        }),
        Life::Binding => steps.to("publisher binds its generation", p, |world| {
            bind(model, world, p, is_own)
        }),
        Life::Dead => {}
    }
    if !publisher.lease {
        steps.to("publisher's lease has surely run out", p, |world| {
            world.database.incarnations[p].lease = false
        });
    }
}

/// bind-then-recheck (R2): bind, read the generation again, use it only if unchanged.
fn bind(model: &Protocol, world: &mut World, p: usize, is_unchanged: bool) {
    if !is_unchanged && !model.lacks(Removed::R2CheckOfBinding) {
        world.publishers[p].life = Life::Acknowledged;
        return;
    }
    world.queues[p].exists = true;
    world.queues[p].bindings |= bit(world.publishers[p].generation.into());
    if is_unchanged {
        world.database.incarnations[p].lease = true;
        if !model.lacks(Removed::R1AcknowledgementOfSuccessor) {
            world.database.incarnations[p].acknowledged = world.publishers[p].generation;
        }
    }
    world.publishers[p].lease = true;
    world.publishers[p].life = Life::Serving;
    if !model.lacks(Removed::R3NewTermWithNewGeneration) {
        world.publishers[p].term = current_term(&world.database);
    }
}

fn faults(steps: &mut Steps<'_>, p: usize) {
    let publisher = steps.now.publishers[p];
    if publisher.lease && steps.now.left.stalls > 0 {
        steps.to("publisher stalls past its lease", p, |world| {
            world.left.stalls -= 1;
            world.publishers[p].lease = false;
        });
    }
    let is_anew = steps.model.lacks(Removed::R6NobodyMakesTheirQueueAnew);
    if is_anew && publisher.life == Life::Serving && !steps.now.queues[p].exists {
        steps.to("publisher makes its queue anew", p, |world| {
            world.queues[p].exists = true;
            world.queues[p].bindings = bit(publisher.generation.into());
        });
    }
    if publisher.life != Life::Dead && steps.now.left.publisher_crashes > 0 {
        let model = steps.model;
        steps.to("publisher dies", p, |world| {
            world.left.publisher_crashes -= 1;
            world.publishers[p] = Publisher {
                life: Life::Dead,
                generation: 0,
                lease: false,
                term: 0,
            };
            for r in model.requests().filter(|r| model.publisher(*r) == p) {
                if !matches!(world.requests[r].phase, Phase::NotSent | Phase::Done(_)) {
                    give_up(world, r);
                }
            }
        });
    }
}

/// fence-wait (R1) and one-term-per-batch (R3): whether request `r` may still be published, or
/// answered with yes.
fn may_act(model: &Protocol, world: &World, r: usize) -> bool {
    let publisher = &world.publishers[model.publisher(r)];
    let is_own_term = publisher.generation == world.requests[r].generation;
    publisher.life == Life::Serving
        && publisher.lease
        && (is_own_term || model.lacks(Removed::R3OneTermPerRequest))
}

fn request_steps(steps: &mut Steps<'_>, r: usize) {
    let model = steps.model;
    let publisher = &steps.now.publishers[model.publisher(r)];
    let request = steps.now.requests[r];
    match request.phase {
        Phase::NotSent
            if publisher.life == Life::Serving && publisher.lease && publisher.term > 0 =>
        {
            let is_early = |before: &Request| !matches!(before.phase, Phase::Done(_));
            if model.config.one_by_one && steps.now.requests[..r].iter().any(is_early) {
                return;
            }
            let (generation, epoch) = (publisher.generation, publisher.term);
            if steps.now.ghost.knows_sold_out {
                return steps.to("request is told what its publisher knows", r, |world| {
                    world.requests[r].phase = Phase::Done(Answer::SoldOut);
                    world.sold_out = true;
                });
            }
            if !steps.now.window && model.lacks(Removed::EndWindowAsksTheEngine) {
                return steps.to("request is told that the window is over", r, |world| {
                    world.requests[r].phase = Phase::Done(Answer::Ended);
                    endings::tell_ended(model, world, model.user(r));
                });
            }
            steps.to("request is taken", r, |world| {
                world.requests[r] = Request {
                    phase: Phase::Calling,
                    generation,
                    epoch,
                    may_sell: world.window,
                    is_paused: world.database.paused,
                    ..request
                };
            });
        }
        Phase::NotSent if publisher.life == Life::Serving && publisher.term == 0 => {
            endings::look_up(steps, r);
        }
        Phase::Calling => steps.to("engine answers request", r, |world| {
            engine::reserve(model, world, r)
        }),
        Phase::Granted => steps.to("request is published", r, |world| publish(model, world, r)),
        Phase::Published if matches!(request.flight, Flight::Confirmed | Flight::Returned) => {
            steps.to("confirm arrives", r, |world| confirm(model, world, r));
        }
        Phase::NotSent | Phase::Published | Phase::Done(_) => {}
    }
    // deadline-before-reserve (R7): the deadline starts before the reserve.
    let has_deadline = match request.phase {
        Phase::Calling | Phase::Granted => !model.lacks(Removed::R7DeadlineBeforeReserve),
        Phase::Published => true,
        Phase::NotSent | Phase::Done(_) => false,
    };
    if has_deadline && model.config.deadlines {
        steps.to("request's deadline passes", r, |world| give_up(world, r));
    }
}

fn publish(model: &Protocol, world: &mut World, r: usize) {
    if !may_act(model, world, r) {
        world.requests[r].phase = Phase::Done(Answer::Unavailable);
        return;
    }
    if model.lacks(Removed::R3OneTermPerRequest) {
        world.requests[r].generation = world.publishers[model.publisher(r)].generation;
    }
    world.requests[r].phase = Phase::Published;
    world.requests[r].flight = Flight::Wire;
}

fn confirm(model: &Protocol, world: &mut World, r: usize) {
    let is_in_queue = world.requests[r].flight == Flight::Confirmed
        || model.lacks(Removed::R6ReturnedIsNotAccepted);
    let answer = match is_in_queue {
        false => Answer::Unavailable,
        true if may_act(model, world, r) || model.lacks(Removed::R1LeaseAtTheYes) => {
            Answer::Accepted
        }
        true => Answer::Unknown,
    };
    if answer == Answer::Accepted {
        let order = world.requests[r].order;
        world.accepted |= bit(order);
        // The promise is renewed after an operator gave the order up.
        if has(world.ghost.published_again, r) {
            world.ghost.discarded &= !bit(order);
        }
        if model.config.settles_drained && !world.requests[r].is_in_doubt {
            world.published[model.publisher(r)] |= bit(r);
        }
    }
    world.requests[r].phase = Phase::Done(answer);
    world.requests[r].flight = Flight::None;
}

/// The client hears "unknown"; what is under way goes on.
fn give_up(world: &mut World, r: usize) {
    world.requests[r].phase = Phase::Done(Answer::Unknown);
    if matches!(
        world.requests[r].flight,
        Flight::Confirmed | Flight::Returned
    ) {
        world.requests[r].flight = Flight::None;
    }
}

fn broker(steps: &mut Steps<'_>, r: usize) {
    let model = steps.model;
    let request = steps.now.requests[r];
    let q = model.publisher(r);
    match request.flight {
        Flight::Wire => steps.to("broker looks up the binding", r, |world| {
            let queue = &world.queues[q];
            let is_bound = queue.exists && has(queue.bindings, request.generation.into());
            arrive(
                world,
                r,
                if is_bound {
                    Flight::Routed
                } else {
                    Flight::Returned
                },
            );
        }),
        Flight::Routed => {
            let enqueue = |world: &mut World, message: Message| {
                if !world.queues[q].exists {
                    return arrive(world, r, Flight::Returned);
                }
                if model.lacks(Removed::R6NoDroppingOverflow) && world.queues[q].messages.len() > 0
                {
                    drop_head(&mut world.queues[q]);
                }
                world.queues[q].messages.push(message);
                if has(world.ghost.discarded, request.order) {
                    world.ghost.published_again |= bit(r);
                }
                arrive(world, r, Flight::Confirmed);
            };
            steps.to("broker enqueues request", r, |world| {
                enqueue(world, Message::Order(request.order))
            });
            if steps.now.left.poison > 0 {
                steps.to("broker enqueues unreadable request", r, |world| {
                    world.left.poison -= 1;
                    enqueue(world, Message::Poison(request.order));
                });
            }
        }
        Flight::None | Flight::Confirmed | Flight::Returned => {}
    }
}

/// What the broker says to a publisher who has gone is of no consequence.
fn arrive(world: &mut World, r: usize, flight: Flight) {
    let is_over = flight != Flight::Routed && world.requests[r].phase != Phase::Published;
    world.requests[r].flight = if is_over { Flight::None } else { flight };
}

fn drop_head(queue: &mut Queue) {
    if queue.delivered == 0 {
        queue.messages.cut(1);
    }
}
