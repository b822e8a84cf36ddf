//! The `seckill` binary as whoever starts it sees it: exit codes, one clear sentence per fault, and
//! no secret in any.

use std::process::{Command, Output};

const USAGE: Option<i32> = Some(2);
const FAILED: Option<i32> = Some(1);

fn seckill(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seckill"));
    command.args(arguments).env_remove("CONFIG_PATH");
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("SECKILL__")) {
        command.env_remove(key);
    }
    command
        .envs(settings.iter().copied())
        .output()
        .expect("seckill starts")
}

/// The one line that says why it failed.
fn complaint(output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    lines[0].to_owned()
}

#[test]
fn engines_are_listed_with_their_guarantees() {
    let output = seckill(&["engines", "--json"], &[]);
    assert!(output.status.success());
    let engines: Vec<serde_json::Value> =
        serde_json::from_slice(&output.stdout).expect("a JSON list");
    let engine = |name| {
        engines
            .iter()
            .find(|engine| engine["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(engine("lua-single-key")["guarantees"]["keeps_stock"], true);
    assert_eq!(engine("null")["guarantees"]["keeps_stock"], false);
    assert_eq!(engine("unsafe-counter")["unsafe"], true);
    assert_eq!(engine("optimistic-row")["unsafe"], false);
}

#[test]
fn an_unsafe_engine_is_refused_by_every_role_unless_it_is_allowed_by_name() {
    let refusal = "error: engine unsafe-counter is unsafe: it tells more buyers yes than there are units, to show how \
                   that is found out; only engine.allow_unsafe = true (or --allow-unsafe) lets it run";
    let engine = ("SECKILL__SECKILL__ENGINE", "unsafe-counter");
    for role in ["migrate", "seckill", "reconciler", "create-consumer", "all"] {
        let output = seckill(&[role], &[engine]);
        assert_eq!(output.status.code(), FAILED, "{role}");
        assert_eq!(complaint(&output), refusal, "{role}");
    }
    let check = ["engines", "--check", "unsafe-counter"];
    assert_eq!(complaint(&seckill(&check, &[])), refusal);
    let allowed = seckill(&[&check[..], &["--allow-unsafe"]].concat(), &[]);
    assert!(allowed.status.success(), "{allowed:?}");
    // It goes on, to the next thing that is missing.
    let nowhere = ("SECKILL__DATABASE__URL", "nowhere");
    for allowing in [
        seckill(
            &["migrate"],
            &[engine, nowhere, ("SECKILL__ENGINE__ALLOW_UNSAFE", "true")],
        ),
        seckill(&["migrate", "--allow-unsafe"], &[engine, nowhere]),
    ] {
        assert!(!complaint(&allowing).contains("unsafe"), "{allowing:?}");
    }
}

#[test]
fn no_role_starts_in_production_mode_without_a_key_for_tokens() {
    let refusal = "error: jwt.secret: in production mode there must be one, of at least 32 bytes, here or in \
                   jwt.secret_file";
    for role in [
        "all", "order", "product", "user", "auth", "gateway", "seckill",
    ] {
        let output = seckill(&[role], &[("SECKILL__MODE", "production")]);
        assert_eq!(output.status.code(), FAILED, "{role}");
        assert_eq!(complaint(&output), refusal, "{role}");
    }
}

#[test]
fn the_binary_says_what_it_was_made_of() {
    let output = seckill(&["version", "--json"], &[]);
    assert!(output.status.success());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["profile"] == "debug", cfg!(debug_assertions));
    assert!(
        told["rustc"]
            .as_str()
            .is_some_and(|rustc| rustc.starts_with("1."))
    );
    assert!(told["commit"].is_string() && told["dirty"].is_boolean());
    assert_eq!(told["contract"], 1);
    let words = String::from_utf8(seckill(&["version"], &[]).stdout).expect("text");
    assert!(
        words.starts_with("seckill ") && words.contains("contract 1"),
        "{words}"
    );
}

#[test]
fn specifications_are_checked_without_anything_running() {
    let good = [
        "engines",
        "--check",
        "null",
        "--check",
        "preallocated?block=500&partitions=8",
    ];
    let output = seckill(&good, &[]);
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    let output = seckill(
        &[
            "engines",
            "--check",
            "null",
            "--check",
            "preallocated?block=0",
        ],
        &[],
    );
    assert_eq!(output.status.code(), FAILED);
    assert!(
        complaint(&output).contains("block = \"0\" is not a number of units from 1 to 1000000")
    );
}

#[test]
fn an_engine_is_refused_before_a_role_reaches_for_a_server() {
    for role in ["migrate", "seckill", "reconciler", "create-consumer", "all"] {
        let output = seckill(
            &[role],
            &[("SECKILL__SECKILL__ENGINE", "sharded-slots?slots=0")],
        );
        assert_eq!(output.status.code(), FAILED);
        assert!(
            complaint(&output).contains("slots = \"0\" is not an integer from 1 to 1024"),
            "{role}"
        );
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    for arguments in [&["sekill"][..], &[], &["reconciler", "--twice"]] {
        assert_eq!(
            seckill(arguments, &[]).status.code(),
            USAGE,
            "{arguments:?}"
        );
    }
}

#[test]
fn a_setting_that_does_not_exist_or_makes_no_sense_is_refused_with_its_name() {
    for (key, value, named) in [
        ("SECKILL__MQ__ORDER_BATCH_SIZ", "5", "order_batch_siz"),
        ("SECKILL__MQ__ORDER_BATCH_SIZE", "many", "order_batch_size"),
        (
            "SECKILL__MQ__ORDER_BATCH_SIZE",
            "0",
            "mq.order_batch_size: 0 is out of range, allowed are 1 to 5000",
        ),
        ("SECKILL__SECKILL__ACK", "perhaps", "confirmed"),
        ("SECKILL__SECKILL__LISTEN", "everywhere", "seckill.listen"),
        (
            "SECKILL__RECONCILER__GRACE_MS",
            "1000",
            "reconciler.grace_ms",
        ),
        ("SECKILL__LOG__LEVEL", "lo=ud=ly", "log.level"),
        (
            "CONFIG_PATH",
            "/nowhere/seckill.toml",
            "/nowhere/seckill.toml",
        ),
    ] {
        let output = seckill(&["seckill"], &[(key, value)]);
        assert_eq!(output.status.code(), FAILED, "{key}={value}");
        let complaint = complaint(&output);
        assert!(complaint.contains(named), "{key}={value}: {complaint}");
    }
}

#[test]
fn settings_are_listed_and_checked_without_anything_running() {
    let output = seckill(&["settings", "--json"], &[]);
    assert!(output.status.success());
    let listed: Vec<serde_json::Value> =
        serde_json::from_slice(&output.stdout).expect("a JSON list");
    let heartbeat = listed.iter().find(|it| it["key"] == "mq.heartbeat_s");
    let heartbeat = heartbeat.expect("it is there");
    assert_eq!(heartbeat["variable"], "SECKILL__MQ__HEARTBEAT_S");
    assert_eq!(heartbeat["type"], "whole number, 1 to 600");
    assert_eq!(heartbeat["default"], 10);
    let good = [
        "settings",
        "--check",
        "mq.heartbeat_s=5",
        "SECKILL__LOG__FORMAT=json",
    ];
    let output = seckill(&good, &[]);
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    for (pair, named) in [
        (
            "mq.heartbeats=5",
            "unknown setting \"mq.heartbeats\"; the nearest known: mq.heartbeat_s, ",
        ),
        (
            "mq.heartbeat_s=0",
            "mq.heartbeat_s: 0 is out of range, allowed are 1 to 600",
        ),
    ] {
        let output = seckill(&["settings", "--check", "mq.prefix=a", pair], &[]);
        assert_eq!(output.status.code(), USAGE, "{pair}");
        assert!(complaint(&output).contains(named), "{output:?}");
    }
}

#[test]
fn an_unknown_engine_is_refused_with_those_that_exist() {
    let output = seckill(&["reconciler"], &[("SECKILL__SECKILL__ENGINE", "redsi")]);
    assert_eq!(output.status.code(), FAILED);
    let complaint = complaint(&output);
    assert!(
        complaint.contains("redsi") && complaint.contains("lua-single-key"),
        "{complaint}"
    );
}

#[test]
fn a_server_out_of_reach_is_named_without_its_password() {
    // Port 1 is nobody's.
    let url = "mysql://shop:hunter2@127.0.0.1:1/seckill";
    let output = seckill(&["create-consumer"], &[("SECKILL__DATABASE__URL", url)]);
    assert_eq!(output.status.code(), FAILED);
    assert!(
        complaint(&output).contains("mysql://shop:***@127.0.0.1:1/seckill"),
        "{}",
        complaint(&output)
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
}

#[test]
fn a_seed_file_is_refused_with_its_name_and_the_fault() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("seed.toml");
    let path = path.to_str().expect("plain text");
    let sale = |lines: &str| {
        format!("[[sales]]\nproduct_id = 7\nname = \"x\"\nprice_cents = 1\n{lines}\n")
    };
    for (text, named) in [
        (
            sale("total = -1\nstarts_at = 0\nends_at = 9"),
            "sale 7: total must not be negative, got -1",
        ),
        (
            sale("total = 1\nstarts_at = 9\nends_at = 9"),
            "sale 7: starts_at must be before ends_at",
        ),
        (
            sale("total = 1\nstarts_at = 0\nends_at = 9\ncolour = 3"),
            "colour",
        ),
    ] {
        std::fs::write(path, text).expect("written");
        let output = seckill(&["migrate", "--seed", path], &[]);
        assert_eq!(output.status.code(), FAILED);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(path) && words.contains(named), "{words}");
    }
}

#[test]
fn a_setting_that_no_engine_takes_is_refused_with_those_that_it_takes() {
    for role in ["migrate", "all"] {
        let output = seckill(&[role], &[("SECKILL__ENGINES__LUA_SINGLE_KEY__TOKN", "x")]);
        assert_eq!(output.status.code(), FAILED);
        assert_eq!(
            complaint(&output),
            r#"error: engines.lua_single_key: unknown setting "tokn" of engine lua-single-key; known: redis.url"#,
        );
    }
}

#[test]
fn a_setting_of_one_engine_goes_before_that_of_the_system_and_its_password_is_not_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("seckill.toml");
    let text = "[engines.lua-single-key]\nredis.url = 'redis://:hunter2@127.0.0.1:1/'\n";
    std::fs::write(&path, text).expect("written");
    let file = path.to_str().expect("plain text");
    let url = format!("sqlite://{}/a.db", folder.path().display());
    let settings = [("CONFIG_PATH", file), ("SECKILL__DATABASE__URL", &url)];
    let output = seckill(&["migrate"], &settings);
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(log.contains("redis://:***@127.0.0.1:1/"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_role_without_tables_says_what_to_do_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/a.db", folder.path().display());
    let settings = [
        ("SECKILL__DATABASE__URL", url.as_str()),
        ("SECKILL__SECKILL__ENGINE", "database-row"),
        ("SECKILL__SECKILL__LISTEN", "127.0.0.1:0"),
        ("SECKILL__ORDER__LISTEN", "127.0.0.1:0"),
        ("SECKILL__PRODUCT__LISTEN", "127.0.0.1:0"),
        ("SECKILL__AUTH__LISTEN", "127.0.0.1:0"),
        ("SECKILL__USER__LISTEN", "127.0.0.1:0"),
        ("SECKILL__GATEWAY__LISTEN", "127.0.0.1:0"),
    ];
    let output = seckill(&["all"], &settings);
    assert_eq!(output.status.code(), FAILED);
    let complaint = complaint(&output);
    assert!(
        complaint.ends_with("run `seckill migrate` first"),
        "{complaint}"
    );
}
