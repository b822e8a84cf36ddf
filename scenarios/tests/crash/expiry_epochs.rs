//! Expiry and the opening of an epoch, each stopped at every one of its steps while the other goes
//! on: the order has expired once, its units are in the newest epoch once, and its buyer can buy
//! again (release-by-epoch, R12; cancel-moves-the-right, R15).

use crate::cancel_epochs::{EPOCH_IS_WANTED, WAITING_GRANTS};
use crate::order_client::Reply;
use crate::orders::{Ended, OPENING, frozen, in_each_round, on_engines};
use crate::world::{SOMEBODY, World};
use scenarios::stack::Role;

const TOTAL: i64 = 200;
/// The time to pay, where somebody expires orders, s.
const TIME_TO_PAY_S: i64 = 1;
const TIME_TO_PAY: &str = "SECKILL__ORDER__TIME_TO_PAY_S";
/// The steps of expiry. At the first two it holds the lock that the opening needs for its grant.
const LOCKED: [&str; 2] = ["order.after_pool_lock", "order.before_commit"];
const COMMITTED: [&str; 3] = [
    "order.after_commit",
    "reconciler.after_expiry",
    "reconciler.before_expiry_place",
];
/// What only a reconciler that has the engine comes to.
const EXECUTED: &str = "reconciler.after_expiry_release";

/// A sale whose reconciler opens epochs and expires nothing; a second one does that.
struct Sale {
    world: World,
    reconciler: Role,
    _roles: [Role; 3],
    orders: Role,
    buyer: i64,
}

impl Sale {
    async fn open(engine: &str, mut world: World) -> Self {
        world.set("SECKILL__SECKILL__ENGINE", engine);
        world.set(TIME_TO_PAY, 0);
        world.time_to_pay_ms = Some(TIME_TO_PAY_S * 1_000);
        let reconciler = world.role("reconciler").await;
        let consumer = world.role("create-consumer").await;
        let seckill = world.seckill().await;
        let relay = world.role("cancel-consumer").await;
        let orders = world.orders().await;
        world.open(1).await;
        Self {
            world,
            reconciler,
            _roles: [consumer, seckill, relay],
            orders,
            buyer: SOMEBODY,
        }
    }

    /// A buyer with an order of the newest epoch, the only one that can expire, and the epoch after
    /// it.
    async fn bought(&mut self) -> (i64, i64, i32) {
        self.buyer += 1;
        let order = self.world.bought(self.buyer).await;
        let epoch = self.world.open(1).await.epoch;
        (self.buyer, order, epoch + 1)
    }

    /// One that expires orders, armed with this failpoint.
    async fn expiring(&mut self, armed: &str) -> Role {
        self.world.set(TIME_TO_PAY, TIME_TO_PAY_S);
        let expiring = self.world.armed("reconciler", armed).await;
        self.world.set(TIME_TO_PAY, 0);
        expiring
    }

    async fn has_expired(&self, user: i64, order: i64, step: &str) {
        eprintln!("{step}: the next epoch is open");
        self.world.nothing_is_left().await;
        self.world.is(order, Ended::Expired).await;
        let units = "SELECT CAST((SELECT total FROM sales) - COALESCE(SUM(quantity), 0) AS SIGNED) FROM orders
                     WHERE live = 1";
        let stock = self.world.quiet().await;
        assert_eq!(stock.remaining, self.world.number(units).await, "{step}");
        let (next, _) = self.world.buys_again(user, order).await;
        self.world.until_number(&row(next, "status = 0"), 1).await;
        let paid = self.world.pay(&self.orders, next, user).await;
        assert_eq!(paid, Reply::Done, "{step}");
    }
}

fn row(order: i64, says: &str) -> String {
    format!("SELECT COUNT(*) FROM orders WHERE order_id = {order} AND {says}")
}

/// Expiry stands still at `step` until the next epoch is open, or waits for its lock.
async fn expiry_stops_at(sale: &mut Sale, step: &str, is_locked: bool) {
    let (user, order, next) = sale.bought().await;
    let mut expiring = sale.expiring(&format!("{step}:1:freeze")).await;
    let frozen = frozen(&expiring).await;
    let world = &sale.world;
    world.sql(EPOCH_IS_WANTED).await;
    if is_locked {
        world.until_number(WAITING_GRANTS, 1).await;
    } else {
        world.open(next).await;
    }
    frozen.thaw();
    world.open(next).await;
    world.until_number(&row(order, "expired = 1"), 1).await;
    expiring.stop().await.expect("stopped in order");
    sale.has_expired(user, order, step).await;
}

/// The opening stands still at `step` until the order has expired.
async fn opening_stops_at(sale: &mut Sale, step: &str) {
    let (user, order, next) = sale.bought().await;
    sale.reconciler.stop().await.expect("stopped in order");
    let armed = format!("{step}:1:freeze");
    sale.reconciler = sale.world.armed("reconciler", &armed).await;
    sale.world.sql(EPOCH_IS_WANTED).await;
    let frozen = frozen(&sale.reconciler).await;
    let mut expiring = sale.expiring("").await;
    let world = &sale.world;
    world.until_number(&row(order, "expired = 1"), 1).await;
    frozen.thaw();
    world.open(next).await;
    expiring.stop().await.expect("stopped in order");
    sale.has_expired(user, order, step).await;
}

/// The opening dies at `step`, and whoever expires the order opens the sale, too.
async fn opening_dies_at(sale: &mut Sale, step: &str) {
    let (user, order, next) = sale.bought().await;
    sale.reconciler.stop().await.expect("stopped in order");
    let mut dying = sale.world.armed("reconciler", step).await;
    sale.world.sql(EPOCH_IS_WANTED).await;
    sale.world.crashed(&mut dying).await;
    let mut expiring = sale.expiring("").await;
    let world = &sale.world;
    world.open(next).await;
    world.until_number(&row(order, "expired = 1"), 1).await;
    expiring.stop().await.expect("stopped in order");
    sale.reconciler = world.role("reconciler").await;
    sale.has_expired(user, order, step).await;
}

async fn at_every_step(engine: &str, name: &str) {
    in_each_round(engine, name, TOTAL, async |world| {
        let is_shared = !engine.starts_with("preallocated");
        let mut sale = Sale::open(engine, world).await;
        for step in LOCKED {
            expiry_stops_at(&mut sale, step, true).await;
        }
        for step in COMMITTED {
            expiry_stops_at(&mut sale, step, false).await;
        }
        if is_shared {
            expiry_stops_at(&mut sale, EXECUTED, false).await;
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
    lua_single_key_expires_at_every_step_of_an_opening_and_opens_at_every_step_of_expiry: "lua-single-key", "expired_lua";
    sharded_slots_expires_at_every_step_of_an_opening_and_opens_at_every_step_of_expiry: "sharded-slots?slots=4", "expired_slots";
    database_row_expires_at_every_step_of_an_opening_and_opens_at_every_step_of_expiry: "database-row", "expired_row";
    preallocated_expires_at_every_step_of_an_opening_and_opens_at_every_step_of_expiry: "preallocated?block=20", "expired_leases";
}
