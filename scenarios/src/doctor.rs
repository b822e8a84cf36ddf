//! `lab doctor`: what this machine has, what each stack needs, and whether it would work here.

use std::path::Path;

use crate::setup::{self, Programs};
use crate::stack::{ExternalAddresses, StackOptions, scratch};

const MIB: u64 = 1 << 20;
/// What the private servers, the system and the driver need for the largest scenario of the
/// catalog.
const MEMORY_BYTES_MIN: u64 = 1 << 30;
/// Room for the data of the largest scenario of the catalog.
const DISK_BYTES_COMFORTABLE: u64 = 1 << 30;

/// The whole report, ready to be printed. Asks the binaries for their versions, which takes about
/// 50 ms.
pub fn report(options: &StackOptions) -> String {
    let found = setup::find();
    let base = scratch::base(options.scratch.as_deref());
    let disk = free_bytes(&base);
    let memory = available_memory_bytes();
    let mut text = String::from("machine\n");
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    text.push_str(&line("cores", &cores.to_string()));
    text.push_str(&line("memory available", &mebibytes(memory)));
    text.push_str(&line(
        "scratch folder",
        &format!("{}, {} free", base.display(), mebibytes(disk)),
    ));
    text.push_str("binaries\n");
    text.push_str(&binaries(&found));
    text.push_str("stacks\n");
    text.push_str(&line(
        "servers",
        &servers(&found, disk, memory, options.install),
    ));
    let needs = format!(
        "needs redis-server, rabbitmq-server, mariadbd or mysqld, {} of disk ({} to start), {} of memory",
        mebibytes(Some(DISK_BYTES_COMFORTABLE)),
        mebibytes(Some(scratch::START_FREE_BYTES_MIN)),
        mebibytes(Some(MEMORY_BYTES_MIN))
    );
    text.push_str(&line("", &needs));
    let needs =
        "with --redis-cluster three redis-servers run as a cluster; it needs no other program";
    text.push_str(&line("", needs));
    text.push_str(&line("embedded", &embedded(disk)));
    let needs = format!(
        "needs no server and {} of disk; runs engines that do without redis; auto falls back to it",
        mebibytes(Some(scratch::EMBEDDED_FREE_BYTES_MIN))
    );
    text.push_str(&line("", &needs));
    text.push_str(&line("external", &external(&options.external)));
    text.push_str(&line(
        "",
        "needs --redis-url, --amqp-url and --database-url of running servers",
    ));
    text
}

fn line(name: &str, value: &str) -> String {
    format!("  {name:<17} {value}\n")
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "unknown".to_owned(),
        |bytes| format!("{} MiB", bytes / MIB),
    )
}

fn binaries(found: &Programs) -> String {
    let missing = || "missing".to_owned();
    let with_version = |path: &Path| format!("{} ({})", path.display(), setup::version(path));
    let rabbitmq = |path: &Path| {
        let version = setup::rabbitmq_version(path)
            .unwrap_or_else(|| "version known once it runs".to_owned());
        format!("{} ({version})", path.display())
    };
    let optional = |path: &Option<std::path::PathBuf>, without: &str| {
        path.as_ref()
            .map_or_else(|| without.to_owned(), |path| path.display().to_string())
    };
    [
        line(
            "redis-server",
            &found
                .redis_server
                .as_deref()
                .map_or_else(missing, with_version),
        ),
        line(
            "rabbitmq-server",
            &found
                .rabbitmq_server
                .as_deref()
                .map_or_else(missing, rabbitmq),
        ),
        line(
            "epmd",
            &optional(&found.epmd, "not found; Erlang starts its own"),
        ),
        line(
            "database",
            &found
                .database_server
                .as_deref()
                .map_or_else(missing, with_version),
        ),
        line(
            "database tables",
            &optional(&found.install_db, "made by the server itself"),
        ),
    ]
    .concat()
}

fn servers(found: &Programs, disk: Option<u64>, memory: Option<u64>, install: bool) -> String {
    let missing = found.missing();
    let mut faults = Vec::new();
    if !missing.is_empty() {
        let how = setup::by_hand(&setup::packages_for(&missing));
        let by_itself = if install {
            "lab setup tries to install them; by hand: "
        } else {
            ""
        };
        faults.push(format!("{} missing ({by_itself}{how})", missing.join(", ")));
    }
    if let Some(disk) = disk.filter(|disk| *disk < scratch::START_FREE_BYTES_MIN) {
        faults.push(format!(
            "only {} MiB free in the scratch folder",
            disk / MIB
        ));
    }
    if let Some(memory) = memory.filter(|memory| *memory < MEMORY_BYTES_MIN) {
        faults.push(format!("only {} MiB of memory available", memory / MIB));
    }
    if faults.is_empty() {
        "usable".to_owned()
    } else {
        format!("not usable: {}", faults.join("; "))
    }
}

fn embedded(disk: Option<u64>) -> String {
    match disk.filter(|disk| *disk < scratch::EMBEDDED_FREE_BYTES_MIN) {
        Some(disk) => format!(
            "not usable: only {} MiB free in the scratch folder",
            disk / MIB
        ),
        None => "usable".to_owned(),
    }
}

fn external(addresses: &ExternalAddresses) -> String {
    let given = [
        &addresses.redis_url,
        &addresses.amqp_url,
        &addresses.database_url,
    ];
    if given.iter().all(|url| url.is_some()) {
        "addresses given; lab up --stack external tries them".to_owned()
    } else {
        "not usable: no addresses given".to_owned()
    }
}

/// Free bytes in the folder, or in the nearest one above it that exists.
fn free_bytes(folder: &Path) -> Option<u64> {
    std::path::absolute(folder)
        .ok()?
        .ancestors()
        .find_map(|folder| scratch::free_bytes(folder).ok())
}

fn available_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = text.lines().find_map(|line| {
        line.strip_prefix("MemAvailable:")?
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    })?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_machine_is_told_what_to_do() {
        let bare = servers(&Programs::default(), Some(u64::MAX), Some(u64::MAX), true);
        assert!(
            bare.contains("redis-server, rabbitmq-server, mariadbd or mysqld missing"),
            "{bare}"
        );
        assert!(bare.contains("mariadb-server"), "{bare}");
    }

    #[test]
    fn too_little_room_is_said_with_its_number() {
        let found = Programs {
            redis_server: Some("/r".into()),
            rabbitmq_server: Some("/q".into()),
            database_server: Some("/d".into()),
            ..Programs::default()
        };
        assert_eq!(
            servers(&found, Some(u64::MAX), Some(u64::MAX), true),
            "usable"
        );
        let small = servers(&found, Some(64 * MIB), Some(100 * MIB), true);
        assert!(
            small.contains("64 MiB free") && small.contains("100 MiB of memory"),
            "{small}"
        );
    }

    #[test]
    fn the_embedded_stack_needs_nothing_but_room() {
        assert_eq!(embedded(Some(300 * MIB)), "usable");
        assert!(embedded(Some(64 * MIB)).contains("only 64 MiB free"));
    }

    #[test]
    fn the_report_names_every_binary_and_every_stack() {
        let report = report(&StackOptions::default());
        for name in [
            "redis-server",
            "rabbitmq-server",
            "database",
            "servers",
            "embedded",
            "external",
            "MiB free",
        ] {
            assert!(report.contains(name), "{report}");
        }
    }
}
