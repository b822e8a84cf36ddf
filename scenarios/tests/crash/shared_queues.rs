//! Several consumers share out the queues of several publishers: one that joins takes over its share,
//! those of one that stops or dies go on, and whatever comes and goes, no order is lost or doubled and
//! no epoch waits for it.
//!
//! A consumer's first commit on a queue begins a session (drain-in-one-session, R5), so the sessions
//! of all queues together say how often a queue has changed hands, and that it was written from since.

use crate::load::{Crowd, Load};
use crate::repetitions::number;
use crate::wait::until_at_least;
use crate::world::{SOMEBODY, World};
use crate::{fresh_world, redis};
use scenarios::stack::Role;
use servers::Frozen;
use std::time::{Duration, Instant};

/// More than is sold.
const TOTAL: i64 = 1_000_000;
/// Longest times until a queue of a consumer that has stopped, or was killed, goes on: two looks, or
/// a lease and a look, many times over, because the machine may be busy.
const GOES_ON_WITHIN: Duration = Duration::from_secs(4);
const GOES_ON_AFTER_A_KILL_WITHIN: Duration = Duration::from_secs(7);
/// Longest time from the loss of an engine's state until the sale is open again. A marker that is lost
/// would cost more.
const OPEN_AGAIN_WITHIN: Duration = Duration::from_secs(5);
const SESSIONS: &str = "SELECT CAST(SUM(consumer_session) AS SIGNED) FROM incarnations";
/// Consumers with one queue each, and no two with the same.
const EVEN: &str =
    "SELECT COUNT(DISTINCT queue) FROM consumers WHERE queue <> '' AND queue NOT LIKE '% %'";
const ROUNDS_VARIABLE: &str = "SHARE_ROUNDS";
const BACKLOG_VARIABLE: &str = "BACKLOG_ORDERS";

struct TwoPublishers {
    world: World,
    loads: [Load; 2],
    _reconciler: Role,
    _services: [Role; 2],
}

impl TwoPublishers {
    /// Sells from two services, with a reconciler and without a consumer.
    async fn start(mut world: World) -> Self {
        let reconciler = world.role("reconciler").await;
        let first = world.seckill().await;
        world.open(1).await;
        let second = world.second_seckill().await;
        let crowd = |seed| Crowd {
            seed,
            users: 300_000,
            concurrency: 12,
        };
        let at_second = second.listen().expect("it listens");
        let loads = [world.load(crowd(51)), world.load_at(at_second, crowd(52))];
        Self {
            world,
            loads,
            _reconciler: reconciler,
            _services: [first, second],
        }
    }

    async fn consumer(&self) -> Role {
        self.world.role("create-consumer").await
    }

    /// Waits until every queue changed hands as often as that, and is written from.
    async fn sessions(&self, wanted: i64) -> Duration {
        let began = Instant::now();
        self.world.until_number(SESSIONS, wanted).await;
        began.elapsed()
    }

    /// Waits until there are more rows of each publisher, which has a part of the order ids of its
    /// own.
    async fn both_get_rows(&self) {
        let newest = self.world.number("SELECT MAX(order_id) FROM orders").await;
        for load in &self.loads {
            self.world.sells(load, 50).await;
        }
        let publishers = format!(
            "SELECT COUNT(DISTINCT (order_id >> 12) & 1023) FROM orders WHERE order_id > {newest}"
        );
        self.world.until_number(&publishers, 2).await;
    }

    async fn finish(self) {
        for load in self.loads {
            load.finish().await;
        }
        self.world.audit().await;
        let parked = "SELECT COUNT(*) FROM parked";
        assert_eq!(self.world.number(parked).await, 0);
    }
}

#[tokio::test]
async fn one_that_joins_takes_its_share_and_those_of_one_that_stops_or_dies_go_on() {
    let two = TwoPublishers::start(fresh_world!("sharedqueues", TOTAL, start_alone)).await;
    let mut first = two.consumer().await;
    two.sessions(2).await;

    let second = two.consumer().await;
    let joined = two.sessions(3).await;
    two.world.until_number(EVEN, 2).await;
    two.both_get_rows().await;
    let sessions = two.world.number(SESSIONS).await;
    assert_eq!(sessions, 3, "each writes from its queue, and keeps it");

    first.kill().await.expect("killed");
    let after_kill = two.sessions(4).await;
    two.both_get_rows().await;
    two.world
        .until_number("SELECT COUNT(*) FROM consumers", 1)
        .await;

    let mut third = two.consumer().await;
    two.sessions(5).await;
    two.world.until_number(EVEN, 2).await;
    third.stop().await.expect("stopped");
    let after_stop = two.sessions(6).await;
    two.both_get_rows().await;
    eprintln!(
        "a queue went on {joined:?} after a consumer joined, {after_stop:?} after its consumer stopped, \
         {after_kill:?} after it was killed"
    );
    assert!(joined < GOES_ON_WITHIN, "{joined:?}");
    assert!(after_stop < GOES_ON_WITHIN, "{after_stop:?}");
    assert!(after_kill < GOES_ON_AFTER_A_KILL_WITHIN, "{after_kill:?}");
    two.finish().await;
    drop(second);
}

#[tokio::test]
async fn consumers_that_come_and_go_under_load_lose_and_double_nothing_and_no_epoch_waits() {
    let mut world = fresh_world!("comeandgo", TOTAL, start_alone);
    let server = world.own_redis().await;
    let two = TwoPublishers::start(world).await;
    let _staying = two.consumer().await;
    two.sessions(2).await;
    let mut epoch = 1;
    for round in 0..number(ROUNDS_VARIABLE, 2) {
        let lost_at = Instant::now();
        redis::flush(&server.url()).await;
        let mut coming = two.consumer().await;
        epoch = two.world.open(epoch + 1).await.epoch;
        let with_joining = lost_at.elapsed();
        two.world.until_number(EVEN, 2).await;
        two.both_get_rows().await;

        let lost_at = Instant::now();
        redis::flush(&server.url()).await;
        coming.stop().await.expect("stopped");
        epoch = two.world.open(epoch + 1).await.epoch;
        let with_leaving = lost_at.elapsed();
        two.both_get_rows().await;

        let mut killed = two.consumer().await;
        two.world.until_number(EVEN, 2).await;
        killed.kill().await.expect("killed");
        two.both_get_rows().await;
        eprintln!(
            "round {round}: open again {with_joining:?} after a loss beside which a consumer joined, \
             {with_leaving:?} after one beside which it left"
        );
        assert!(with_joining < OPEN_AGAIN_WITHIN, "{with_joining:?}");
        assert!(with_leaving < OPEN_AGAIN_WITHIN, "{with_leaving:?}");
    }
    two.finish().await;
}

/// As when the machine has no time for it: the other one subscribes to its queue and waits at the
/// broker, and nothing moves when it is back.
#[tokio::test]
async fn a_consumer_that_is_taken_for_dead_for_a_moment_has_its_queue_all_the_time() {
    let mut world = fresh_world!("takenfordead", TOTAL, start_alone);
    let _reconciler = world.role("reconciler").await;
    let first = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let order = world.buy(SOMEBODY, 1).await.order();
    let row = |order| format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}");
    world.until_number(&row(order), 1).await;
    let _second = world.role("create-consumer").await;
    let (both, consuming) = (
        "SELECT COUNT(*) FROM consumers",
        "SELECT COUNT(*) FROM consumers WHERE queue <> ''",
    );
    world.until_number(both, 2).await;
    world.until_number(consuming, 1).await;
    let frozen = Frozen::freeze(first.pid());
    world.until_number(both, 1).await;
    world.until_number(consuming, 1).await;
    frozen.thaw();
    world.until_number(both, 2).await;
    world.until_number(consuming, 1).await;
    let order = world.buy(SOMEBODY + 1, 1).await.order();
    world.until_number(&row(order), 1).await;
    assert_eq!(world.number(SESSIONS).await, 1, "it was never given up");
    world.audit().await;
}

/// A frozen one keeps its connection, and with it its queue, until the broker gives it up; that the
/// others have long taken it for dead changes nothing.
#[tokio::test]
async fn a_frozen_consumer_keeps_its_queue_until_the_broker_gives_it_up_and_comes_back_for_its_share()
 {
    const HEARTBEAT_S: u64 = 2;
    let mut world = fresh_world!("frozenshare", TOTAL, start_alone);
    world.set("SECKILL__MQ__HEARTBEAT_S", HEARTBEAT_S);
    let two = TwoPublishers::start(world).await;
    let first = two.consumer().await;
    two.sessions(2).await;
    let _second = two.consumer().await;
    two.sessions(3).await;
    two.world.until_number(EVEN, 2).await;
    let frozen = Frozen::freeze(first.pid());
    two.world
        .until_number("SELECT COUNT(*) FROM consumers", 1)
        .await;
    let subscribed_to_both = "SELECT COUNT(*) FROM consumers WHERE queue LIKE '% %'";
    two.world.until_number(subscribed_to_both, 1).await;
    two.sessions(4).await;
    two.both_get_rows().await;
    frozen.thaw();
    // It may join twice, because it learns only now that its connection is gone.
    until_at_least("it takes a queue", 5, async || {
        two.world.number(SESSIONS).await
    })
    .await;
    two.world.until_number(EVEN, 2).await;
    two.both_get_rows().await;
    two.finish().await;
}

/// Prints how fast a backlog of two publishers becomes rows. With `--release` the figures are those of
/// the system as it is delivered.
#[tokio::test]
#[ignore = "nightly: writes a large backlog twice, and the figures need a quiet machine"]
async fn a_backlog_of_two_publishers_is_written_by_one_consumer_and_by_two() {
    for consumers in [1, 2] {
        let name = format!("backlog{consumers}");
        let Some(mut world) = World::start_alone(&name, TOTAL).await else {
            return;
        };
        // Neither the broker nor the reconciler gives up who only stands still.
        world.set("SECKILL__MQ__HEARTBEAT_S", 60);
        world.set("SECKILL__RECONCILER__GRACE_MS", 120_000);
        let two = TwoPublishers::start(world).await;
        let mut roles = vec![two.consumer().await];
        two.sessions(2).await;
        if consumers == 2 {
            roles.push(two.consumer().await);
            two.world.until_number(EVEN, 2).await;
            two.sessions(3).await;
        }
        let frozen: Vec<_> = roles
            .iter()
            .map(|role| Frozen::freeze(role.pid()))
            .collect();
        let rows = "SELECT COUNT(*) FROM orders";
        let before = two.world.number(rows).await;
        for load in &two.loads {
            two.world
                .sells(load, number(BACKLOG_VARIABLE, 20_000))
                .await;
        }
        let TwoPublishers {
            world,
            loads,
            _reconciler,
            _services,
        } = two;
        for load in loads {
            load.finish().await;
        }
        let left = world.stock().await.expect("it answers").remaining;
        let began = Instant::now();
        frozen.into_iter().for_each(Frozen::thaw);
        let sold = "SELECT CAST(SUM(sold) AS SIGNED) FROM allocations";
        until_at_least("all is written", TOTAL - left, async || {
            world.number(sold).await
        })
        .await;
        let took = began.elapsed();
        let written = world.number(rows).await - before;
        eprintln!(
            "{consumers} consumers: {written} rows in {took:?}, {:.0} rows/s",
            written as f64 / took.as_secs_f64()
        );
        world.audit().await;
    }
}
