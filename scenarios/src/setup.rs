//! Finds the server binaries, and installs what is missing where that is possible. `lab setup` is
//! this; `bench`, `test` and `up` begin with it.

mod apt;
#[path = "../../servers/src/programs.rs"]
mod find;

use anyhow::bail;

pub use find::{Binaries, Found, Initializer, find, rabbitmq_version, search_path, version};

/// Names of the Debian and Ubuntu packages, in the order of [`Found::missing`].
const PACKAGES: [(&str, &str); 3] = [
    ("redis-server", "redis-server"),
    ("rabbitmq-server", "rabbitmq-server"),
    ("mariadbd or mysqld", "mariadb-server"),
];

/// `lab setup`: says what is there, and installs the rest if it may. It blocks.
pub fn setup(install: bool) -> anyhow::Result<()> {
    let binaries = require(install)?;
    println!("redis-server     {}", binaries.redis_server.display());
    println!("rabbitmq-server  {}", binaries.rabbitmq_server.display());
    println!("database server  {}", binaries.database_server.display());
    Ok(())
}

/// The binaries of a private stack; missing ones are installed if that is allowed and possible. It
/// blocks, and says on standard error what it changes before it changes it.
pub fn require(install: bool) -> anyhow::Result<Binaries> {
    let missing = match find().complete() {
        Ok(binaries) => return Ok(binaries),
        Err(missing) => missing,
    };
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
    match find().complete() {
        Ok(binaries) => Ok(binaries),
        Err(missing) => bail!(
            "the packages were installed, and yet these are missing: {}",
            missing.join(", ")
        ),
    }
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
        let missing = Found::default().missing();
        assert_eq!(missing.len(), PACKAGES.len());
        assert_eq!(
            packages_for(&missing),
            ["redis-server", "rabbitmq-server", "mariadb-server"]
        );
        assert!(by_hand(&["redis-server"]).contains("redis-server"));
    }
}
