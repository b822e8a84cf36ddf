//! Where the verdict goes: the terminal, Markdown for a pull request, JUnit XML for a CI's own page.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use reports::result::Run;
use reports::view;

use crate::bench::{BenchOptions, screen, shown_path, write_result};

/// Writes the files of a result that no run of this lab made, and shows its first screen.
pub(super) fn show(run: &Run, options: &BenchOptions) -> anyhow::Result<()> {
    let paths = write_result(run, &options.files)?;
    let paths: Vec<String> = paths.iter().map(|path| shown_path(path)).collect();
    print(&view::first_screen(run, screen(), &paths));
    if options.details {
        print(&view::details(run, screen()));
    }
    Ok(())
}

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
        put(path, view::junit(run))?;
    }
    Ok(())
}

/// A closed standard output is no reason to fail.
pub(super) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}
