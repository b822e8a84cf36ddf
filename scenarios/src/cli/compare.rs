//! `lab compare`: results side by side. It reads files, measures nothing and judges nothing: a
//! difference is no failure.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use reports::compare::{self, Comparison, Field, Filter, Options, Source};
use reports::result::{Metric, Run, metric};
use reports::view;

use super::UsageError;
use super::outputs::Outputs;
use crate::bench;

/// Hold results against the first of them: the table of each, and by how much they differ
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Rounds that were interleaved are compared pair by pair: results to which a tool gave the same `series`. All \
else is a ratio of medians of two runs on two moments, and never called real; `lab regress` measures both \
together and judges.

Exit codes: 0 whatever the difference; 2 wrong usage, an unreadable file, results that are unlike or of which \
one lacks an engine of the other, or nothing to compare.")]
pub(super) struct CompareArgs {
    /// Result files, as `lab bench` leaves them in reports/out; one shows its own table
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Compare although this field differs, or (missing) although a result lacks an engine or a
    /// scenario of another; may be repeated
    #[arg(long = "allow", value_name = "FIELD", value_parser = fields(), hide_possible_values = false)]
    allow: Vec<Field>,
    /// Only this engine, by its id in the results, which all of them must have; may be repeated
    #[arg(long = "engine", value_name = "NAME")]
    engines: Vec<String>,
    /// Only what matches, for example 'engine=lua*' or scenario=laptop or 'metric=*_ms'; * stands for
    /// any characters; of several with one key any may match
    #[arg(long = "filter", value_name = "KEY=PATTERN")]
    filters: Vec<Filter>,
    /// Only this metric, by its id; may be repeated
    #[arg(long = "metric", value_name = "ID", value_parser = known_metric)]
    metrics: Vec<&'static Metric>,
    /// Show only differences of more than so many per cent, and how many are hidden
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    threshold: Option<f64>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Html,
}

fn fields() -> impl TypedValueParser<Value = Field> {
    PossibleValuesParser::new(Field::ALL.map(Field::as_str)).try_map(|name| name.parse::<Field>())
}

fn known_metric(id: &str) -> Result<&'static Metric, String> {
    metric(id).map_err(|unknown| unknown.to_string())
}

/// A percentage as a share.
fn share(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.parse().ok();
    let allowed = percent.filter(|percent| (0.0..=1_000.0).contains(percent));
    allowed
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "allowed: a number from 0 to 1000, in per cent".to_owned())
}

/// Reads, compares, and prints or writes.
pub(super) fn run(arguments: &CompareArgs) -> anyhow::Result<()> {
    if let Some(out) = &arguments.out {
        Outputs::beside(&arguments.files).claim(out)?;
    }
    let runs = read(&arguments.files)?;
    let sources: Vec<Source<'_>> = runs
        .iter()
        .map(|(path, run)| Source { path, run })
        .collect();
    let options = Options {
        allow: arguments.allow.iter().copied().collect::<BTreeSet<Field>>(),
        subjects: arguments.engines.clone(),
        filters: arguments.filters.clone(),
        metrics: arguments.metrics.clone(),
        threshold: arguments.threshold,
    };
    let comparison =
        compare::compare(&sources, &options).map_err(|error| UsageError(error.to_string()))?;
    let text = drawn(&comparison, arguments);
    match &arguments.out {
        None => bench::show(&text),
        Some(path) => {
            bench::replace(path, &text).map_err(|error| UsageError(format!("{error:#}")))?;
        }
    }
    Ok(())
}

fn drawn(comparison: &Comparison<'_>, arguments: &CompareArgs) -> String {
    match arguments.format {
        Format::Text if arguments.out.is_some() => {
            view::comparison(comparison, view::Screen::PLAIN)
        }
        Format::Text => view::comparison(comparison, bench::screen()),
        Format::Markdown => view::comparison_markdown(comparison),
        Format::Html => view::comparison_html(comparison),
    }
}

/// Every result with its path as it was given; no file may be there twice.
fn read(files: &[PathBuf]) -> Result<Vec<(String, Run)>, UsageError> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut runs = Vec::new();
    for path in files {
        let run = super::read_result(path)?;
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let path = path.display().to_string();
        if seen.contains(&real) {
            return Err(UsageError(format!(
                "{path} is named twice, so there is nothing to compare"
            )));
        }
        seen.push(real);
        runs.push((path, run));
    }
    Ok(runs)
}
