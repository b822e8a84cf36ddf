//! The `seckill` binary with the built-in engines. To add your own, write this file with one more
//! registration.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    system::run(engines::Registry::standard())
}
