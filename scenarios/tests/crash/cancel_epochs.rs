//! A cancel and the opening of an epoch, each stopped at every one of its steps while the other goes
//! on: the order is cancelled, its units are in the newest epoch once, and its buyer can buy again
//! (release-by-epoch, R12; cancel-moves-the-right, R15).

use crate::order_client::Reply;
use crate::orders::{Ended, OPENING, frozen, in_each_round, on_engines};
use crate::world::{SOMEBODY, World};
use scenarios::stack::Role;

const TOTAL: i64 = 200;
/// Lets the next epoch begin, with the total of this one.
pub const EPOCH_IS_WANTED: &str = "UPDATE sales SET wanted_total = total";
/// Grants that wait for somebody who has locked an allocation.
pub const WAITING_GRANTS: &str =
    "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()
     AND info LIKE 'SELECT id FROM allocations WHERE id = %FOR UPDATE'";
/// The steps of a cancel in the order service. At the first two it holds the lock that the opening
/// needs for its grant.
const LOCKED: [&str; 2] = ["order.after_pool_lock", "order.before_commit"];
const COMMITTED: &str = "order.after_commit";
/// What only a process that has the engine comes to.
const EXECUTED: &str = "release.after_engine";
/// The relay's first look leaves everything to the order service.
const MARKED: &str = "release.after_mark:2";

struct Sale {
    world: World,
    reconciler: Role,
    _roles: [Role; 2],
    relay: Role,
    orders: Role,
    /// Whether the engine's state is in a server.
    is_shared: bool,
    buyer: i64,
}

impl Sale {
    async fn open(engine: &str, mut world: World) -> Self {
        world.set("SECKILL__SECKILL__ENGINE", engine);
        let reconciler = world.role("reconciler").await;
        let consumer = world.role("create-consumer").await;
        let seckill = world.seckill().await;
        let relay = world.role("cancel-consumer").await;
        let orders = world.orders().await;
        world.open(1).await;
        Self {
            world,
            reconciler,
            _roles: [consumer, seckill],
            relay,
            orders,
            is_shared: !engine.starts_with("preallocated"),
            buyer: SOMEBODY,
        }
    }

    /// A buyer with an order of the newest epoch, and the epoch after it.
    async fn bought(&mut self) -> (i64, i64, i32) {
        self.buyer += 1;
        let order = self.world.bought(self.buyer).await;
        let epoch = self.world.open(1).await.epoch;
        (self.buyer, order, epoch + 1)
    }

    async fn is_cancelled(&self, user: i64, order: i64, step: &str) {
        eprintln!("{step}: the next epoch is open");
        self.world.nothing_is_left().await;
        self.world.is(order, Ended::Cancelled).await;
        let units = "SELECT CAST((SELECT total FROM sales) - COALESCE(SUM(quantity), 0) AS SIGNED) FROM orders
                     WHERE live = 1";
        let stock = self.world.quiet().await;
        assert_eq!(stock.remaining, self.world.number(units).await, "{step}");
        self.world.buys_again(user, order).await;
    }
}

/// The cancel stands still at `step` until the next epoch is open, or waits for its lock.
async fn cancel_stops_at(sale: &mut Sale, step: &str, is_locked: bool) {
    let (user, order, next) = sale.bought().await;
    let slow = sale.world.armed("order", &format!("{step}:1:freeze")).await;
    let world = &sale.world;
    let opening = async {
        let frozen = frozen(&slow).await;
        world.sql(EPOCH_IS_WANTED).await;
        if is_locked {
            world.until_number(WAITING_GRANTS, 1).await;
        } else {
            world.open(next).await;
        }
        frozen.thaw();
    };
    let (reply, ()) = tokio::join!(world.cancel(&slow, order, user), opening);
    assert_eq!(reply, Reply::Done, "{step}");
    world.open(next).await;
    sale.is_cancelled(user, order, step).await;
}

/// The order service has died after its commit, and the relay stands still at `step` of the release
/// until the next epoch is open.
async fn relay_stops_at(sale: &mut Sale, step: &str) {
    let (user, order, next) = sale.bought().await;
    sale.relay.stop().await.expect("stopped in order");
    let world = &sale.world;
    let mut dying = world.armed("order", COMMITTED).await;
    let reply = world.cancel(&dying, order, user).await;
    assert!(matches!(reply, Reply::Unknown(_)), "{step}: {reply:?}");
    world.crashed(&mut dying).await;
    let slow = world
        .armed("cancel-consumer", &format!("{step}:freeze"))
        .await;
    let frozen = frozen(&slow).await;
    world.sql(EPOCH_IS_WANTED).await;
    world.open(next).await;
    frozen.thaw();
    sale.is_cancelled(user, order, step).await;
    sale.relay = slow;
}

/// The opening stands still at `step` until the cancel is answered.
async fn opening_stops_at(sale: &mut Sale, step: &str) {
    let (user, order, next) = sale.bought().await;
    sale.reconciler.stop().await.expect("stopped in order");
    let armed = format!("{step}:1:freeze");
    sale.reconciler = sale.world.armed("reconciler", &armed).await;
    let world = &sale.world;
    world.sql(EPOCH_IS_WANTED).await;
    let frozen = frozen(&sale.reconciler).await;
    let reply = world.cancel(&sale.orders, order, user).await;
    assert_eq!(reply, Reply::Done, "{step}");
    frozen.thaw();
    world.open(next).await;
    sale.is_cancelled(user, order, step).await;
}

/// The opening dies at `step`, an order is cancelled then, and another reconciler opens the sale.
async fn opening_dies_at(sale: &mut Sale, step: &str) {
    let (user, order, next) = sale.bought().await;
    sale.reconciler.stop().await.expect("stopped in order");
    let mut dying = sale.world.armed("reconciler", step).await;
    let world = &sale.world;
    world.sql(EPOCH_IS_WANTED).await;
    world.crashed(&mut dying).await;
    let reply = world.cancel(&sale.orders, order, user).await;
    assert_eq!(reply, Reply::Done, "{step}");
    sale.reconciler = world.role("reconciler").await;
    world.open(next).await;
    sale.is_cancelled(user, order, step).await;
}

async fn at_every_step(engine: &str, name: &str) {
    in_each_round(engine, name, TOTAL, async |world| {
        let mut sale = Sale::open(engine, world).await;
        for step in LOCKED {
            cancel_stops_at(&mut sale, step, true).await;
        }
        cancel_stops_at(&mut sale, COMMITTED, false).await;
        if sale.is_shared {
            cancel_stops_at(&mut sale, EXECUTED, false).await;
            relay_stops_at(&mut sale, &format!("{EXECUTED}:1")).await;
            relay_stops_at(&mut sale, MARKED).await;
        }
        for step in OPENING {
            opening_stops_at(&mut sale, step).await;
            opening_dies_at(&mut sale, step).await;
        }
        sale.world.audit().await;
    })
    .await;
}

on_engines! {
    at_every_step:
    lua_single_key_cancels_at_every_step_of_an_opening_and_opens_at_every_step_of_a_cancel: "lua-single-key", "steps_lua";
    sharded_slots_cancels_at_every_step_of_an_opening_and_opens_at_every_step_of_a_cancel: "sharded-slots?slots=4", "steps_slots";
    database_row_cancels_at_every_step_of_an_opening_and_opens_at_every_step_of_a_cancel: "database-row", "steps_row";
    preallocated_cancels_at_every_step_of_an_opening_and_opens_at_every_step_of_a_cancel: "preallocated?block=20", "steps_leases";
}
