//! The driver by hand: what it refuses, and how it fails.

use crate::{refused, refused_in_one_line};

/// Nothing listens there: the port is that of TCPMUX, which nobody runs.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn options_that_contradict_each_other_are_wrong_usage() {
    for (options, said) in [
        (vec!["-c", "5", "--rate", "10"], "cannot be used with"),
        (vec!["-n", "5", "--duration", "1s"], "cannot be used with"),
        (vec!["--timeout", "20"], "\"20\" is no length of time"),
        (vec!["--shape", "wave"], "[possible values: constant, step"),
        (vec!["--shape", "line"], "--shape line needs two --rates"),
        (
            vec!["--rate", "2000000"],
            "a rate must be 0.001 to 1000000 per second, got 2000000",
        ),
        (vec!["--backlog", "5"], "--backlog is for an open loop"),
    ] {
        let arguments = [&["load", "grpc", NOBODY], &options[..]].concat();
        let error = refused(&arguments, 2);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn a_target_that_is_not_there_is_one_clear_sentence() {
    let arguments = ["load", "grpc", NOBODY, "--seed", "1", "--users", "10"];
    let error = refused_in_one_line(&arguments, 1);
    let said = "error: cannot connect to 127.0.0.1:1: Connection refused";
    assert!(error.starts_with(said), "{error}");
}
