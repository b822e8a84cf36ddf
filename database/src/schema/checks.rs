//! What keeps migrations from being run, each in one sentence that names both sides.

use super::history::History;
use super::migration::{BINARY, Part};
use crate::{DatabaseKind, SetupError};

/// Tables that migrating itself uses.
const KEPT: [&str; 2] = ["_sqlx_migrations", "schema_migrations"];

type Checked = Result<(), SetupError>;

fn refused(sentence: String) -> Checked {
    Err(SetupError::new(sentence))
}

/// `migration 7 ("orders") of the system`
fn called(part: &Part) -> String {
    let migration = &part.migration;
    let (version, name) = (migration.version, migration.name);
    format!("migration {version} ({name:?}) of {}", part.owner)
}

/// Whether these can be in one database.
pub fn agree(parts: &[Part]) -> Checked {
    for (index, part) in parts.iter().enumerate() {
        alone(part)?;
        for earlier in &parts[..index] {
            apart(earlier, part)?;
        }
    }
    Ok(())
}

fn alone(part: &Part) -> Checked {
    let migration = &part.migration;
    if migration.oldest_binary > BINARY {
        return refused(format!(
            "{} is for binaries from {} on; this one is {BINARY}",
            called(part),
            migration.oldest_binary
        ));
    }
    let created = || {
        [migration.mysql, migration.sqlite]
            .into_iter()
            .flat_map(created_by)
    };
    let is_named = |table: &str| migration.tables.iter().any(|named| same(named, table));
    if let Some(table) = created().find(|table| !is_named(table)) {
        return refused(format!(
            "{} creates table {table}, which is not among the tables that it names: {}",
            called(part),
            migration.tables.join(", ")
        ));
    }
    if let Some(kept) = created().find(|table| KEPT.iter().any(|kept| same(kept, table))) {
        return refused(format!(
            "{} creates table {kept}, in which it is kept what has run",
            called(part)
        ));
    }
    match migration
        .tables
        .iter()
        .find(|named| !created().any(|table| same(&table, named)))
    {
        Some(named) => refused(format!(
            "{} names table {named} and does not create it",
            called(part)
        )),
        None => Ok(()),
    }
}

fn apart(earlier: &Part, part: &Part) -> Checked {
    if earlier.migration.version == part.migration.version {
        return refused(format!(
            "{} has the same version as {}; every version is used once",
            called(part),
            called(earlier)
        ));
    }
    let theirs = earlier.migration.tables.iter();
    match theirs.clone().find(|table| {
        let ours = part.migration.tables.iter();
        ours.clone().any(|named| same(named, table))
    }) {
        Some(table) => refused(format!(
            "{} creates table {table}, and so does {}",
            called(part),
            called(earlier)
        )),
        None => Ok(()),
    }
}

/// Whether this binary is not too old for what has run.
pub fn allowed(history: &History) -> Checked {
    match history.ran.iter().find(|ran| ran.oldest_binary > BINARY) {
        Some(ran) => refused(format!(
            "this database has had migration {} ({:?}), which allows binaries from {} on; this one is {BINARY}",
            ran.version, ran.name, ran.oldest_binary
        )),
        None => Ok(()),
    }
}

/// Whether nothing broke off. Only who holds the lock can tell that from what is under way.
pub fn whole(history: &History) -> Checked {
    match history.ran.iter().find(|ran| !ran.is_whole) {
        Some(broken) => refused(format!(
            "migration {} ({:?}) broke off in the middle the last time; this database cannot undo that, so it needs to be restored or made anew",
            broken.version, broken.name
        )),
        None => Ok(()),
    }
}

/// Whether what has run there is what is here.
pub fn unchanged(parts: &[Part], history: &History, kind: DatabaseKind) -> Checked {
    for part in parts {
        let Some(ran) = history.of(part.migration.version) else {
            continue;
        };
        let here = part.migration.to_sqlx(kind).checksum;
        if *ran.checksum != *here {
            return refused(format!(
                "{} is not what has run in this database as {} ({:?}): its text has the checksum {} here and {} there; what has run stays as it is, and a change is a new migration",
                called(part),
                ran.version,
                ran.name,
                short(&here),
                short(&ran.checksum)
            ));
        }
    }
    Ok(())
}

/// Whether no table that is to be created is there already.
pub fn not_there(parts: &[Part], history: &History, kind: DatabaseKind) -> Checked {
    let to_run = parts
        .iter()
        .filter(|part| history.of(part.migration.version).is_none());
    for part in to_run {
        let there = created_by(part.migration.text(kind))
            .find(|table| history.tables.iter().any(|known| same(known, table)));
        if let Some(table) = there {
            let unknown = history.ran.iter().find(|ran| {
                let version = ran.version;
                parts.iter().all(|part| part.migration.version != version)
            });
            let from = match unknown {
                Some(ran) => format!(
                    "from migration {} ({:?}), which this binary does not know",
                    ran.version, ran.name
                ),
                None => "from somewhere else".to_owned(),
            };
            return refused(format!(
                "{} creates table {table}, which this database has already {from}; use an empty database",
                called(part)
            ));
        }
    }
    Ok(())
}

/// Whether all of these have run.
pub fn has_run(parts: &[Part], history: &History) -> Checked {
    let is_there = |part: &&Part| {
        let ran = history.of(part.migration.version);
        ran.is_some_and(|ran| ran.is_whole)
    };
    match parts.iter().find(|part| !is_there(part)) {
        Some(part) => refused(format!(
            "this database has not had {}; run `seckill migrate` first",
            called(part)
        )),
        None => Ok(()),
    }
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn short(checksum: &[u8]) -> String {
    checksum
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The names behind every `CREATE TABLE`, comments left out.
fn created_by(sql: &str) -> impl Iterator<Item = String> {
    let lines = sql
        .lines()
        .map(|line| line.split("--").next().unwrap_or(""));
    let words: Vec<String> = lines
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || "(;`\"".contains(c)))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let is = |word: Option<&String>, what: &str| word.is_some_and(|word| same(word, what));
    let mut names = Vec::new();
    for index in 0..words.len() {
        if !(is(words.get(index), "create") && is(words.get(index + 1), "table")) {
            continue;
        }
        let name = match is(words.get(index + 2), "if") {
            true => words.get(index + 5),
            false => words.get(index + 2),
        };
        names.extend(name.cloned());
    }
    names.into_iter()
}
