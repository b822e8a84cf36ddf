//! `lab report`: the page of a result that was written before.

use std::path::PathBuf;

use clap::Args;
use reports::html::page;

use super::outputs::Outputs;
use super::{UsageError, read_result};
use crate::{bench, browser};

/// Write the page of a result: one HTML file that needs nothing else, beside the result unless --out
/// says otherwise
#[derive(Args, Clone, Debug)]
pub(super) struct ReportArgs {
    /// Results, as `lab bench` leaves them
    #[arg(required = true, value_name = "RESULT.json")]
    pub results: Vec<PathBuf>,
    /// Where the page goes; for one result only
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Show it in a browser
    #[arg(long)]
    pub open: bool,
}

/// Writes nothing unless every result can be read.
pub(super) fn run(arguments: &ReportArgs) -> anyhow::Result<()> {
    if arguments.out.is_some() && arguments.results.len() > 1 {
        let count = arguments.results.len();
        let error = format!(
            "--out: one file for {count} results; leave it out, and each page lies beside its result"
        );
        return Err(UsageError(error).into());
    }
    let mut pages = Vec::new();
    let mut outputs = Outputs::beside(&arguments.results);
    for path in &arguments.results {
        let beside = path.with_extension("html");
        let out = arguments.out.clone().unwrap_or(beside);
        outputs.claim(&out)?;
        pages.push((page(&read_result(path)?), out));
    }
    for (text, out) in pages {
        bench::replace(&out, &text)?;
        if arguments.open {
            println!("{}", browser::open(&out));
        } else {
            println!("page: {}", out.display());
        }
    }
    Ok(())
}
