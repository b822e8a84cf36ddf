//! Each private server: what it loses and keeps, and that it is gone when the process that started
//! it is.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use servers::{Address, DatabaseServer, LOSSES, RabbitMqServer, RedisCluster, RedisServer, redis};
use sqlx::{Connection, MySqlConnection};

/// How long a server may outlive a process that was killed.
const GONE_LIMIT: Duration = Duration::from_secs(5);

async fn ask(server: &RedisServer, command: &[&str]) -> String {
    let address = Address::local(server.port());
    let answer = redis::ask(&address, command).await.expect("an answer");
    answer.concat()
}

#[tokio::test]
async fn each_loss_of_a_redis_takes_what_it_says() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    for (how, first, last) in [
        ("flushed", "", ""),
        ("scripts flushed", "new", "new"),
        ("killed, AOF intact", "new", "new"),
        ("killed, AOF cut", "new", "old"),
        ("killed, empty", "", ""),
    ] {
        assert!(LOSSES.contains(&how));
        for key in ["first", "second", "third", "fourth", "last"] {
            server.command(&format!("SET {key} old")).await.expect(how);
        }
        for key in ["first", "second", "third", "fourth", "last"] {
            server.command(&format!("SET {key} new")).await.expect(how);
        }
        server.lose(how).await.expect(how);
        assert_eq!(ask(&server, &["GET", "first"]).await, first, "{how}");
        assert_eq!(ask(&server, &["GET", "last"]).await, last, "{how}");
    }
    let unknown = server.lose("stolen").await.expect_err("no such way");
    assert!(unknown.to_string().contains("killed, AOF cut"), "{unknown}");
}

#[tokio::test]
async fn a_redis_that_gets_an_older_copy_back_has_forgotten_what_came_later() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    server.command("SET early 1").await.expect("set");
    server.set_aside().expect("copied");
    server.command("SET late 1").await.expect("set");
    server.kill().await.expect("killed");
    server.bring_back().expect("brought back");
    server.restart().await.expect("it is back");
    assert_eq!(ask(&server, &["EXISTS", "early"]).await, "1");
    assert_eq!(ask(&server, &["EXISTS", "late"]).await, "0");
}

#[tokio::test]
async fn a_frozen_redis_answers_when_it_is_thawed() {
    let Some(server) = RedisServer::start().await else {
        return;
    };
    let frozen = server.freeze();
    let asking = ask(&server, &["PING"]);
    tokio::pin!(asking);
    let answer = tokio::time::timeout(Duration::from_millis(50), &mut asking).await;
    assert!(answer.is_err(), "{answer:?}");
    frozen.thaw();
    assert_eq!(asking.await, "PONG");
}

#[tokio::test]
async fn a_hash_slot_moves_with_its_keys_and_a_node_comes_back() {
    let Some(cluster) = RedisCluster::start().await else {
        return;
    };
    let slot = cluster.hash_slot("thing").await.expect("a slot");
    let source = cluster.owner(slot).await.expect("an owner");
    let target = (source + 1) % RedisCluster::NODES;
    cluster
        .run(source, &["SET", "thing", "kept"])
        .await
        .expect("set");
    let moved = cluster.move_slot(slot, target, async || ()).await;
    moved.expect("moved");
    assert_eq!(cluster.owner(slot).await, Ok(target));
    cluster.kill_and_restart(target).await.expect("it is back");
    let kept = cluster.run(target, &["GET", "thing"]).await;
    assert_eq!(kept, Ok(vec!["kept".to_owned()]));
    cluster.lose("killed, empty").await.expect("it is back");
    assert_eq!(cluster.run(target, &["DBSIZE"]).await, Ok(vec!["0".into()]));
}

#[tokio::test]
async fn a_database_server_keeps_its_databases_when_it_is_killed() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let (one, other) = (
        server.create_database().await,
        server.create_database().await,
    );
    assert_ne!(one, other);
    server.kill().await.expect("killed");
    MySqlConnection::connect(&one)
        .await
        .expect_err("it is dead");
    server.restart().await.expect("it is back");
    MySqlConnection::connect(&one).await.expect("still there");
}

#[tokio::test]
async fn a_broker_comes_back_where_it_was() {
    let Some(server) = RabbitMqServer::start().await else {
        return;
    };
    let (url, pid) = (server.url(), server.pid());
    server.restart().await.expect("it is back and lets us in");
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
}

/// Runs one of the tests below in a process of its own.
fn other_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--ignored", "--exact", "--nocapture", test]);
    command.env_remove("REQUIRE_SERVERS");
    command
}

#[tokio::test]
#[ignore = "another test runs it, and kills it"]
async fn starts_a_server_and_waits() {
    let Some(server) = RedisServer::start().await else {
        println!("none");
        return;
    };
    println!("pid {}", server.pid());
    std::future::pending::<()>().await;
}

fn next_pid(process: &mut Child) -> Option<u32> {
    let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    for line in lines.map_while(Result::ok) {
        if let Some((_, pid)) = line.split_once("pid ") {
            return pid.parse().ok();
        }
    }
    None
}

fn data_folder(pid: u32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/cwd")).expect("its folder")
}

#[tokio::test]
async fn a_killed_process_leaves_no_server_and_no_folder() {
    if RedisServer::start().await.is_none() {
        return;
    }
    let mut process = other_process("starts_a_server_and_waits")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test again");
    let pid = next_pid(&mut process).expect("a server");
    let folder = data_folder(pid);
    process.kill().expect("SIGKILL");
    process.wait().expect("reaped");
    let deadline = Instant::now() + GONE_LIMIT;
    while Path::new(&format!("/proc/{pid}")).exists() || folder.exists() {
        assert!(
            Instant::now() < deadline,
            "{pid} or {} is left",
            folder.display()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_program_that_is_not_installed_means_an_ignored_test_or_a_failed_one_where_it_is_required() {
    let mut without = other_process("starts_a_server_and_waits");
    without.env("LAB_SEARCH_PATH", "/nowhere");
    let ignored = without.output().expect("this test again");
    let said = String::from_utf8_lossy(&ignored.stderr).into_owned();
    assert!(ignored.status.success(), "{said}");
    assert!(
        said.contains("ignored: redis-server is not installed"),
        "{said}"
    );
    let required = without.env("REQUIRE_SERVERS", "1").output();
    let required = required.expect("this test again");
    assert!(!required.status.success());
}
