//! `seckill status` while a server is away or hangs: what can be asked is shown, what cannot is named, within
//! moments; without the database there is nothing to show, and it fails with the reason.

use crate::fresh_world;
use crate::world::World;
use servers::Frozen;
use std::time::{Duration, Instant};

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";
/// It waits 3 s for the engine and the broker, and perhaps as long for the database.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// What it prints, or why it fails; in time.
async fn status(world: &World) -> Result<String, String> {
    run(world, &["status"]).await
}

async fn run(world: &World, args: &[&str]) -> Result<String, String> {
    let asked = Instant::now();
    let said = world.run(args).await;
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

/// Connections are made, and nobody answers on them.
#[tokio::test]
async fn status_ends_while_a_server_hangs_and_names_what_it_cannot_ask() {
    let mut world = fresh_world!("status_hangs", 100, start_alone);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _seckill = world.seckill().await;
    world.open(1).await;
    let hanging = async |names: &[&str]| {
        let pids = names.iter().find_map(|name| world.stack.server_pid(name));
        let frozen = Frozen::freeze(pids.expect("a private server"));
        let said = run(&world, &["status", "--json"]).await;
        frozen.thaw();
        said
    };
    for (server, named) in [("redis", "engine"), ("rabbitmq", "broker")] {
        let said = hanging(&[server]).await.expect("the database answers");
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let not_asked = said["not_asked"].as_array().expect("a list");
        let [why] = not_asked.as_slice() else {
            panic!("one is not asked: {not_asked:?}");
        };
        let why = why.as_str().expect("words");
        assert!(why.starts_with(&format!("{named}: ")), "{server}: {why}");
        assert_eq!(said["sales"].as_array().expect("sales").len(), 1, "{said}");
    }
    let why = hanging(&["mariadb", "mysql"]).await;
    let why = why.expect_err("nothing can be shown");
    assert!(why.contains("database"), "{why}");
    world.open(1).await;
}
