//! `lab compare` on files as users have them: whole, broken, of other versions, unlike.

use std::path::{Path, PathBuf};

use crate::{lab, refused, refused_in_one_line, text};
use reports::result::Run;
use serde_json::{Value, json};

/// A result of one engine and three rounds.
fn result(id: &str, engine: &str, rates_per_s: [u64; 3]) -> Value {
    let build = json!({ "version": "0.1.0", "commit": "", "dirty": false, "profile": "release",
        "rustc": "", "path": "", "sha256": "" });
    let leg = |(round, rate): (u64, u64)| {
        let noise = json!({ "window_ns": 0, "steal_ns": 0, "idle_ns": 0, "iowait_ns": 0,
            "foreign_cpu_ns": 0, "samples_missed": 0 });
        let counts =
            json!({ "accepted": rate, "refused": 0, "duplicate": 0, "error": 0, "unknown": 0 });
        let bought = json!({ "counts": counts, "units_accepted": rate, "latency": [] });
        let phase = json!({ "name": "measure", "purpose": "measure", "start_unix_us": 0,
            "length_ns": 1_000_000_000u64, "due": rate, "sent": rate, "waiting_at_end": 0,
            "finished": rate, "operations": { "buy": bought }, "statuses": {}, "timeline": [], "usage": {},
            "noise": noise, "limit": { "by": "unknown" } });
        json!({ "id": round.to_string(), "scenario": "laptop", "subject": engine, "round": round,
            "position": round, "started_unix_us": 0, "ended_unix_us": 0, "complete": true,
            "flags": [], "phases": [phase], "audit": { "verdict": "passed", "checks": [] } })
    };
    let legs: Vec<Value> = (1..).zip(rates_per_s).map(leg).collect();
    json!({
        "schema": 2, "min_reader": 1, "id": id, "kind": "bench", "command": [], "seed": 1,
        "started_unix_us": 0, "finished_unix_us": 0, "complete": true, "lab": build,
        "machine": { "id_hash": "", "boot_hash": "", "class": "a machine", "cpu": "", "cores": 2,
            "memory_bytes": 0, "kernel": "", "os": "",
            "scratch": { "file_system": "ext4", "is_tmpfs": false },
            "limits": { "by": "none", "driver_apart": false } },
        "stack": { "kind": "servers", "why": "", "versions": {}, "settings": {}, "overrides": {},
            "sees": "all" },
        "durability": { "ack": "confirmed", "queue": "classic", "storage_survives": true },
        "scenarios": [{ "name": "laptop", "sha256": "00", "title": "one product",
            "question": "", "sales": [], "phases": [], "rounds": 3, "reference": [] }],
        "subjects": [{ "id": engine, "engine": engine, "params": {}, "guarantees": {},
            "build": build, "standing": "ranked" }],
        "legs": legs, "metrics": [],
    })
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).expect("written");
        shown(&path)
    }

    /// Of `lua-single-key`, B slower by a tenth.
    fn two(&self) -> [String; 2] {
        let before = result("before", "lua-single-key", [10_000, 10_100, 10_200]);
        let after = result("after", "lua-single-key", [9_000, 9_090, 9_180]);
        Run::from_json(&before.to_string()).expect("a result");
        [
            self.put("before.json", &before.to_string()),
            self.put("after.json", &after.to_string()),
        ]
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn compared(arguments: &[&str]) -> String {
    let output = lab(&[&["compare"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_difference_is_shown_and_is_no_failure() {
    let folder = Folder::new();
    let [before, after] = folder.two();
    let shown = compared(&[&before, &after]);
    for said in [
        "B by A, not paired: two runs on two moments",
        "0.900×",
        "`lab regress`",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let alone = compared(&[&before]);
    assert!(
        alone.contains("lua-single-key") && !alone.contains("not paired"),
        "{alone}"
    );
    let hidden = compared(&[&before, &after, "--threshold", "11"]);
    assert!(
        hidden.contains("No difference is beyond 11.0 %; 1 difference within it is hidden."),
        "{hidden}"
    );
    let markdown = compared(&[
        &before,
        &after,
        "--format",
        "markdown",
        "--metric",
        "throughput_per_s",
    ]);
    assert!(
        markdown.contains("| ↑ throughput\\_per\\_s |"),
        "{markdown}"
    );
}

#[test]
fn a_page_is_written_where_it_is_wanted() {
    let folder = Folder::new();
    let [before, after] = folder.two();
    let page = folder.path("page.html");
    let said = compared(&[&before, &after, "--format", "html", "--out", &shown(&page)]);
    assert_eq!(said, "");
    let page = std::fs::read_to_string(page).expect("written");
    assert!(
        page.starts_with("<!doctype html>") && page.contains("0.900×"),
        "{page}"
    );
    // Where no file can be put, it is written to.
    let streamed = compared(&[&before, &after, "--out", "/dev/stdout"]);
    assert!(streamed.contains("0.900×"), "{streamed}");
    let nowhere = shown(&folder.path("no/folder/page.html"));
    let error = refused_in_one_line(&["compare", &before, "--out", &nowhere], 2);
    assert!(
        error.contains(&format!("{nowhere} cannot be written")),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_result_of_this_version_is_named_with_the_reason() {
    let folder = Folder::new();
    let [before, after] = folder.two();
    let whole = std::fs::read_to_string(&after).expect("there");
    for (name, content, said) in [
        (
            "cut.json",
            &whole[..whole.len() / 2],
            "the file was cut off",
        ),
        ("empty.json", "", "the file is empty"),
        (
            "foreign.json",
            "{\"results\": []}",
            "not a result of this tool: it has no schema number",
        ),
        (
            "old.json",
            "{\"schema\": 1}",
            "this file has schema 1, and this version reads only schema 2",
        ),
        (
            "new.json",
            "{\"schema\": 2, \"min_reader\": 99}",
            "this result needs reader 99",
        ),
    ] {
        let path = folder.put(name, content);
        let error = refused_in_one_line(&["compare", &before, &path], 2);
        assert!(
            error.starts_with(&format!("error: {path}: {said}")),
            "{error}"
        );
    }
    let absent = shown(&folder.path("absent.json"));
    let error = refused_in_one_line(&["compare", &absent, &before], 2);
    assert!(
        error.starts_with(&format!("error: {absent} cannot be read: ")),
        "{error}"
    );
}

#[test]
fn results_that_say_nothing_about_each_other_are_refused_in_one_sentence() {
    let folder = Folder::new();
    let [before, after] = folder.two();
    let error = refused_in_one_line(&["compare", &before, &before], 2);
    assert!(
        error.ends_with("before.json is named twice, so there is nothing to compare"),
        "{error}"
    );
    let copy = shown(&folder.path("copy.json"));
    std::fs::copy(&before, &copy).expect("copied");
    let error = refused_in_one_line(&["compare", &before, &copy], 2);
    assert!(error.contains("copy.json holds the same run as"), "{error}");

    let mut unlike = result("unlike", "lua-single-key", [1, 2, 3]);
    unlike["durability"]["queue"] = "quorum".into();
    let unlike = folder.put("unlike.json", &unlike.to_string());
    let error = refused_in_one_line(&["compare", &before, &unlike], 2);
    assert!(
        error.contains("durability.queue is classic in ") && error.contains("and quorum in "),
        "{error}"
    );
    let allowed = compared(&[&before, &unlike, "--allow", "durability.queue"]);
    assert!(
        allowed.contains("Unlike, and allowed to be: durability.queue"),
        "{allowed}"
    );

    let other = result("other", "null", [1, 2, 3]);
    let other = folder.put("other.json", &other.to_string());
    let error = refused_in_one_line(&["compare", &before, &other], 2);
    assert!(
        error.starts_with("error: nothing can be compared: "),
        "{error}"
    );
    let error = refused_in_one_line(&["compare", &before, &after, "--engine", "null"], 2);
    assert!(
        error.contains("has no engine \"null\"; it has: lua-single-key"),
        "{error}"
    );
}

#[test]
fn unknown_fields_metrics_and_filters_list_the_known_ones() {
    for (arguments, said) in [
        (
            ["--allow", "queue"],
            "possible values: durability.ack, durability.queue, ",
        ),
        (
            ["--metric", "p98_ms"],
            "unknown metric \"p98_ms\"; known: throughput_per_s, ",
        ),
        (
            ["--filter", "engin=lua"],
            "unknown key \"engin\"; known: engine, scenario, metric",
        ),
        (
            ["--threshold", "-1"],
            "allowed: a number from 0 to 1000, in per cent",
        ),
    ] {
        let given = format!("{}={}", arguments[0], arguments[1]);
        let error = refused(&["compare", "any.json", &given], 2);
        assert!(error.contains(said), "{error}");
    }
}
