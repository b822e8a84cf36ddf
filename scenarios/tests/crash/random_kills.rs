//! Random kills: the processes on both sides of the queue are killed at random moments under load,
//! again and again.

use crate::load::{Crowd, Told};
use crate::repetitions;
use crate::world::World;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reports::outcome_log::Outcome;
use std::sync::PoisonError;
use std::time::Duration;

/// More buyers than the fastest machine serves in one round, and more units than they can buy.
const USERS: u64 = 300_000;
const TOTAL: i64 = 1_000_000;
/// Longest time before each kill, ms.
const KILL_WITHIN_MS: u64 = 800;
/// Longest time without a sale, also on a busy machine: the dead service's place is taken by one that
/// registers anew and waits for nobody.
const GOES_ON_WITHIN: Duration = Duration::from_secs(10);

/// The longest time between two buyers who were told yes.
fn longest_gap(told: &Told) -> Duration {
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let accepted = told
        .iter()
        .filter(|record| record.outcome == Outcome::Accepted);
    let mut at_us: Vec<i64> = accepted.map(|record| record.ended_at_unix_us).collect();
    at_us.sort_unstable();
    let gap_us = at_us.windows(2).map(|pair| pair[1] - pair[0]).max();
    Duration::from_micros(gap_us.unwrap_or_default().unsigned_abs())
}

#[tokio::test]
async fn killed_at_random_moments_under_load_nothing_is_lost_doubled_or_left_over() {
    let (rounds, seed) = repetitions::from_environment();
    let mut random = SmallRng::seed_from_u64(seed);
    for round in 1..=rounds {
        let Some(mut world) = World::start(&format!("round{round}"), TOTAL).await else {
            return;
        };
        let _reconciler = world.role("reconciler").await;
        let mut consumer = world.role("create-consumer").await;
        let mut seckill = world.seckill().await;
        world.open(1).await;
        let crowd = Crowd {
            seed: seed + round,
            users: USERS,
            concurrency: 64,
        };
        let load = world.load(crowd);
        world.sells(&load, 100).await;
        // The moment itself is random, so there is no condition to wait for.
        let moments_ms = [
            random.random_range(0..KILL_WITHIN_MS),
            random.random_range(0..KILL_WITHIN_MS),
        ];
        tokio::time::sleep(Duration::from_millis(moments_ms[0])).await;
        consumer.kill().await.expect("killed");
        tokio::time::sleep(Duration::from_millis(moments_ms[1])).await;
        seckill.kill().await.expect("killed");

        let _consumer = world.role("create-consumer").await;
        let _seckill = world.seckill().await;
        world.open(1).await;
        world.sells(&load, 100).await;
        let told = load.finish().await;
        let gap = longest_gap(&world.told);
        // All buyers ask again, including those who do not know what became of their request.
        let again = world.load(crowd);
        world
            .sells(&again, told.outcomes().accepted + told.outcomes().unknown)
            .await;
        again.finish().await;
        world.audit().await;
        let voided = world
            .number("SELECT COUNT(*) FROM orders WHERE status = 4")
            .await;
        eprintln!(
            "round {round}: killed after {moments_ms:?} ms, nobody was told yes for at most {gap:?}, {:?}, \
             {voided} holds voided",
            told.outcomes()
        );
        assert!(gap < GOES_ON_WITHIN, "nobody was told yes for {gap:?}");
    }
}
