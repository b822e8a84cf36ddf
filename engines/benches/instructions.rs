//! Instructions that the parts in Rust alone execute: `cargo bench -p engines --bench
//! instructions`. It needs valgrind and gungraun-runner, and without them only says so; a test runs
//! the same bodies everywhere.

#[path = "support/all.rs"]
#[allow(dead_code)]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    servers::counting::main(counted::run)
}

mod counted {
    use super::support::pure::{self, Ready};
    use engines::Registry;
    use gungraun::{library_benchmark, library_benchmark_group};
    use std::hint::black_box;

    #[library_benchmark]
    #[bench::batch_of_256(args = (256), setup = pure::ready)]
    fn preallocated_reserve(ready: Ready) -> Ready {
        black_box(pure::reserve(black_box(ready)))
    }

    #[library_benchmark]
    #[bench::batch_of_256(args = (256), setup = pure::reserved)]
    fn preallocated_settle(ready: Ready) -> Ready {
        black_box(pure::settle(black_box(ready)))
    }

    fn rows(count: i64) -> Vec<i64> {
        (0..count).collect()
    }

    #[library_benchmark]
    #[bench::rows_1234(args = (1_234), setup = rows)]
    fn fixed_rows_cut(rows: Vec<i64>) -> (usize, Vec<i64>) {
        (black_box(pure::cut(black_box(&rows))), rows)
    }

    fn registry(_: ()) -> Registry {
        Registry::standard()
    }

    #[library_benchmark]
    #[bench::specs_4(args = (()), setup = registry)]
    fn registry_parse_and_check(registry: Registry) -> (usize, Registry) {
        (
            black_box(pure::parse_and_check(black_box(&registry))),
            registry,
        )
    }

    library_benchmark_group!(
        name = pure_rust,
        benchmarks = [
            preallocated_reserve,
            preallocated_settle,
            fixed_rows_cut,
            registry_parse_and_check
        ]
    );

    gungraun::main!(library_benchmark_groups = pure_rust);

    /// The macro writes a `main`, which has to be called by the real one.
    pub fn run() {
        main();
    }
}
