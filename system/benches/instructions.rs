//! Instructions of the request path without sockets, and of what is inside of it: `cargo bench -p
//! system --bench instructions`. It needs valgrind and gungraun-runner, and without them only says
//! so; a test runs the same bodies everywhere.

#[path = "support/requests.rs"]
#[allow(dead_code)]
mod requests;

use std::process::ExitCode;

fn main() -> ExitCode {
    servers::counting::main(counted::run)
}

mod counted {
    use super::requests::{self, Ready};
    use gungraun::{library_benchmark, library_benchmark_group};
    use std::hint::black_box;
    use system::counted::{Minter, OrderEvent};

    #[library_benchmark]
    #[bench::null(args = ("null"), setup = requests::ready)]
    #[bench::preallocated(args = ("preallocated?block=100000"), setup = requests::ready)]
    fn batch_of_256(ready: Ready) -> Ready {
        black_box(requests::answer(black_box(ready)))
    }

    #[library_benchmark]
    #[bench::ids_256(args = (()), setup = requests::minter)]
    fn order_id_mint(minter: Minter) -> (usize, Minter) {
        (black_box(requests::mint(black_box(&minter))), minter)
    }

    #[library_benchmark]
    #[bench::orders_256(args = (()), setup = requests::events)]
    fn order_batch_encode(events: Vec<OrderEvent>) -> (Vec<u8>, Vec<OrderEvent>) {
        (black_box(requests::encode(black_box(&events))), events)
    }

    #[library_benchmark]
    #[bench::orders_256(args = (()), setup = requests::encoded)]
    fn order_batch_decode(message: Vec<u8>) -> (usize, Vec<u8>) {
        (black_box(requests::read(black_box(&message))), message)
    }

    library_benchmark_group!(
        name = request_path,
        benchmarks = [
            batch_of_256,
            order_id_mint,
            order_batch_encode,
            order_batch_decode
        ]
    );

    gungraun::main!(library_benchmark_groups = request_path);

    /// The macro writes a `main`, which has to be called by the real one.
    pub fn run() {
        main();
    }
}
