//! Two service processes sell from leases of their own: every unit is sold once, no buyer is
//! accepted twice, and no unit is stranded when one of them dies, freezes or stops.

use crate::load::{Answer, Crowd, Load};
use crate::sale::PRODUCT;
use crate::wait::{until, until_at_least};
use crate::world::{LEASE_MS, PATIENCE, SOMEBODY, World};
use crate::{fresh_world, inspect};
use scenarios::stack::Role;
use servers::Frozen;
use std::net::SocketAddr;

const ENGINE: &str = "preallocated?block=200";
const TOTAL: i64 = 8_000;
/// The same buyers ask both services, so that each of them also asks the wrong one.
const CROWD: Crowd = Crowd {
    seed: 31,
    users: 40_000,
    concurrency: 8,
};
const SOLD: &str = "SELECT CAST(COALESCE(SUM(quantity), 0) AS SIGNED) FROM orders WHERE live = 1";
const OWNERS: &str = "SELECT COUNT(DISTINCT owner) FROM engine_partitions";

struct TwoServices {
    world: World,
    _consumer: Role,
    reconciler: Role,
    first: Role,
    second: Role,
}

impl TwoServices {
    async fn start(world: World) -> Self {
        Self::start_with(ENGINE, world).await
    }

    async fn start_with(engine: &str, mut world: World) -> Self {
        world.set("SECKILL__SECKILL__ENGINE", engine);
        let reconciler = world.role("reconciler").await;
        let consumer = world.role("create-consumer").await;
        let first = world.seckill().await;
        world.open(1).await;
        let second = world.second_seckill().await;
        let two = Self {
            world,
            _consumer: consumer,
            reconciler,
            first,
            second,
        };
        // The second service is given its share of the buyers with the next epoch.
        two.world.until_number(OWNERS, 2).await;
        for admin in [two.first.admin(), two.second.admin()] {
            let admin = admin.expect("it listens");
            until(
                "both sell in the same epoch",
                async || match inspect::stock(admin, PRODUCT).await {
                    Ok(stock) if stock.open && stock.epoch >= 2 => Ok(()),
                    other => Err(format!("{other:?}")),
                },
            )
            .await;
        }
        two
    }

    fn second_address(&self) -> SocketAddr {
        self.second.listen().expect("it listens")
    }

    fn second_admin(&self) -> SocketAddr {
        self.second.admin().expect("it listens")
    }

    fn loads(&self) -> [Load; 2] {
        [
            self.world.load(CROWD),
            self.world.load_at(self.second_address(), CROWD),
        ]
    }
}

/// Sells single units to new buyers, each from whichever of `services` serves them, until one is
/// refused.
async fn sell_the_rest(world: &World, services: &[SocketAddr]) {
    'buyers: for buyer in SOMEBODY.. {
        for service in services {
            match world.buy_at(*service, buyer, 1, PATIENCE).await {
                Answer::Yes(_) => continue 'buyers,
                Answer::No(why) => return assert_eq!(why, "OK, refused: sold out"),
                // This service does not serve the buyer, or units are on their way.
                Answer::Unavailable(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn until_nearly_sold_out(world: &World) {
    let what = "nearly everything is sold";
    until_at_least(what, TOTAL - 1, async || world.number(SOLD).await).await;
}

#[tokio::test]
async fn two_instances_sell_every_unit_once_and_accept_no_buyer_twice() {
    let two = TwoServices::start(fresh_world!("twoleases", TOTAL)).await;
    let [first, second] = two.loads();
    two.world.sells(&first, 500).await;
    two.world.sells(&second, 500).await;
    until_nearly_sold_out(&two.world).await;
    let told = [first.finish().await, second.finish().await];
    for told in &told {
        let wrong = told
            .statuses
            .iter()
            .find(|(words, _)| words.contains("another instance serves this buyer"));
        assert!(
            wrong.is_some(),
            "each was also asked by buyers of the other: {:?}",
            told.statuses
        );
    }
    sell_the_rest(&two.world, &[two.world.address(), two.second_address()]).await;
    two.world.quiet_at(two.second_admin()).await;
    two.world.audit().await;
    assert_eq!(two.world.number(SOLD).await, TOTAL);
}

#[tokio::test]
async fn after_a_kill_exactly_what_was_granted_and_not_sold_goes_back_and_is_sold() {
    let mut two = TwoServices::start(fresh_world!("killedlease", TOTAL)).await;
    let [first, second] = two.loads();
    two.world.sells(&first, 300).await;
    two.world.sells(&second, 300).await;
    two.second.kill().await.expect("killed");
    second.finish().await;
    two.world.until_number(OWNERS, 1).await;
    let stranded = "SELECT COUNT(*) FROM allocations WHERE holder <> 'pool' AND state = 'closed' AND granted <> sold";
    assert_eq!(two.world.number(stranded).await, 0);
    until_nearly_sold_out(&two.world).await;
    first.finish().await;
    sell_the_rest(&two.world, &[two.world.address()]).await;
    two.world.audit().await;
    assert_eq!(two.world.number(SOLD).await, TOTAL);
}

/// The last publishers may die while the buyers of an epoch are being shared out among them.
#[tokio::test]
async fn an_epoch_whose_publishers_are_all_gone_is_followed_by_one_for_the_next_publisher() {
    let mut world = fresh_world!("dealtnobody", TOTAL);
    world.set("SECKILL__SECKILL__ENGINE", ENGINE);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let mut seckill = world.seckill().await;
    let epoch = world.open(1).await.epoch;
    seckill.kill().await.expect("killed");
    world
        .until_number("SELECT COUNT(*) FROM incarnations WHERE state <> 'gone'", 0)
        .await;
    world.sql("DELETE FROM engine_partitions").await;
    let _seckill = world.seckill().await;
    world.open(epoch + 1).await;
    world.buy(SOMEBODY, 1).await.order();
    world.audit().await;
}

#[tokio::test]
async fn more_instances_than_partitions_sell_in_one_epoch() {
    let two = TwoServices::start_with(
        "preallocated?block=200&partitions=1",
        fresh_world!("fewpartitions", TOTAL),
    )
    .await;
    let epoch = two.world.stock().await.expect("it answers").epoch;
    let [first, second] = two.loads();
    two.world.sells(&first, 500).await;
    two.world.sells(&second, 500).await;
    until_nearly_sold_out(&two.world).await;
    first.finish().await;
    second.finish().await;
    assert_eq!(
        two.world.stock().await.expect("it answers").epoch,
        epoch,
        "the buyers are not shared out again"
    );
    sell_the_rest(&two.world, &[two.world.address(), two.second_address()]).await;
    two.world.quiet_at(two.second_admin()).await;
    two.world.audit().await;
    assert_eq!(two.world.number(SOLD).await, TOTAL);
}

#[tokio::test]
async fn one_that_was_frozen_past_its_lease_sells_nothing_more_of_it() {
    let two = TwoServices::start(fresh_world!("frozenlease", TOTAL)).await;
    let [first, second] = two.loads();
    two.world.sells(&second, 300).await;
    let epoch = two.world.stock().await.expect("it answers").epoch;
    let frozen = Frozen::freeze(two.second.pid());
    const {
        assert!(
            LEASE_MS < 4_000,
            "the next epoch is opened within the patience of this test"
        )
    };
    two.world.open(epoch + 1).await;
    frozen.thaw();
    // It gets a share again with the epoch after that.
    two.world.open(epoch + 2).await;
    two.world.sells(&first, 100).await;
    two.world.sells(&second, 100).await;
    until_nearly_sold_out(&two.world).await;
    first.finish().await;
    second.finish().await;
    sell_the_rest(&two.world, &[two.world.address(), two.second_address()]).await;
    two.world.quiet_at(two.second_admin()).await;
    two.world.audit().await;
    assert_eq!(two.world.number(SOLD).await, TOTAL);
}

#[tokio::test]
async fn a_clean_stop_hands_the_rest_of_the_lease_back_immediately() {
    let mut two = TwoServices::start(fresh_world!("stoppedlease", TOTAL)).await;
    let [first, second] = two.loads();
    two.world.sells(&second, 100).await;
    // Without a reconciler, only the stopping service itself can hand the lease back.
    two.reconciler.stop().await.expect("stopped in order");
    two.second.stop().await.expect("stopped in order");
    second.finish().await;
    let kept = "SELECT CAST(COALESCE(SUM(granted - sold), 0) AS SIGNED) FROM allocations
                WHERE owner = (SELECT MAX(id) FROM incarnations) AND state = 'open'";
    two.world.until_number(kept, 0).await;
    let _reconciler = two.world.role("reconciler").await;
    two.world.until_number(OWNERS, 1).await;
    until_nearly_sold_out(&two.world).await;
    first.finish().await;
    sell_the_rest(&two.world, &[two.world.address()]).await;
    two.world.audit().await;
    assert_eq!(two.world.number(SOLD).await, TOTAL);
    drop(two.first);
}
