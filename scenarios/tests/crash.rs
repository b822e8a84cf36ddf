//! The system under crashes, from outside: real servers, every role a process of its own, killed at
//! its failpoints or at random, frozen, or deprived of a server. Each test ends with the audit.
//! Names such as fence-wait (R1) are those of the protocol's rules.
//!
//! The tests share servers. Those that make one of these stand still run alone, as do those that ask
//! how long something takes; the others run side by side. `CRASH_ROUNDS` sets the rounds of the
//! random kills, `CRASH_QUEUE_TYPE=quorum` runs all of them on quorum queues.

#[path = "crash/forged_events.rs"]
mod forged_events;
#[path = "crash/inspect.rs"]
mod inspect;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/order_client.rs"]
mod order_client;
#[path = "crash/orders.rs"]
mod orders;
#[path = "crash/program.rs"]
mod program;
#[path = "crash/queue_type.rs"]
mod queue_type;
#[path = "crash/redis.rs"]
mod redis;
#[path = "crash/repetitions.rs"]
mod repetitions;
#[path = "crash/sale.rs"]
mod sale;
#[path = "crash/stalling.rs"]
mod stalling;
#[path = "crash/turn.rs"]
mod turn;
#[path = "crash/wait.rs"]
mod wait;
#[path = "crash/world.rs"]
mod world;

#[path = "crash/broker.rs"]
mod broker;
#[path = "crash/cancel_cost.rs"]
mod cancel_cost;
#[path = "crash/cancel_epochs.rs"]
mod cancel_epochs;
#[path = "crash/cancels.rs"]
mod cancels;
#[path = "crash/churn.rs"]
mod churn;
#[path = "crash/churning.rs"]
mod churning;
#[path = "crash/consumer.rs"]
mod consumer;
#[path = "crash/database.rs"]
mod database;
#[path = "crash/deadlines.rs"]
mod deadlines;
#[path = "crash/ending.rs"]
mod ending;
#[path = "crash/epochs.rs"]
mod epochs;
#[path = "crash/expiry.rs"]
mod expiry;
#[path = "crash/expiry_epochs.rs"]
mod expiry_epochs;
#[path = "crash/fencing.rs"]
mod fencing;
#[path = "crash/frozen_consumer.rs"]
mod frozen_consumer;
#[path = "crash/listeners.rs"]
mod listeners;
#[path = "crash/missing_queue.rs"]
mod missing_queue;
#[path = "crash/poison.rs"]
mod poison;
#[path = "crash/poison_flood.rs"]
mod poison_flood;
#[path = "crash/publisher.rs"]
mod publisher;
#[path = "crash/quorum_queues.rs"]
mod quorum_queues;
#[path = "crash/random_kills.rs"]
mod random_kills;
#[path = "crash/readiness.rs"]
mod readiness;
#[path = "crash/reconciler.rs"]
mod reconciler;
#[path = "crash/redis_loss.rs"]
mod redis_loss;
#[path = "crash/releases_left.rs"]
mod releases_left;
#[path = "crash/shared_queues.rs"]
mod shared_queues;
#[path = "crash/silent_database.rs"]
mod silent_database;
#[path = "crash/stalled_broker.rs"]
mod stalled_broker;
#[path = "crash/status.rs"]
mod status;
#[path = "crash/stock.rs"]
mod stock;
#[path = "crash/two_instances.rs"]
mod two_instances;
#[path = "crash/upgrade.rs"]
mod upgrade;
#[path = "crash/window.rs"]
mod window;

/// The world of a test, or the end of the test where servers or failpoints are missing.
macro_rules! fresh_world {
    ($name:expr, $total:expr) => {
        crate::fresh_world!($name, $total, start)
    };
    ($name:expr, $total:expr, $start:ident) => {{
        if !crate::world::has_failpoints() {
            return;
        }
        match crate::world::World::$start($name, $total).await {
            Some(world) => world,
            None => return,
        }
    }};
}
pub(crate) use fresh_world;
