//! A private Redis Cluster: three nodes that know every slot, measured as one, and gone with the
//! stack.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use scenarios::stack::StackOptions;
use scenarios::testing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::processes::Family;
use crate::{signal, used};

const NODES: [&str; 3] = ["redis-0", "redis-1", "redis-2"];
/// A killed node is noticed with the next look at the processes.
const NOTICED_LIMIT: Duration = Duration::from_secs(5);

/// The answer of one node, whole.
async fn ask(place: &str, command: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(place).await.expect("a node");
    stream
        .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
        .await
        .expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test]
async fn three_nodes_answer_share_every_slot_count_as_one_redis_and_are_gone_afterwards() {
    let options = StackOptions {
        redis_cluster: true,
        ..testing::options()
    };
    let Some(stack) = testing::own_stack(&options).await else {
        return;
    };
    eprintln!("ready after (ms): {:?}", stack.start_ms());
    let url = stack.redis_url();
    let places: Vec<&str> = url
        .strip_prefix("redis-cluster://")
        .expect("its scheme")
        .split(',')
        .collect();
    assert_eq!(places.len(), 3, "{url}");
    for place in &places {
        let port: u16 = place
            .rsplit_once(':')
            .expect("a port")
            .1
            .parse()
            .expect("a number");
        assert!(port < 50_000, "the bus of {place} has no port");
        let info = ask(place, "CLUSTER INFO").await;
        for line in [
            "cluster_state:ok",
            "cluster_slots_ok:16384",
            "cluster_known_nodes:3",
            "cluster_size:3",
        ] {
            assert!(
                info.lines().any(|found| found == line),
                "{place}: no {line} in {info}"
            );
        }
        // Slot 12182, which is the last node's; the others must know that.
        let answer = ask(place, "GET foo").await;
        let expected = if *place == places[2] {
            "$-1".to_owned()
        } else {
            format!("-MOVED 12182 {}", places[2])
        };
        assert_eq!(answer.lines().next(), Some(expected.as_str()));
    }
    stack.check().await.expect("all is well");
    let settings = stack.settings();
    assert_eq!(
        (
            settings["redis.cluster_nodes"].as_str(),
            settings["redis.appendonly"].as_str()
        ),
        ("3", "yes")
    );
    let usage = used(&stack);
    assert_eq!(usage.len(), 3, "{usage:?}");
    assert!(usage["redis"].peak_rss_bytes > 0, "{usage:?}");

    let pids = NODES.map(|name| stack.server_pid(name).expect("a node of its own"));
    let nodes = Family::of(&pids);
    signal(pids[1], Signal::KILL);
    let deadline = Instant::now() + NOTICED_LIMIT;
    let error = loop {
        match stack.check().await {
            Err(error) => break error.to_string(),
            Ok(()) => assert!(Instant::now() < deadline, "nobody noticed"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(error.contains("redis-1 died"), "{error}");
    let scratch = stack.scratch().to_path_buf();
    stack.stop().await.expect("an orderly end");
    nodes.assert_gone_within(Duration::ZERO);
    assert!(!scratch.exists(), "{} is left", scratch.display());
}
