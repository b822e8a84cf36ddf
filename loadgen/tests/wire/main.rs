//! The fast client against servers that it shares no code with: `h2` in every mood, with whole and
//! with damaged bytes; tonic; grpc-go; nginx.

mod against_h2;
mod answers;
mod client;
mod damage;
mod moody_server;
mod real_servers;
mod verdict;

use rand::Rng;
use std::time::{Duration, Instant};

/// Repeats a run of the randomised tests: its number is the first case's seed.
const SEED_VARIABLE: &str = "WIRE_FUZZ_SEED";

/// Runs one case after another for this long; a case that fails has printed how to repeat it.
fn fuzz(length: Duration, case: impl Fn(u64)) {
    let given = std::env::var(SEED_VARIABLE).ok();
    let first = match given.map(|text| text.parse()) {
        Some(seed) => seed.expect("a number"),
        None => rand::rng().random_range(0..1 << 60),
    };
    let began = Instant::now();
    let mut cases = 0;
    while began.elapsed() < length {
        let shown = OnPanic(first + cases);
        case(first + cases);
        std::mem::forget(shown);
        cases += 1;
    }
    println!("{cases} cases from {SEED_VARIABLE}={first} on");
}

struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        eprintln!("repeat with {SEED_VARIABLE}={}", self.0);
    }
}
