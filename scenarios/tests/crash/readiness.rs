//! What a balancer is told while an instance has lost a server: not to send buyers, and to send
//! them again when it is back; and what a supervisor is told meanwhile: that the process is alive.

use crate::fresh_world;
use crate::inspect::call;
use crate::wait::until;
use crate::world::World;
use scenarios::stack::Role;
use servers::{Frozen, RabbitMqServer, RedisServer};
use std::time::{Duration, Instant};

/// A term that is lost longer than this makes an instance unready.
const TERM_GRACE: Duration = Duration::from_secs(5);
pub const SERVING: i32 = 1;
pub const NOT_SERVING: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct Check {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Checked {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// What a service of the first instance's health answers.
pub async fn health(world: &World, service: &str) -> i32 {
    let check = Check {
        service: service.to_owned(),
    };
    let checked: Result<Checked, _> =
        call(world.address(), "/grpc.health.v1.Health/Check", check).await;
    checked.expect("it answers").status
}

async fn until_health(world: &World, wanted: i32) {
    until(&format!("health {wanted}"), async || {
        match health(world, "readiness").await {
            found if found == wanted => Ok(()),
            found => Err(found.to_string()),
        }
    })
    .await;
    for service in ["", "seckill.SeckillService"] {
        assert_eq!(health(world, service).await, wanted, "{service:?}");
    }
    assert_eq!(health(world, "liveness").await, SERVING);
}

/// An instance that is ready, with the roles around it.
async fn ready(world: &mut World) -> [Role; 3] {
    let reconciler = world.role("reconciler").await;
    let consumer = world.role("create-consumer").await;
    let seckill = world.seckill().await;
    // With its lease and its broker it is ready, also before a sale is open.
    assert_eq!(health(world, "").await, SERVING);
    world.open(1).await;
    [reconciler, consumer, seckill]
}

#[tokio::test]
async fn an_instance_without_its_broker_is_alive_and_not_ready_until_the_broker_is_back() {
    let mut world = fresh_world!("unready_broker", 10);
    let broker = RabbitMqServer::start().await;
    let broker = broker.expect("the stack has one too");
    world.set("SECKILL__MQ__URL", broker.url());
    let _roles = ready(&mut world).await;
    let back = async {
        // It is gone for seconds: it takes that long to start.
        broker.restart().await.expect("it is back");
    };
    tokio::join!(back, until_health(&world, NOT_SERVING));
    until_health(&world, SERVING).await;
}

#[tokio::test]
async fn an_instance_whose_lease_has_run_out_is_alive_and_not_ready_until_the_database_is_back() {
    let mut world = fresh_world!("unready_lease", 10, start_alone);
    let _roles = ready(&mut world).await;
    let pids = ["mariadb", "mysql"].map(|name| world.stack.server_pid(name));
    let database = pids.into_iter().flatten().next();
    let frozen = Frozen::freeze(database.expect("a private database"));
    until_health(&world, NOT_SERVING).await;
    frozen.thaw();
    until_health(&world, SERVING).await;
}

#[tokio::test]
async fn an_instance_stays_ready_while_its_term_is_lost_for_moments_only() {
    let mut world = fresh_world!("unready_term", 10, start_alone);
    let redis = RedisServer::start().await;
    let redis = redis.expect("the stack has one too");
    world.set("SECKILL__REDIS__URL", redis.url());
    let _roles = ready(&mut world).await;
    let (lost, frozen) = (Instant::now(), redis.freeze());
    while lost.elapsed() < TERM_GRACE - Duration::from_millis(1_500) {
        let seen = health(&world, "readiness").await;
        // A machine that stood still in between has proved nothing.
        assert!(seen == SERVING || lost.elapsed() >= TERM_GRACE, "{seen}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until_health(&world, NOT_SERVING).await;
    assert!(lost.elapsed() >= TERM_GRACE, "{:?}", lost.elapsed());
    frozen.thaw();
    until_health(&world, SERVING).await;
}
