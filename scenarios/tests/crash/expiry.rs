//! Expiry beside a cancel and a payment of the same order, each stopped in the middle of its
//! transaction while the others are asked: one of them is done, the others are told in which state
//! the order is, and its units go back once at most.

use crate::order_client::Reply;
use crate::orders::{Ended, LOCKING, frozen, in_each_round, on_engines};
use crate::world::{SOMEBODY, World};
use scenarios::stack::Role;

const TOTAL: i64 = 200;
/// The time to pay, once somebody expires orders, s.
const TIME_TO_PAY_S: i64 = 1;
const TIME_TO_PAY: &str = "SECKILL__ORDER__TIME_TO_PAY_S";

/// Waits until this many transactions, or more, wait for a lock of another.
async fn waiting(world: &World, wanted: u32) {
    let sql = format!("SELECT CAST(COUNT(*) >= {wanted} AS SIGNED) FROM {LOCKING}");
    world.until_number(&sql, 1).await;
}

/// A sale in which nothing expires until a test starts a second reconciler, which does it.
struct Sale {
    world: World,
    _roles: [Role; 4],
    services: [Role; 2],
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
        let services = [world.orders().await, world.orders().await];
        world.open(1).await;
        world.set(TIME_TO_PAY, TIME_TO_PAY_S);
        Self {
            world,
            _roles: [reconciler, consumer, seckill, relay],
            services,
        }
    }

    /// The buyer can buy again unless they have paid; they pay for what they buy then, so that the
    /// next order is the only one that can expire.
    async fn has_ended(&self, user: i64, order: i64, ended: Ended) {
        self.world.nothing_is_left().await;
        self.world.is(order, ended).await;
        if ended != Ended::Paid {
            let (next, _) = self.world.buys_again(user, order).await;
            let row = format!("SELECT COUNT(*) FROM orders WHERE order_id = {next}");
            self.world.until_number(&row, 1).await;
            let paid = self.world.pay(&self.services[0], next, user).await;
            assert_eq!(paid, Reply::Done);
        }
    }

    /// Waits until the walk of expiry has come past everything that could expire.
    async fn has_walked(&self, order: i64) {
        let place =
            format!("SELECT COUNT(*) FROM sweeps WHERE name = 'expiry' AND order_id >= {order}");
        self.world.until_number(&place, 1).await;
    }
}

/// Expiry has found the order unpaid and not locked it yet.
async fn a_payment_overtakes_expiry(sale: &Sale, user: i64) {
    let world = &sale.world;
    let order = world.bought(user).await;
    let mut expiring = world
        .armed("reconciler", "order.after_pool_lock:1:freeze")
        .await;
    let frozen = frozen(&expiring).await;
    let paid = world.pay(&sale.services[0], order, user).await;
    assert_eq!(paid, Reply::Done);
    frozen.thaw();
    sale.has_walked(order).await;
    expiring.stop().await.expect("stopped in order");
    sale.has_ended(user, order, Ended::Paid).await;
}

/// Expiry has not committed, and both others wait for it.
async fn expiry_comes_first(sale: &Sale, user: i64) {
    let (world, [first, second]) = (&sale.world, &sale.services);
    let order = world.bought(user).await;
    let mut expiring = world
        .armed("reconciler", "order.before_commit:1:freeze")
        .await;
    let frozen = frozen(&expiring).await;
    let thawing = async {
        waiting(world, 2).await;
        frozen.thaw();
    };
    let (cancelled, paid, ()) = tokio::join!(
        world.cancel(first, order, user),
        world.pay(second, order, user),
        thawing,
    );
    for reply in [cancelled, paid] {
        assert!(
            matches!(&reply, Reply::Conflict(why) if why.starts_with(&format!("order {order} has expired"))),
            "{reply:?}"
        );
    }
    expiring.stop().await.expect("stopped in order");
    sale.has_ended(user, order, Ended::Expired).await;
}

/// The order service stands still at `step`, and expiry waits for it.
async fn expiry_comes_second(sale: &Sale, user: i64, step: &str, ended: Ended) {
    let world = &sale.world;
    let order = world.bought(user).await;
    let slow = world.armed("order", &format!("{step}:1:freeze")).await;
    let asking = async {
        match ended {
            Ended::Paid => world.pay(&slow, order, user).await,
            _ => world.cancel(&slow, order, user).await,
        }
    };
    let expiring = async {
        let frozen = frozen(&slow).await;
        let reconciler = world.role("reconciler").await;
        waiting(world, 1).await;
        frozen.thaw();
        reconciler
    };
    let (reply, mut reconciler) = tokio::join!(asking, expiring);
    assert_eq!(reply, Reply::Done, "{step}");
    sale.has_walked(order).await;
    reconciler.stop().await.expect("stopped in order");
    sale.has_ended(user, order, ended).await;
}

/// Expiry dies after its commit, before anybody has given the units back.
async fn expiry_dies(sale: &Sale, user: i64) {
    let world = &sale.world;
    let order = world.bought(user).await;
    let mut dying = world.armed("reconciler", "reconciler.after_expiry").await;
    world.crashed(&mut dying).await;
    let reply = world.cancel(&sale.services[0], order, user).await;
    assert!(matches!(reply, Reply::Conflict(_)), "{reply:?}");
    sale.has_ended(user, order, Ended::Expired).await;
}

async fn beside_cancels_and_payments(engine: &str, name: &str) {
    in_each_round(engine, name, TOTAL, async |world| {
        let sale = Sale::open(engine, world).await;
        a_payment_overtakes_expiry(&sale, SOMEBODY).await;
        expiry_comes_first(&sale, SOMEBODY + 1).await;
        let (locked, written) = ("order.after_pool_lock", "order.before_commit");
        expiry_comes_second(&sale, SOMEBODY + 2, locked, Ended::Cancelled).await;
        expiry_comes_second(&sale, SOMEBODY + 3, written, Ended::Cancelled).await;
        expiry_comes_second(&sale, SOMEBODY + 4, written, Ended::Paid).await;
        expiry_dies(&sale, SOMEBODY + 5).await;
        sale.world.audit().await;
    })
    .await;
}

on_engines! {
    beside_cancels_and_payments:
    lua_single_key_expires_once_beside_cancels_and_payments: "lua-single-key", "expiry_lua";
    sharded_slots_expires_once_beside_cancels_and_payments: "sharded-slots?slots=4", "expiry_slots";
    database_row_expires_once_beside_cancels_and_payments: "database-row", "expiry_row";
    preallocated_expires_once_beside_cancels_and_payments: "preallocated?block=20", "expiry_leases";
}
