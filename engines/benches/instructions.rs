//! Instructions that the parts in Rust alone execute: `cargo bench -p engines --bench
//! instructions`. It needs valgrind and gungraun-runner, and without them only says so; a test runs
//! the same bodies everywhere.

#[path = "support/all.rs"]
#[allow(dead_code)]
mod support;

use std::process::{Command, ExitCode, Stdio};
use support::pure::RUNNER_VERSION;

/// The runner calls this program again for every single count.
const CALL_OF_THE_RUNNER: &str = "--gungraun-run";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    let is_called_with = |wanted| args.iter().any(|arg| arg == wanted);
    if !is_called_with(CALL_OF_THE_RUNNER) {
        // `cargo test --all-targets` comes here too, and has run the bodies already.
        let reason = if is_called_with("--bench") {
            missing()
        } else {
            Some("only `cargo bench` counts".to_owned())
        };
        if let Some(reason) = reason {
            println!("skipped: {reason}");
            return ExitCode::SUCCESS;
        }
    }
    counted::run();
    ExitCode::SUCCESS
}

fn missing() -> Option<String> {
    if !answers("valgrind") {
        return Some("valgrind is not installed (apt-get install valgrind)".to_owned());
    }
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or("gungraun-runner");
    let install = format!("cargo install gungraun-runner --version {RUNNER_VERSION}");
    (!answers(runner)).then(|| format!("{runner} is not installed ({install})"))
}

fn answers(program: &str) -> bool {
    let quiet =
        |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet(Command::new(program).arg("--version")).is_ok_and(|status| status.success())
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
