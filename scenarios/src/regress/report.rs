//! Where the verdict goes: the terminal, Markdown for a pull request, JUnit XML for a CI's own page.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use reports::result::Run;
use reports::view;

/// Writes the verdict to the files that were asked for.
pub(super) fn write(
    run: &Run,
    markdown: Option<&Path>,
    junit: Option<&Path>,
) -> anyhow::Result<()> {
    let put = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    if let Some(path) = markdown {
        put(path, view::markdown(run))?;
    }
    if let Some(path) = junit {
        put(path, view::junit(run).context("the result has no verdict")?)?;
    }
    Ok(())
}

/// A closed standard output is no reason to fail.
pub(super) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}
