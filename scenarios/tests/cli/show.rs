//! `lab show`: a result that was written before, on the screen again.

use crate::{lab, refused, refused_in_one_line, text};

const GATE: &str = include_str!("../../../reports/tests/history/gate.json");

fn shown(arguments: &[&str]) -> String {
    let output = lab(&[&["show"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_result_is_shown_as_its_run_printed_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gate.json").display().to_string();
    std::fs::write(&path, GATE).expect("written");
    let first = shown(&[&path]);
    assert!(first.contains("gate"), "{first}");
    assert!(first.lines().count() <= 24, "{first}");
    let details = shown(&[&path, "--details"]);
    assert!(details.starts_with(&first), "{details}");
    assert!(details.contains("AMD EPYC 7763"), "{details}");
    let markdown = shown(&[&path, "--markdown"]);
    assert!(markdown.starts_with("# Regression gate\n"), "{markdown}");
    let twice = shown(&[&path, &path]);
    assert_eq!(twice, format!("{first}\n{first}"));
}

#[test]
fn a_file_that_is_no_result_is_refused_and_nothing_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (good, cut, newer) = (path("good.json"), path("cut.json"), path("newer.json"));
    std::fs::write(&good, GATE).expect("written");
    std::fs::write(&cut, &GATE[..300]).expect("written");
    let text = GATE.replacen("\"min_reader\": 1", "\"min_reader\": 99", 1);
    std::fs::write(&newer, text).expect("written");
    for (result, said) in [
        (
            &cut,
            "cut.json: the file was cut off: its JSON ends in the middle, in line ",
        ),
        (&newer, "newer.json: this result needs reader 99"),
        (
            &path("absent.json"),
            "absent.json cannot be read: No such file",
        ),
    ] {
        let error = refused_in_one_line(&["show", &good, result], 2);
        assert!(error.contains(said), "{error}");
    }
    assert!(refused(&["show"], 2).contains("<RESULT>"));
}
