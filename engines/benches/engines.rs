//! Reservations per second of every stock engine, on one thread and on two: `cargo bench -p engines
//! --bench engines`, or `… -- preallocated` for some of them. Servers are started here and end with
//! it; an engine whose server is not installed is skipped.

#[path = "support/all.rs"]
#[allow(dead_code)]
mod support;

use criterion::{Criterion, SamplingMode, Throughput};
use std::time::Duration;
use support::cases::{self, CASES};
use support::stand::{CANDIDATES, Stand};

/// The fewest that criterion takes; all cases together should take minutes.
const SAMPLES: usize = 10;
const WARM_UP: Duration = Duration::from_millis(200);
const MEASURE: Duration = Duration::from_millis(1_000);

fn main() {
    let criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(WARM_UP)
        .measurement_time(MEASURE);
    let mut criterion = criterion.without_plots().configure_from_args();
    for candidate in CANDIDATES {
        // Either may be missing on a machine that has the other.
        let Some(mut stand) = Stand::start(candidate) else {
            println!("{candidate}: skipped, because its server could not be started (see above)");
            continue;
        };
        let mut group = criterion.benchmark_group(candidate.to_string());
        group.sampling_mode(SamplingMode::Flat);
        for case in CASES {
            group.throughput(Throughput::Elements(case.elements() as u64));
            group.bench_function(case.to_string(), |bencher| {
                bencher.iter_custom(|iterations| cases::run(&mut stand, case, iterations));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
