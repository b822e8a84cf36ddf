//! What this binary says about itself: version, sources, compiler, and the contract that it keeps
//! with whoever measures it.

use serde::Serialize;

/// Number of the contract with the lab: command line, ready lines, inspection, and the tables that
/// the audit reads. It is raised when a lab of before would misread this binary.
const CONTRACT: u32 = 1;

/// As `seckill version --json` prints it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Version {
    pub version: &'static str,
    /// In twelve digits; empty when it was built outside of a git repository.
    pub commit: &'static str,
    /// The sources were not quite those of the commit.
    dirty: bool,
    /// `release` or `debug`.
    profile: &'static str,
    rustc: &'static str,
    contract: u32,
}

/// Taken when this library was built, whoever's `main` is around it.
pub(crate) const THIS: Version = Version {
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("BUILD_COMMIT"),
    dirty: matches!(env!("BUILD_DIRTY").as_bytes(), b"true"),
    profile: env!("BUILD_PROFILE"),
    rustc: env!("BUILD_RUSTC"),
    contract: CONTRACT,
};

/// Prints it, as a line of words or of JSON.
pub(crate) fn print(json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(&THIS)?);
        return Ok(());
    }
    let sources = env!("BUILD_SOURCES");
    println!(
        "seckill {} ({sources}, {}, rustc {}, contract {CONTRACT})",
        THIS.version, THIS.profile, THIS.rustc
    );
    Ok(())
}
