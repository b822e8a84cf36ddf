//! The `seckill` binary with the built-in engines. To add your own, write this file with one more
//! registration.

use std::process::ExitCode;

fn main() -> ExitCode {
    system::run(engines::Registry::standard())
}
