//! Instructions of the driver for each request, and of the outcome log: `cargo bench -p loadgen
//! --bench instructions`. It needs valgrind and gungraun-runner, and without them only says so; a
//! test runs the same bodies everywhere.

#[path = "support/driver.rs"]
#[allow(dead_code)]
mod driver;

use std::process::ExitCode;

fn main() -> ExitCode {
    servers::counting::main(counted::run)
}

mod counted {
    use super::driver::{self, Log, Ready};
    use gungraun::{library_benchmark, library_benchmark_group};
    use loadgen::data::{Element, Encoded};
    use std::hint::black_box;

    #[library_benchmark]
    #[bench::requests_256(args = (()), setup = driver::elements)]
    fn requests_encode(elements: Vec<Element>) -> Encoded {
        black_box(Encoded::new(black_box(elements)))
    }

    #[library_benchmark]
    #[bench::requests_256(args = (()), setup = driver::connected)]
    fn requests_send(ready: Ready) -> Ready {
        black_box(driver::send(black_box(ready)))
    }

    #[library_benchmark]
    #[bench::replies_256(args = (()), setup = driver::sent)]
    fn replies_receive(ready: Ready) -> Ready {
        black_box(driver::receive(black_box(ready)))
    }

    #[library_benchmark]
    #[bench::records_256(args = (()), setup = driver::unlogged)]
    fn outcome_log_write(log: Log) -> Log {
        black_box(driver::write_log(black_box(log)))
    }

    #[library_benchmark]
    #[bench::records_256(args = (()), setup = driver::logged)]
    fn outcome_log_read(log: Log) -> (usize, Log) {
        (black_box(driver::read_log(black_box(&log))), log)
    }

    library_benchmark_group!(
        name = driving,
        benchmarks = [
            requests_encode,
            requests_send,
            replies_receive,
            outcome_log_write,
            outcome_log_read
        ]
    );

    gungraun::main!(library_benchmark_groups = driving);

    /// The macro writes a `main`, which has to be called by the real one.
    pub fn run() {
        main();
    }
}
