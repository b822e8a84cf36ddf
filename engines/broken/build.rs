//! Writes the copies of the engines: for each entry of the list the engine's own sources with one
//! place in them replaced, for each engine a copy in which nothing is, and a test for each copy.
//!
//! A place that is not found exactly once is an error, so the list cannot fall behind the sources.

#[path = "src/list.rs"]
mod list;

use list::{Broken, ENGINES, LIST};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/list.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let sources = sources.canonicalize().expect("the engines' sources");
    let (mut modules, mut tests) = (String::new(), String::new());
    let mut faults = Vec::new();
    for engine in ENGINES {
        let engine = Engine::read(engine, &sources);
        let module = format!("{}_healthy", engine.name);
        engine.write(&out.join(&module), None);
        add_module(&mut modules, &module, &out);
        add_test(&mut tests, engine.name, &module, "is_not_caught", "");
        for broken in LIST.iter().filter(|broken| broken.engine == engine.name) {
            if let Err(fault) = engine.check(broken) {
                faults.push(fault);
            }
            let module = format!("{}_{}", engine.name, broken.name);
            engine.write(&out.join(&module), Some(broken));
            add_module(&mut modules, &module, &out);
            let expected = if broken.needs_server {
                "is_caught_on_mysql"
            } else {
                "is_caught"
            };
            let args = format!(", {:?}, {:?}", broken.caught_by, broken.what);
            add_test(&mut tests, engine.name, &module, expected, &args);
        }
    }
    for broken in LIST {
        assert!(
            ENGINES.contains(&broken.engine),
            "{}: no engine {}; known: {}",
            broken.name,
            broken.engine,
            ENGINES.join(", ")
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    fs::write(out.join("modules.rs"), modules).expect("writable");
    fs::write(out.join("tests.rs"), tests).expect("writable");
}

fn add_module(modules: &mut String, module: &str, out: &Path) {
    let path = out.join(module).join("engine.rs");
    writeln!(modules, "#[path = {path:?}]\npub mod {module};").expect("a string");
}

/// `expected`: the function of the tests' module `engine` that says what must become of the copy;
/// `args`: what it is given besides.
fn add_test(tests: &mut String, engine: &str, module: &str, expected: &str, args: &str) {
    writeln!(
        tests,
        "#[tokio::test]\nasync fn {module}_{expected}() {{\n    \
         {engine}::{expected}(broken_engines::{module}::FACTORY{args}).await;\n}}"
    )
    .expect("a string");
}

/// The sources of one engine.
struct Engine {
    name: &'static str,
    /// Paths within a copy's folder, and texts.
    files: Vec<(String, String)>,
}

impl Engine {
    /// Reads the engine's file and those in its folder.
    fn read(name: &'static str, sources: &Path) -> Self {
        let file = sources.join(format!("{name}.rs"));
        // A module that is loaded by its path looks for its children beside itself.
        let mut files = vec![read_source(&file, "engine.rs".to_owned())];
        read_folder(&sources.join(name), "", &mut files);
        Self { name, files }
    }

    /// Whether the place that is to be replaced is there exactly once, and is changed.
    fn check(&self, broken: &Broken) -> Result<(), String> {
        let places = self
            .files
            .iter()
            .map(|(_, text)| text.matches(broken.sound));
        let count: usize = places.map(Iterator::count).sum();
        if count == 1 && broken.sound != broken.broken {
            return Ok(());
        }
        Err(format!(
            "{} of {}: the place to break must be in the sources exactly once and be changed; it is there {count} \
             times: {}",
            broken.name, self.name, broken.sound
        ))
    }

    /// Writes a copy into `folder`.
    fn write(&self, folder: &Path, broken: Option<&Broken>) {
        fs::create_dir_all(folder).expect("writable");
        for (file, text) in &self.files {
            let text = match broken {
                Some(broken) => &text.replace(broken.sound, broken.broken),
                None => text,
            };
            let target = folder.join(file);
            fs::create_dir_all(target.parent().expect("in a folder")).expect("writable");
            // What is as it was keeps its time.
            if fs::read_to_string(&target).ok().as_ref() != Some(text) {
                fs::write(target, text).expect("writable");
            }
        }
    }
}

/// All modules in `folder` and below it that are no tests; their paths begin with `within`.
fn read_folder(folder: &Path, within: &str, files: &mut Vec<(String, String)>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_tests = stem == "tests" || stem.ends_with("_tests");
        if path.is_dir() {
            read_folder(&path, &format!("{within}{name}/"), files);
        } else if !is_tests && path.extension().is_some_and(|ending| ending == "rs") {
            files.push(read_source(&path, format!("{within}{name}")));
        }
    }
}

/// A file's text, which finds what it includes from anywhere, under the name that it gets.
fn read_source(path: &Path, target: String) -> (String, String) {
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(path).expect("readable");
    let folder = path.parent().expect("in a folder").display();
    let text = text.replace("include_str!(\"", &format!("include_str!(\"{folder}/"));
    (target, text)
}
