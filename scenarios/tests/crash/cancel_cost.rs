//! What a cancel costs: the CPU of every process but its buyers', at a fixed number in flight. It says
//! how much that is, and judges that all are done and the audit passes.

use crate::load::Crowd;
use crate::order_client::{Asker, Reply};
use crate::repetitions::number;
use crate::world::World;
use reports::outcome_log::Operation;
use reports::result::{Usage, UsageByProcess};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// More than is sold.
const TOTAL: i64 = 1_000_000;
const ORDERS_VARIABLE: &str = "CANCEL_ORDERS";
const IN_FLIGHT: usize = 200;
const CONNECTIONS: usize = 20;
/// The goal, µs of CPU for each cancel, of all processes of the system until the last reply.
const GOAL_US: f64 = 60.0;

/// With `--release`, on a quiet machine:
/// `cargo test --release -p scenarios --test crash -- --ignored --nocapture a_cancel_costs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "nightly: measures, which needs a quiet machine and a release build"]
async fn a_cancel_costs_so_much_cpu_at_two_hundred_in_flight() {
    for (name, engine) in [
        ("costlua", "lua-single-key"),
        ("costsharded", "sharded-slots"),
        ("costdatabase", "database-row"),
        ("costpreallocated", "preallocated"),
    ] {
        let Some(world) = World::start_alone(name, TOTAL).await else {
            return;
        };
        measure(engine, world).await;
    }
}

async fn measure(engine: &str, mut world: World) {
    world.set("SECKILL__SECKILL__ENGINE", engine);
    let _reconciler = world.role("reconciler").await;
    let _consumer = world.role("create-consumer").await;
    let _relay = world.role("cancel-consumer").await;
    let _seckill = world.seckill().await;
    let service = world.orders().await;
    world.open(1).await;
    let load = world.load(Crowd {
        seed: 71,
        users: 500_000,
        concurrency: 100,
    });
    world.sells(&load, number(ORDERS_VARIABLE, 20_000)).await;
    load.finish().await;
    world.quiet().await;

    let sql = "SELECT order_id, user_id FROM orders ORDER BY RAND()";
    let bought: Vec<(i64, i64)> = sqlx::query_as(sql)
        .fetch_all(&world.database)
        .await
        .expect("the orders");
    let bought: Arc<[(i64, i64)]> = bought.into();
    let address = service.listen().expect("it listens");
    let mut askers = Vec::new();
    for _ in 0..CONNECTIONS {
        askers.push(Asker::connect(address).await.expect("a connection"));
    }
    let before = world.stack.counters();
    let began = Instant::now();
    cancel_all(&world, &askers, &bought).await;
    let took = began.elapsed();
    let replied = world.stack.counters();
    world.nothing_is_left().await;
    let done = world.stack.counters();

    let each_us = |usage: &Usage| usage.cpu_ns() as f64 / 1e3 / bought.len() as f64;
    let all_us = |used: &UsageByProcess| -> f64 { used.values().map(each_us).sum() };
    let until_replied = replied.since(&before);
    let (cost_us, in_all_us) = (all_us(&until_replied), all_us(&done.since(&before)));
    let parts: Vec<String> = until_replied
        .iter()
        .map(|(name, usage)| (name, each_us(usage)))
        .filter(|(_, part_us)| *part_us >= 0.1)
        .map(|(name, part_us)| format!("{name} {part_us:.1}"))
        .collect();
    eprintln!(
        "{engine}: {} cancels, {:.0}/s, {cost_us:.1} µs CPU each until the reply (goal {GOAL_US}), {in_all_us:.1} until released ({})",
        bought.len(),
        bought.len() as f64 / took.as_secs_f64(),
        parts.join(", "),
    );
    world.audit().await;
}

/// Each order once, so many in flight; each is done.
async fn cancel_all(world: &World, askers: &[Asker], bought: &Arc<[(i64, i64)]>) {
    let next = Arc::new(AtomicUsize::new(0));
    let lanes: Vec<_> = (0..IN_FLIGHT)
        .map(|lane| {
            let (next, bought, told) = (next.clone(), bought.clone(), world.told.clone());
            let mut asker = askers[lane % askers.len()].clone();
            tokio::spawn(async move {
                while let Some(&of) = bought.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let reply = asker.ask(Operation::Cancel, of, &told).await;
                    assert_eq!(reply, Reply::Done, "{of:?}");
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.expect("all are cancelled");
    }
}
