//! The network swallows what the roles have begun with the database, without a word: each notices
//! by itself, takes other connections and goes on.

use crate::fresh_world;
use crate::load::Crowd;
use crate::wait::until;
use crate::world::World;
use servers::SilentProxy;
use std::time::{Duration, Instant};

/// Long enough for a second heartbeat after one that was lost, also on a busy machine.
const LEASE_MS: u64 = 5_000;
/// A statement may take 5 s, and a connection is found again within moments.
const GOES_ON_WITHIN: Duration = Duration::from_secs(10);

const ROWS: &str = "SELECT COUNT(*) FROM orders";

/// Puts a proxy between the database and the roles that start from now on.
async fn proxy_to_the_database(world: &mut World, name: &str) -> SilentProxy {
    let url = world.stack.database_url(name);
    let (login, rest) = url.split_once('@').expect("a login");
    let (server, database) = rest.split_once('/').expect("a database");
    let server = server.parse().expect("an address");
    let proxy = SilentProxy::start(server).await.expect("a proxy");
    let url = format!("{login}@{}/{database}", proxy.address());
    world.set("SECKILL__DATABASE__URL", url);
    proxy
}

#[tokio::test]
async fn connections_that_fall_silent_hold_up_no_role_and_cost_no_lease() {
    let name = "silent";
    let mut world = fresh_world!(name, 1_000_000, start_alone);
    world.set("SECKILL__INCARNATION__LEASE_MS", LEASE_MS);
    let proxy = proxy_to_the_database(&mut world, name).await;
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let mut second = world.second_seckill().await;
    let load = world.load(Crowd {
        seed: 43,
        users: 100_000,
        concurrency: 16,
    });
    world.sells(&load, 200).await;

    assert!(proxy.silence() > 0, "the roles use the proxy");
    // The reconciler has something to do, too.
    second.kill().await.expect("killed");
    let since = Instant::now();
    let rows = world.number(ROWS).await;
    world.sells(&load, 200).await;
    until("the consumer writes again", async || {
        match world.number(ROWS).await {
            more if more > rows + 200 => Ok(()),
            more => Err(format!("{more} rows, {rows} before")),
        }
    })
    .await;
    let took = since.elapsed();
    assert!(took < GOES_ON_WITHIN, "no row for {took:?}");
    world
        .until_number("SELECT COUNT(*) FROM incarnations WHERE state = 'gone'", 1)
        .await;
    let told = load.finish().await;
    world.audit().await;
    assert_eq!(
        world.number("SELECT COUNT(*) FROM incarnations").await,
        2,
        "the lost heartbeat was noticed before the lease ran out"
    );
    let leaseless = told
        .statuses
        .iter()
        .find(|(words, _)| words.contains("no lease"));
    assert_eq!(leaseless, None);
    assert_eq!(world.number("SELECT COUNT(*) FROM parked").await, 0);
}
