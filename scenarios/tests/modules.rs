//! No circle among the modules of a crate: of two modules that use each other neither can be
//! read, tested or moved alone.
//!
//! A module uses another when it names it in a path, in a `use` or elsewhere, that begins with
//! `crate`, `super` or one of its own children. Declaring a child is no use of it; tests do not
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Every crate whose modules are looked at.
const CRATES: &[&str] = &[
    "database",
    "engines",
    "examples/own-engine",
    "servers",
    "system",
];

/// `(crate, from, to, why)`: uses that are left out of the search.
const ALLOWED: &[(&str, &str, &str, &str)] = &[];

/// `(crate, from, to)`: uses that are there, to see that the search still finds what it looks for.
const KNOWN: &[(&str, &str, &str)] = &[
    ("system", "roles::seckill", "roles::seckill::serving"),
    ("system", "broker", "config"),
    ("engines", "lua_single_key", "helpers::key_set"),
];

type Uses = BTreeMap<String, BTreeSet<String>>;

/// Every module with its text; the root is "".
fn modules(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        if name.ends_with("tests") || (prefix.is_empty() && matches!(&*name, "lib" | "main")) {
            continue;
        }
        let module = join(prefix, &name);
        if path.is_dir() {
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).expect("readable");
            found.insert(module, code(&text));
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}::{name}")
    }
}

/// Without comments, and without the tests at the end.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let text: Vec<&str> = lines.collect();
    let text = text.join("\n");
    let tests = text.find("#[cfg(test)]\nmod tests {");
    text[..tests.unwrap_or(text.len())].to_owned()
}

/// `a::{b, c::{d}}` as `a::b` and `a::c::d`.
fn spread(tree: &str) -> Vec<String> {
    let Some((head, rest)) = tree.split_once('{') else {
        return vec![tree.split_whitespace().next().unwrap_or("").to_owned()];
    };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in inside.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    let parts = parts.iter().flat_map(|part| spread(part.trim()));
    parts.map(|part| format!("{}{part}", head.trim())).collect()
}

/// Every path that a text names.
fn paths(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for statement in text.split("use ").skip(1) {
        let tree = statement.split(';').next().unwrap_or_default();
        paths.extend(spread(tree.trim()));
    }
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = text.split(|letter: char| !is_path(letter));
    let words = words.filter(|word| word.contains("::"));
    paths.extend(words.map(str::to_owned));
    paths
}

/// The module that `path` names in `module`: the longest part of it that is one.
fn resolve(path: &str, module: &str, all: &BTreeMap<String, String>) -> Option<String> {
    let mut steps: Vec<&str> = path.split("::").filter(|step| *step != "self").collect();
    let mut base = module.to_owned();
    if steps.first() == Some(&"crate") {
        base.clear();
        steps.remove(0);
    } else {
        if steps.first() != Some(&"super") && !all.contains_key(&join(&base, steps.first()?)) {
            return None;
        }
        while steps.first() == Some(&"super") {
            base = base
                .rsplit_once("::")
                .map_or_else(String::new, |(parent, _)| parent.to_owned());
            steps.remove(0);
        }
    }
    for step in steps {
        let next = join(&base, step);
        if !all.contains_key(&next) {
            break;
        }
        base = next;
    }
    (base != module && !base.is_empty()).then_some(base)
}

/// What can be reached from `module`, itself only if it is on a circle.
fn reached<'a>(module: &str, uses: &'a Uses) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![module]);
    while let Some(module) = next.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if reached.insert(used.as_str()) {
                next.push(used);
            }
        }
    }
    reached
}

/// Which modules of a crate use which.
fn uses(name: &str) -> Uses {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = BTreeMap::new();
    modules(&root.join(name).join("src"), "", &mut all);
    let used = |(module, text): (&String, &String)| {
        let used = paths(text).into_iter();
        let used = used.filter_map(|path| resolve(&path, module, &all));
        (module.clone(), used.collect())
    };
    all.iter().map(used).collect()
}

#[test]
fn no_two_modules_use_each_other_however_far_around() {
    let mut all: BTreeMap<&str, Uses> = CRATES.iter().map(|name| (*name, uses(name))).collect();
    for (name, from, to) in KNOWN {
        assert!(
            all[name][*from].contains(*to),
            "that {from} uses {to} is not found any more"
        );
    }
    for (name, from, to, why) in ALLOWED {
        let used = all.get_mut(name).and_then(|uses| uses.get_mut(*from));
        let was_there = used.is_some_and(|used| used.remove(*to));
        assert!(was_there, "{from} does not use {to} any more ({why})");
    }
    let mut circles = Vec::new();
    for (name, uses) in &all {
        let is_on_circle = |module: &str| reached(module, uses).contains(module);
        for (module, used) in uses.iter().filter(|(module, _)| is_on_circle(module)) {
            let back = used
                .iter()
                .filter(|used| reached(used, uses).contains(module.as_str()));
            let back: Vec<&str> = back.map(String::as_str).collect();
            circles.push(format!("{name}: {module} -> {}", back.join(", ")));
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}
