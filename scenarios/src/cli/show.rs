//! `lab show`: results that were written before, as text or Markdown.

use std::path::PathBuf;

use clap::Args;
use reports::view;

use super::{UsageError, read_result};
use crate::bench;

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// Results (.json) of any run
    #[arg(required = true, value_name = "RESULT")]
    results: Vec<PathBuf>,
    /// Print every table, not only the first screen
    #[arg(long, conflicts_with = "markdown")]
    details: bool,
    /// Print the summary for a pull request or a notebook instead
    #[arg(long)]
    markdown: bool,
}

/// Prints the results in the order in which they were named; nothing if one of them cannot be read.
pub(super) fn run(arguments: &ShowArgs) -> Result<(), UsageError> {
    let mut texts = Vec::new();
    for path in &arguments.results {
        let run = read_result(path)?;
        texts.push(if arguments.markdown {
            view::markdown(&run)
        } else {
            let screen = bench::screen();
            let mut text = view::first_screen(&run, screen, &[path.display().to_string()]);
            if arguments.details {
                text.push('\n');
                text.push_str(&view::details(&run, screen));
            }
            text
        });
    }
    bench::show(&texts.join("\n"));
    Ok(())
}
