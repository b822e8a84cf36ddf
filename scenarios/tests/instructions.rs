//! Real instruction counts of two tiny workspaces that differ by what was planted.

use std::path::{Path, PathBuf};

use scenarios::regress::instructions::{compare, counts, not_measured};

const ROUNDS: u64 = 100_000;

/// A workspace whose package `engines` counts a loop of so many rounds.
fn tree(folder: &Path, name: &str, rounds: u64) -> PathBuf {
    let tree = folder.join(name);
    let write = |path: &str, text: &str| {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"engines\"]\nresolver = \"3\"\n",
    );
    // With more packages than it needs, the lock still fits: cargo takes the ones it needs.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    write(
        "Cargo.lock",
        &std::fs::read_to_string(lock).expect("a lock"),
    );
    write(
        "engines/Cargo.toml",
        "[package]\nname = \"engines\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dev-dependencies]\ngungraun = \"0.20\"\n\
         [[bench]]\nname = \"instructions\"\nharness = false\n",
    );
    write("engines/src/lib.rs", "//! Nothing.\n");
    let bench = format!(
        "use gungraun::{{library_benchmark, library_benchmark_group, main}};\n\
         use std::hint::black_box;\n\
         #[library_benchmark]\n\
         #[bench::rounds(args = ({rounds}))]\n\
         fn spin(rounds: u64) -> u64 {{ (0..rounds).fold(7, |sum, i| black_box(sum ^ i)) }}\n\
         library_benchmark_group!(name = planted, benchmarks = [spin]);\n\
         main!(library_benchmark_groups = planted);\n"
    );
    write("engines/benches/instructions.rs", &bench);
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1"]);
    let locked = cargo.current_dir(&tree).output().expect("cargo");
    let said = String::from_utf8_lossy(&locked.stderr);
    assert!(locked.status.success(), "{said}");
    tree
}

#[test]
#[ignore = "nightly: it builds the counter's library in release, and needs valgrind and the runner"]
fn ten_percent_more_instructions_are_seen_and_none_more_are_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("target");
    let base = match counts(&tree(folder.path(), "base", ROUNDS), &target) {
        Ok(base) => base,
        Err(error) if format!("{error:#}").starts_with("no ") => {
            return servers::ignored(&not_measured(&error));
        }
        Err(error) => panic!("{error:#}"),
    };
    let same = counts(&tree(folder.path(), "same", ROUNDS), &target).expect("counted");
    let slower = tree(folder.path(), "slower", ROUNDS + ROUNDS / 10);
    let slower = counts(&slower, &target).expect("counted");

    let compared = compare(&base, &same);
    let (name, ratio) = compared.worst().expect("something in both");
    assert_eq!(name, "engines/spin/rounds");
    assert!((ratio - 1.0).abs() < 0.001, "{ratio}");

    let compared = compare(&base, &slower);
    let (_, ratio) = compared.worst().expect("something in both");
    assert!((ratio - 1.1).abs() < 0.002, "{ratio}");
}
