//! Where the verdict goes besides the terminal: Markdown for a pull request, JUnit XML for a CI's own
//! page. Both say "not measured" from the beginning on, so that nobody takes an earlier verdict, or
//! the silence of a comparison that was killed, for an answer.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use reports::result::Run;
use reports::view;

use super::{RegressError, RegressOptions};

/// Why there is no verdict as long as a comparison goes on.
const UNDER_WAY: &str = "the comparison did not come to its end";

/// The files of a verdict.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'a> {
    markdown: Option<&'a Path>,
    junit: Option<&'a Path>,
}

impl<'a> Report<'a> {
    /// # Errors
    /// When a file is named twice, or cannot be written.
    pub(super) fn begin(options: &'a RegressOptions) -> anyhow::Result<Self> {
        let report = Self {
            markdown: options.markdown.as_deref(),
            junit: options.junit.as_deref(),
        };
        let all = [
            report.markdown,
            report.junit,
            options.bench.files.json.as_deref(),
        ];
        let mut seen: Vec<&Path> = Vec::new();
        for path in all.into_iter().flatten() {
            if seen.contains(&path) {
                return Err(
                    RegressError(format!("{} is named for two files", path.display())).into(),
                );
            }
            seen.push(path);
        }
        report.not_measured(UNDER_WAY)?;
        Ok(report)
    }

    pub(super) fn not_measured(&self, why: &str) -> anyhow::Result<()> {
        self.put(
            &view::not_measured_markdown(why),
            &view::not_measured_junit(why),
        )
    }

    pub(super) fn verdict(&self, run: &Run) -> anyhow::Result<()> {
        let junit = view::junit(run).context("the result has no verdict")?;
        self.put(&view::markdown(run), &junit)
    }

    /// Text that is no verdict, such as that of a self-check.
    pub(super) fn text(&self, text: &str) -> anyhow::Result<()> {
        match self.markdown {
            Some(path) => put(path, &format!("```text\n{}\n```\n", text.trim_end())),
            None => Ok(()),
        }
    }

    fn put(&self, markdown: &str, junit: &str) -> anyhow::Result<()> {
        if let Some(path) = self.markdown {
            put(path, markdown)?;
        }
        match self.junit {
            Some(path) => put(path, junit),
            None => Ok(()),
        }
    }
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// A closed standard output is no reason to fail.
pub(super) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}
