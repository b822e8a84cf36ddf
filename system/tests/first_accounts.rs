//! Accounts that the command line makes: an administrator with a password that nobody sees, and the
//! users of the development seed, where that is allowed.

use database::{Database, NO_ARGS, PoolLimits};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PASSWORD: &str = "a password of nobody";
const KEY: &str = "a key of more than thirty-two bytes, for tests";

/// `seckill migrate` with a database in `folder`, and `input` on stdin.
fn migrate(folder: &Path, arguments: &[&str], settings: &[(&str, &str)], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seckill"));
    command.arg("migrate").args(arguments);
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("SECKILL__")) {
        command.env_remove(key);
    }
    command
        .env_remove("CONFIG_PATH")
        .env("SECKILL__DATABASE__URL", url(folder))
        .env("SECKILL__SECKILL__ENGINE", "preallocated")
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn().expect("seckill starts");
    let mut stdin = process.stdin.take().expect("piped");
    // Who is refused before reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    process.wait_with_output().expect("it ends")
}

fn url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("a.db").display())
}

/// What it printed, which never holds a secret.
fn told(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    for secret in [PASSWORD, KEY, "argon2id$"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

fn refused(output: &Output, says: &str) {
    let text = told(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(says), "{says:?} in {text}");
}

async fn users(folder: &Path) -> Vec<(String, String, i64)> {
    let limits = PoolLimits {
        connections_max: 1,
        statement_max: Duration::from_secs(30),
        acquire_max: Duration::from_secs(30),
        lock_wait_max: None,
        idle_transaction_max: None,
    };
    let database = Database::open(&url(folder), &limits).expect("a URL");
    let sql = "SELECT username, role, token_version FROM users ORDER BY id";
    database.rows(sql, NO_ARGS).await.expect("a table")
}

fn user(name: &str, role: &str, version: i64) -> (String, String, i64) {
    (name.to_owned(), role.to_owned(), version)
}

#[tokio::test]
async fn an_administrator_is_made_with_a_password_from_a_file_or_from_stdin() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let made = migrate(folder, &["--admin", "root"], &[], &format!("{PASSWORD}\n"));
    assert!(made.status.success(), "{}", told(&made));
    assert_eq!(users(folder).await, [user("root", "admin", 1)]);
    let file = folder.join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("written");
    let file = file.to_str().expect("plain text");
    // Who is there already becomes one; tokens from before no longer hold.
    let again = ["--seed", "dev", "--admin", "ROOT", "--password-file", file];
    let made = migrate(folder, &again, &[], "");
    assert!(made.status.success(), "{}", told(&made));
    let test = |number| user(&format!("testuser{number}"), "user", 1);
    let expected = [user("root", "admin", 2), test(1), test(2), test(3)];
    assert_eq!(users(folder).await, expected);
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    for (arguments, input, says) in [
        (
            &["--admin", "a b"][..],
            PASSWORD,
            "--admin: username must be 3 to 32",
        ),
        (
            &["--admin", "root"],
            "",
            "the password must be 8 to 128 bytes long",
        ),
        (
            &["--admin", "root"],
            "short\n",
            "the password must be 8 to 128 bytes long",
        ),
        (
            &["--admin", "root", "--password-file", "/nowhere/password"],
            "",
            "--password-file: cannot read /nowhere/password",
        ),
        (
            &["--seed", "dev", "--seed", "/nowhere.toml"],
            "",
            "cannot read seed file /nowhere.toml",
        ),
    ] {
        refused(&migrate(folder, arguments, &[], input), says);
        assert!(!folder.join("a.db").exists(), "{arguments:?}");
    }
}

#[tokio::test]
async fn production_mode_refuses_what_everybody_knows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let key = folder.join("key");
    std::fs::write(&key, format!("{KEY}\n")).expect("written");
    let key = key.to_str().expect("plain text");
    let mode = ("SECKILL__MODE", "production");
    let with_key = [mode, ("SECKILL__JWT__SECRET_FILE", key)];
    let seed = migrate(folder, &["--seed", "dev"], &with_key, "");
    refused(
        &seed,
        "--seed dev: in production mode there are no accounts",
    );
    refused(
        &migrate(folder, &[], &[mode], ""),
        "jwt.secret: in production mode there must be one",
    );
    let short = [mode, ("SECKILL__JWT__SECRET", "secret")];
    refused(
        &migrate(folder, &[], &short, ""),
        "jwt.secret: 6 bytes are too few",
    );
    let unknown = [("SECKILL__MODE", "prod")];
    let says = "unknown name \"prod\"; known: development, production";
    refused(&migrate(folder, &[], &unknown, ""), says);
    assert!(!folder.join("a.db").exists());
    let made = migrate(folder, &["--admin", "root"], &with_key, PASSWORD);
    assert!(made.status.success(), "{}", told(&made));
}
