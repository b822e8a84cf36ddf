//! `lab report`: the page of a result, and what is no result.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::{lab, refused_in_one_line, text};

/// A result of which nothing was measured, as a run leaves it that was given up at once.
fn result() -> String {
    let build = serde_json::json!({
        "version": "0.1.0", "commit": "", "dirty": false, "profile": "release", "rustc": "", "path": "", "sha256": ""
    });
    let limits = serde_json::json!({ "by": "none", "driver_apart": false });
    serde_json::json!({
        "schema": 2, "min_reader": 1, "id": "20260102-030405-smoke-7f3a", "kind": "bench",
        "command": ["bench", "smoke"], "seed": 1, "started_unix_us": 0, "finished_unix_us": 0,
        "complete": false, "error": "no space is left <here>", "lab": build,
        "machine": {
            "id_hash": "", "boot_hash": "", "class": "", "cpu": "", "cores": 2, "memory_bytes": 0, "kernel": "",
            "os": "", "scratch": { "file_system": "", "is_tmpfs": false }, "limits": limits
        },
        "stack": {
            "kind": "embedded", "why": "", "versions": {}, "settings": {}, "overrides": {}, "sees": "all"
        },
        "durability": { "ack": "confirmed", "queue": "sqlite", "storage_survives": true },
        "scenarios": [], "subjects": [], "legs": [], "metrics": []
    })
    .to_string()
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn a_page_lies_beside_its_result_or_where_out_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("written");
    std::fs::write(folder.path().join("one.json"), result()).expect("written");
    let one = path(folder.path(), "one.json");
    let output = lab(&["report", &one]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert_eq!(said, format!("page: {}\n", path(folder.path(), "one.html")));
    let page = read("one.html");
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(page.contains("no space is left &lt;here&gt;"), "{page}");
    let other = path(folder.path(), "other.html");
    assert!(lab(&["report", &one, "--out", &other]).status.success());
    assert_eq!(read("other.html"), page);
}

#[cfg(target_os = "linux")]
#[test]
fn where_there_is_no_display_the_path_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("one.json"), result()).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["report", "--open", &path(folder.path(), "one.json")])
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .expect("lab starts");
    let page = path(folder.path(), "one.html");
    assert_eq!(
        text(&output.stdout),
        format!("page: {page} (no display here to open it on)\n")
    );
    assert!(output.status.success() && Path::new(&page).exists());
}

#[test]
fn what_is_no_result_is_refused_in_one_sentence_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
        path(folder.path(), name)
    };
    let good = write("good.json", &result());
    let cut = write("cut.json", &result()[..100]);
    let foreign = write("foreign.json", "{\"schema\": 1}");
    let future = write(
        "future.json",
        &result().replace("\"min_reader\":1", "\"min_reader\":9"),
    );
    let absent = path(folder.path(), "absent.json");
    for (file, said) in [
        (
            &cut,
            "the file was cut off: its JSON ends in the middle, in line 1",
        ),
        (&foreign, "this file has schema 1"),
        (&future, "this result needs reader 9"),
        (&absent, "No such file"),
    ] {
        let error = refused_in_one_line(&["report", &good, file], 2);
        assert!(
            error.contains(said) && error.contains(file.as_str()),
            "{error}"
        );
    }
    let two = refused_in_one_line(&["report", &good, &good, "--out", "x.html"], 2);
    assert!(two.contains("--out: one file for 2 results"), "{two}");
    let itself = refused_in_one_line(&["report", &good, "--out", &good], 2);
    assert!(itself.contains("would replace its result"), "{itself}");
    assert!(!folder.path().join("good.html").exists());
}

#[test]
fn no_result_is_replaced_whatever_way_leads_to_it_and_no_page_is_written_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| path(folder.path(), name);
    for name in ["one.json", "two.json", "one.txt"] {
        std::fs::write(at(name), result()).expect("written");
    }
    symlink(at("one.json"), at("link.html")).expect("linked");
    let around = at("../")
        + folder
            .path()
            .file_name()
            .and_then(|it| it.to_str())
            .expect("a name");
    for out in [
        at("./one.json"),
        format!("{around}/one.json"),
        at("link.html"),
    ] {
        let error = refused_in_one_line(&["report", &at("one.json"), "--out", &out], 2);
        assert!(error.contains("would replace its result"), "{error}");
    }
    let twice = refused_in_one_line(&["report", &at("one.json"), &at("one.txt")], 2);
    assert!(
        twice.contains("are one file, and would be written twice"),
        "{twice}"
    );
    assert!(!Path::new(&at("one.html")).exists());
    let compared = [
        "compare",
        &at("one.json"),
        &at("two.json"),
        "--out",
        &at("two.json"),
    ];
    let error = refused_in_one_line(&compared, 2);
    assert!(error.contains("would replace its result"), "{error}");
    for name in ["one.json", "two.json", "link.html"] {
        assert_eq!(
            std::fs::read_to_string(at(name)).expect("there"),
            result(),
            "{name}"
        );
    }
}

#[test]
fn a_page_is_as_readable_as_the_mask_of_the_user_lets_it_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = path(folder.path(), "one.json");
    std::fs::write(&one, result()).expect("written");
    let command = format!("umask 027; exec {} report {one}", env!("CARGO_BIN_EXE_lab"));
    let output = Command::new("sh").args(["-c", &command]).output();
    assert!(output.expect("sh starts").status.success());
    let page = std::fs::metadata(folder.path().join("one.html")).expect("a page");
    assert_eq!(page.permissions().mode() & 0o777, 0o640);
}
