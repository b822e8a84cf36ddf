//! `seckill status` while a server is away: what can be asked is shown, what cannot is named, within
//! moments; without the database there is nothing to show, and it fails with the reason.

use crate::fresh_world;
use crate::world::World;
use std::time::{Duration, Instant};

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";
/// It waits 3 s for the engine and the broker, and perhaps as long for the database.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// What it prints, or why it fails; in time.
async fn status(world: &World) -> Result<String, String> {
    let asked = Instant::now();
    let said = world.run(&["status"]).await;
    let took = asked.elapsed();
    assert!(took < ANSWERS_WITHIN, "{took:?}: {said:?}");
    said.map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn status_shows_what_it_can_while_a_server_is_away_and_names_what_it_cannot_ask() {
    let mut world = fresh_world!("status", 100);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let (engine, broker) = ("not asked: engine:", "not asked: broker:");
    let said = status(&world).await.expect("all servers are there");
    assert!(!said.contains(engine) && !said.contains(broker), "{said}");

    let settings = world.settings.clone();
    for (key, url, away) in [
        ("SECKILL__REDIS__URL", format!("redis://{NOBODY}"), engine),
        (
            "SECKILL__MQ__URL",
            format!("amqp://guest:guest@{NOBODY}/%2f"),
            broker,
        ),
    ] {
        world.set(key, url);
        let said = status(&world).await.expect("the database is there");
        let other = if away == engine { broker } else { engine };
        assert!(said.contains(away) && !said.contains(other), "{said}");
        world.settings.clone_from(&settings);
    }

    world.set(
        "SECKILL__DATABASE__URL",
        format!("mysql://root@{NOBODY}/status"),
    );
    let why = status(&world).await.expect_err("nothing can be shown");
    assert!(why.contains("database"), "{why}");
}
