//! The `seckill` binary with one engine more. `LAB_SECKILL=target/release/own-seckill` makes the
//! lab use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    system::run(engines::Registry::standard().register(own_engine::FACTORY))
}
