//! Finds the server binaries, and installs them when it may.

/// `lab setup`; blocks.
pub fn setup(_install: bool) -> anyhow::Result<()> {
    Ok(())
}
