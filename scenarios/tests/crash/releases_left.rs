//! Releases that are left in the outbox while whoever is to do them dies, or a server that they need
//! is killed and comes back: every unit comes back exactly once (release-by-epoch, R12).

use crate::fresh_world;
use crate::order_client::Reply;
use crate::orders::{Ended, LEFT};
use crate::stalling::Stalling;
use crate::world::{SOMEBODY, World};
use futures_util::future::join_all;
use scenarios::stack::Role;
use servers::{DatabaseServer, Frozen, RabbitMqServer, RedisServer};

const TOTAL: i64 = 200;
/// Orders that are cancelled together.
const CANCELLED: i64 = 8;
const REDIS: &str = "SECKILL__REDIS__URL";
const UNSOLD: &str =
    "SELECT CAST((SELECT total FROM sales) - COALESCE(SUM(quantity), 0) AS SIGNED) FROM orders
     WHERE live = 1";

/// A sale whose order service reaches Redis through something that stalls, so that what it cancels
/// then is left to the relay. What it has sent arrives late.
struct Sale {
    world: World,
    _roles: [Role; 3],
    orders: Role,
    redis: Stalling,
    buyer: i64,
}

impl Sale {
    async fn open(mut world: World) -> Self {
        let url = world.settings.iter().find(|(key, _)| key == REDIS);
        let url = url.expect("it is set").1.clone();
        let redis = Stalling::before(&url).await;
        let reconciler = world.role("reconciler").await;
        let consumer = world.role("create-consumer").await;
        let seckill = world.seckill().await;
        world.set(REDIS, redis.url());
        let orders = world.orders().await;
        world.set(REDIS, url);
        world.open(1).await;
        Self {
            world,
            _roles: [reconciler, consumer, seckill],
            orders,
            redis,
            buyer: SOMEBODY,
        }
    }

    /// Buyers whose orders are cancelled, and whose releases nobody has done.
    async fn leaves_releases(&mut self) -> Vec<(i64, i64)> {
        let bought = bought(&self.world, self.buyer).await;
        self.buyer += CANCELLED;
        self.redis.stall();
        cancelled(&self.world, &self.orders, &bought).await;
        assert_eq!(self.world.number(LEFT).await, CANCELLED);
        bought
    }

    /// And whoever comes late with a release does nothing any more.
    async fn has_all_back(&mut self, cancelled: &[(i64, i64)]) {
        came_back(&self.world, cancelled).await;
        self.redis.go_on();
        let (user, order) = (self.buyer, self.world.bought(self.buyer).await);
        self.buyer += 1;
        let reply = self.world.cancel(&self.orders, order, user).await;
        assert_eq!(reply, Reply::Done);
        came_back(&self.world, &[(user, order)]).await;
    }
}

async fn bought(world: &World, first: i64) -> Vec<(i64, i64)> {
    let mut bought = Vec::new();
    for user in first..first + CANCELLED {
        bought.push((user, world.bought(user).await));
    }
    bought
}

/// All at once.
async fn cancelled(world: &World, service: &Role, bought: &[(i64, i64)]) {
    let cancels = bought
        .iter()
        .map(|(user, order)| world.cancel(service, *order, *user));
    for reply in join_all(cancels).await {
        assert_eq!(reply, Reply::Done);
    }
}

/// Each unit once, and each of the buyers can have another one.
async fn came_back(world: &World, cancelled: &[(i64, i64)]) {
    world.nothing_is_left().await;
    let stock = world.quiet().await;
    assert_eq!(stock.remaining, world.number(UNSOLD).await, "units");
    for (user, order) in cancelled {
        world.is(*order, Ended::Cancelled).await;
        world.buys_again(*user, *order).await;
    }
}

#[tokio::test]
async fn a_relay_that_dies_with_releases_left_gives_every_unit_back_once() {
    let mut sale = Sale::open(fresh_world!("relay_dies", TOTAL)).await;
    // When the engine has done it, and nobody has written that down.
    let left = sale.leaves_releases().await;
    let mut dying = sale
        .world
        .armed("cancel-consumer", "release.after_engine")
        .await;
    sale.world.crashed(&mut dying).await;
    assert_eq!(sale.world.number(LEFT).await, CANCELLED);
    let mut relay = sale.world.role("cancel-consumer").await;
    sale.has_all_back(&left).await;
    relay.stop().await.expect("stopped in order");

    // When it is written down; its first look leaves everything to the order service.
    let left = sale.leaves_releases().await;
    let mut dying = sale
        .world
        .armed("cancel-consumer", "release.after_mark:2")
        .await;
    sale.world.crashed(&mut dying).await;
    let _relay = sale.world.role("cancel-consumer").await;
    sale.has_all_back(&left).await;
    sale.world.audit().await;
}

/// An engine with its state in the process: its caretaker does the releases.
#[tokio::test]
async fn a_service_that_dies_with_releases_of_its_own_left_gives_every_unit_back_once() {
    let mut world = fresh_world!("caretaker_dies", TOTAL);
    world.set("SECKILL__SECKILL__ENGINE", "preallocated?block=20");
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _relay = world.role("cancel-consumer").await;
    let orders = world.orders().await;

    // In the middle of its first page.
    let mut dying = world.armed_seckill("release.after_engine").await;
    world.open(1).await;
    let left = bought(&world, SOMEBODY).await;
    cancelled(&world, &orders, &left).await;
    world.crashed(&mut dying).await;
    let mut seckill = world.seckill().await;
    world.open(1).await;
    came_back(&world, &left).await;

    // Before it has seen any.
    let left = bought(&world, SOMEBODY + CANCELLED).await;
    let frozen = Frozen::freeze(seckill.pid());
    cancelled(&world, &orders, &left).await;
    assert_eq!(world.number(LEFT).await, CANCELLED);
    seckill.kill().await.expect("killed");
    frozen.thaw();
    let _seckill = world.seckill().await;
    world.open(1).await;
    came_back(&world, &left).await;
    world.audit().await;
}

/// A relay with connections stands still, a server is killed and comes back, and the relay goes on.
async fn beside_a_restart(sale: &mut Sale, relay: &Role, restart: impl Future<Output = ()>) {
    let frozen = Frozen::freeze(relay.pid());
    let left = sale.leaves_releases().await;
    restart.await;
    frozen.thaw();
    sale.world.open(1).await;
    sale.has_all_back(&left).await;
}

#[tokio::test]
async fn releases_that_are_left_when_redis_is_restarted_give_every_unit_back_once() {
    let mut world = fresh_world!("left_redis", TOTAL);
    let redis = RedisServer::start().await.expect("the stack has one too");
    world.set(REDIS, redis.url());
    let mut sale = Sale::open(world).await;
    let relay = sale.world.role("cancel-consumer").await;
    beside_a_restart(&mut sale, &relay, async {
        redis.restart().await.expect("it is back");
    })
    .await;
    sale.world.open(2).await;
    beside_a_restart(&mut sale, &relay, async {
        redis.lose("killed, empty").await.expect("it is back");
    })
    .await;
    sale.world.open(3).await;
    sale.world.audit().await;
}

#[tokio::test]
async fn releases_that_are_left_when_the_database_is_restarted_give_every_unit_back_once() {
    if !crate::world::has_failpoints() {
        return;
    }
    let Some(database) = DatabaseServer::start().await else {
        return;
    };
    let world = World::start_at(&database.root_url(), "left_database", TOTAL).await;
    let Some(world) = world else { return };
    let mut sale = Sale::open(world).await;
    let relay = sale.world.role("cancel-consumer").await;
    beside_a_restart(&mut sale, &relay, async {
        database.restart().await.expect("it is back");
    })
    .await;
    sale.world.audit().await;
}

#[tokio::test]
#[ignore = "nightly: a broker of its own takes half a minute to start and to come back"]
async fn releases_that_are_left_when_the_broker_is_restarted_give_every_unit_back_once() {
    let mut world = fresh_world!("left_broker", TOTAL);
    let broker = RabbitMqServer::start().await;
    let broker = broker.expect("the stack has one too");
    world.set("SECKILL__MQ__URL", broker.url());
    let mut sale = Sale::open(world).await;
    let relay = sale.world.role("cancel-consumer").await;
    beside_a_restart(&mut sale, &relay, async {
        broker.write_down_quorum_queues().await.expect("written");
        broker.restart().await.expect("it is back");
    })
    .await;
    sale.world.audit().await;
}
