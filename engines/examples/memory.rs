//! What does a buyer cost? Bytes per settled buyer of every engine, where it keeps them, and how
//! long an epoch takes to open in which all of them are known.
//! `cargo run --release -p engines --example memory -- [--users 50000,500000] [engine…]`

#[path = "../benches/support/all.rs"]
#[allow(dead_code)]
mod support;

use std::error::Error;
use std::process::Command;
use std::time::Duration;
use support::memory::{self, Taken};
use support::stand::{CANDIDATES, Candidate, On};

const USERS_DEFAULT: &str = "50000,500000";
/// How this program calls itself for an engine that lives in the process.
const IN_FRESH_PROCESS: &str = "--in-fresh-process";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == IN_FRESH_PROCESS) {
        let [_, candidate, users] = args.as_slice() else {
            return Err("expected an engine and a number".into());
        };
        return in_fresh_process(candidate, users.parse()?);
    }
    let mut users = USERS_DEFAULT.to_owned();
    if let Some(at) = args.iter().position(|arg| arg == "--users") {
        users = args
            .drain(at..args.len().min(at + 2))
            .nth(1)
            .unwrap_or_default();
    }
    let users: Result<Vec<u32>, _> = users.split(',').map(str::parse).collect();
    let users = users.ok().filter(|users| !users.contains(&0));
    let users = users.ok_or(
        "--users needs numbers from 1 to 4294967295 with commas between, such as 50000,500000",
    )?;
    if let Some(unknown) = args
        .iter()
        .find(|arg| CANDIDATES.iter().all(|candidate| candidate.name() != *arg))
    {
        let mut known: Vec<_> = CANDIDATES.iter().map(Candidate::name).collect();
        known.dedup();
        return Err(format!("unknown engine {unknown:?}; known: {}", known.join(", ")).into());
    }
    println!(
        "{:<26} {:>10} {:>12} {:>14}  kept as",
        "engine", "users", "bytes/user", "reopens in s"
    );
    for candidate in CANDIDATES
        .iter()
        .filter(|candidate| is_wanted(candidate, &args))
    {
        for users in &users {
            let Some(Taken {
                bytes_per_user,
                reopened_in,
            }) = measure(candidate, i64::from(*users))?
            else {
                println!("{candidate}: skipped, because its server could not be started");
                continue;
            };
            let (engine, kept_as) = (candidate.to_string(), memory::place_of(candidate));
            println!(
                "{engine:<26} {users:>10} {bytes_per_user:>12.1} {:>14.2}  {kept_as}",
                reopened_in.as_secs_f64()
            );
        }
    }
    Ok(())
}

fn is_wanted(candidate: &Candidate, names: &[String]) -> bool {
    // What lives in the process is the same whatever the database.
    let is_twin = memory::needs_fresh_process(candidate) && candidate.on == On::MariaDb;
    !is_twin && (names.is_empty() || names.iter().any(|name| name == candidate.name()))
}

fn measure(candidate: &Candidate, users: i64) -> Result<Option<Taken>, Box<dyn Error>> {
    if !memory::needs_fresh_process(candidate) {
        return Ok(memory::measure(*candidate, users));
    }
    let mut child = Command::new(std::env::current_exe()?);
    let output = child
        .args([IN_FRESH_PROCESS, candidate.name(), &users.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((bytes, seconds)) = text
        .trim()
        .split_once(' ')
        .filter(|_| output.status.success())
    else {
        return Err(format!("{candidate}: {}", String::from_utf8_lossy(&output.stderr)).into());
    };
    let reopened_in = Duration::from_secs_f64(seconds.parse()?);
    Ok(Some(Taken {
        bytes_per_user: bytes.parse()?,
        reopened_in,
    }))
}

fn in_fresh_process(name: &str, users: i64) -> Result<(), Box<dyn Error>> {
    let candidate = CANDIDATES
        .iter()
        .find(|candidate| candidate.name() == name)
        .ok_or("unknown engine")?;
    let taken = memory::measure(*candidate, users).ok_or("it needs no server")?;
    println!(
        "{} {}",
        taken.bytes_per_user,
        taken.reopened_in.as_secs_f64()
    );
    Ok(())
}
