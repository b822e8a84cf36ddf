//! What cannot be compared.

use scenarios::bench::system_binary;

use crate::{file, fresh_folder, padded_copy, regress, text};

#[test]
fn what_cannot_be_compared_is_refused_in_one_sentence_and_never_passes() {
    let folder = fresh_folder("regress_refused");
    let base = system_binary::build().expect("the system");
    let base = file(&base);
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = regress(
            &folder,
            &arguments
                .iter()
                .map(|it| (*it).to_owned())
                .collect::<Vec<_>>(),
        );
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        for word in words {
            assert!(error.contains(word), "{word:?} in {error}");
        }
    };
    refused(
        &["--base", "no-such-ref"],
        &["\"no-such-ref\" is no commit of this repository"],
    );
    refused(
        &["--base", "file:/no/such/file"],
        &["/no/such/file is no file"],
    );
    refused(&["--base", &base, "--head", "file:/bin/true"], &["engines"]);
    refused(
        &["--base", &base, "--scenario", "nothing"],
        &["nothing", "gate"],
    );
    refused(
        &["--base", &base, "--scenario", "steady"],
        &["steady", "several subjects"],
    );
    refused(
        &[
            "--base",
            &base,
            "--scenario",
            "capacity",
            "--engine",
            "null",
        ],
        &["searches"],
    );
    refused(&["--base", &base, "--blocks", "0"], &["--blocks", "1..=50"]);
    refused(&[], &["--base"]);
    // The same program in another file: its instructions cannot be counted.
    let copy = padded_copy(&system_binary::build().expect("the system"), &folder);
    let copy = file(&copy);
    refused(
        &["--base", &base, "--head", &copy, "--strict-instructions"],
        &["--strict-instructions", "counts need sources"],
    );
    let results = ["--results", "x", "--base", &base];
    refused(&results, &["--results", "--base"]);
    let engine = [
        "--base",
        &base,
        "--head",
        &base,
        "--engine",
        "unknown-engine",
    ];
    refused(&engine, &["unknown-engine", "preallocated"]);
}
