//! What operators ask of a database, by the command line: status, pauses, dead letters, and what they
//! are told when there is no such thing.

use std::path::Path;
use std::process::{Command, Output};

const FAILED: Option<i32> = Some(1);
const WRONG_USAGE: Option<i32> = Some(2);

fn seckill(folder: &Path, arguments: &[&str]) -> Output {
    let url = format!("sqlite://{}", folder.join("shop.db").display());
    Command::new(env!("CARGO_BIN_EXE_seckill"))
        .args(arguments)
        .env("SECKILL__DATABASE__URL", url)
        .env("SECKILL__SECKILL__ENGINE", "database-row")
        .env("SECKILL__LOG__LEVEL", "error")
        .output()
        .expect("it starts")
}

/// A file with two sales of which nobody has opened one.
fn shop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sale = |id: u32, name: &str| {
        format!(
            "[[sales]]\nproduct_id = {id}\nname = \"{name}\"\nprice_cents = 100\ntotal = 5\nstarts_at = 0\n\
             ends_at = 4102444800\n"
        )
    };
    let seed = folder.path().join("seed.toml");
    std::fs::write(&seed, sale(1, "shoes") + &sale(2, "hats")).expect("written");
    let migrated = seckill(
        folder.path(),
        &["migrate", "--seed", &seed.display().to_string()],
    );
    assert!(migrated.status.success(), "{migrated:?}");
    folder
}

fn says(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn is_refused(output: &Output, code: Option<i32>, why: &str) {
    let (_, complaint) = says(output);
    assert_eq!((output.status.code(), complaint.as_str()), (code, why));
}

#[test]
fn a_sale_is_paused_and_goes_on_and_status_shows_it() {
    let shop = shop();
    let status = || {
        let output = seckill(shop.path(), &["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    for (action, is_paused) in [("pause", true), ("pause", true), ("resume", false)] {
        let done = seckill(shop.path(), &["sale", action, "1"]);
        assert!(done.status.success(), "{done:?}");
        let status = status();
        assert_eq!(status["sales"][0]["paused"], is_paused, "{status}");
        assert_eq!(status["sales"][1]["paused"], false);
    }
    let (table, _) = says(&seckill(shop.path(), &["status"]));
    for word in [
        "shoes",
        "hats",
        "dead letters open: 0",
        "outbox: 0 releases left",
    ] {
        assert!(table.contains(word), "{table}");
    }
    is_refused(
        &seckill(shop.path(), &["sale", "pause", "9"]),
        WRONG_USAGE,
        "error: no sale 9; known: 1, 2",
    );
}

#[test]
fn a_dead_letter_that_is_not_there_is_refused_and_none_is_a_list() {
    let shop = shop();
    let (list, _) = says(&seckill(shop.path(), &["dead-letter", "list", "--json"]));
    assert_eq!(list, "[]");
    for arguments in [
        ["dead-letter", "show", "17"].as_slice(),
        &["dead-letter", "replay", "17"],
        &["dead-letter", "discard", "17", "--reason", "a test"],
    ] {
        is_refused(
            &seckill(shop.path(), arguments),
            WRONG_USAGE,
            "error: no dead letter 17; none is open",
        );
    }
}

#[test]
fn without_tables_operators_are_told_what_to_do_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for arguments in [
        ["status"].as_slice(),
        &["sale", "pause", "1"],
        &["dead-letter", "list"],
    ] {
        let output = seckill(folder.path(), arguments);
        assert_eq!(output.status.code(), FAILED, "{output:?}");
        let (_, complaint) = says(&output);
        assert!(
            complaint.ends_with("run `seckill migrate` first"),
            "{complaint}"
        );
    }
}
