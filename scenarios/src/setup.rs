//! Finds the server binaries, and installs what is missing where that is possible. `lab setup` is
//! this; `bench`, `test` and `up` begin with it.

mod apt;

use anyhow::{bail, ensure};

use crate::counter::{self, Counter};
use crate::ghz::{self, Ghz};

use servers::counting::{RUNNER, RUNNER_VERSION, VALGRIND};

pub use servers::Programs;
pub use servers::programs::{find, rabbitmq_version, version};

/// Names of the Debian and Ubuntu packages, in the order of [`Programs::missing`].
const PACKAGES: [(&str, &str); 3] = [
    ("redis-server", "redis-server"),
    ("rabbitmq-server", "rabbitmq-server"),
    ("mariadbd or mysqld", "mariadb-server"),
];

/// `lab setup`: says what is there, and installs the rest if it may. It blocks.
pub fn setup(install: bool) -> anyhow::Result<()> {
    let programs = require(install)?;
    for (name, program) in [
        ("redis-server", programs.redis_server),
        ("rabbitmq-server", programs.rabbitmq_server),
        ("database server", programs.database_server),
    ] {
        let path = program.unwrap_or_default();
        println!("{name:<15}  {}", path.display());
    }
    Ok(())
}

/// `lab setup --ghz`: the same for ghz.
pub fn setup_ghz(install: bool) -> anyhow::Result<()> {
    let ghz = if install {
        ghz::install()?
    } else {
        Ghz::find()?
    };
    let path = ghz.program().display();
    println!("{:<15}  {path} ({})", "ghz", ghz.version());
    Ok(())
}

/// `lab setup --instructions`: the same for what counts instructions.
pub fn setup_instructions(install: bool) -> anyhow::Result<()> {
    if install && counter::valgrind().is_err() {
        let Some(root) = apt::how_to_become_root() else {
            bail!(
                "missing: {VALGRIND}; install it with your system's package manager, as with: sudo {}",
                apt::command_line(&[VALGRIND])
            );
        };
        apt::install(root, &[VALGRIND])?;
    }
    let counter = if install {
        counter::install()?
    } else {
        Counter::find(RUNNER_VERSION)?
    };
    println!("{VALGRIND:<15}  {}", counter.valgrind.display());
    println!("{RUNNER:<15}  {}", counter.runner.display());
    Ok(())
}

/// The programs of a private stack, none of them missing; missing ones are installed if that is allowed and possible. It
/// blocks, and says on standard error what it changes before it changes it.
pub fn require(install: bool) -> anyhow::Result<Programs> {
    let found = find();
    let missing = found.missing();
    if missing.is_empty() {
        return Ok(found);
    }
    let packages = packages_for(&missing);
    let names = missing.join(", ");
    if !install {
        bail!(
            "missing: {names}; {}, or leave --no-install out",
            by_hand(&packages)
        );
    }
    let Some(root) = apt::how_to_become_root() else {
        bail!("missing: {names}; {}", by_hand(&packages));
    };
    eprintln!("missing: {names}");
    apt::install(root, &packages)?;
    let found = find();
    let missing = found.missing();
    ensure!(
        missing.is_empty(),
        "the packages were installed, and yet these are missing: {}",
        missing.join(", ")
    );
    Ok(found)
}

/// What a person can run where the lab cannot install by itself.
pub fn by_hand(packages: &[&str]) -> String {
    if apt::is_available() {
        return format!("install them with: sudo {}", apt::command_line(packages));
    }
    format!(
        "install {} with your system's package manager (the lab installs by itself only with apt-get, as root or with \
         password-less sudo), or use running servers with --stack external",
        packages.join(", ")
    )
}

/// Packages for what is missing.
pub fn packages_for(missing: &[&str]) -> Vec<&'static str> {
    PACKAGES
        .iter()
        .filter(|(binary, _)| missing.contains(binary))
        .map(|(_, package)| *package)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_binary_has_a_package() {
        let missing = Programs::default().missing();
        assert_eq!(missing.len(), PACKAGES.len());
        assert_eq!(
            packages_for(&missing),
            ["redis-server", "rabbitmq-server", "mariadb-server"]
        );
        assert!(by_hand(&["redis-server"]).contains("redis-server"));
    }
}
