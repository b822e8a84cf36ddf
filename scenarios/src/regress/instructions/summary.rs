//! The summaries that gungraun prints, one JSON object in each line (`--output-format=json`), as far
//! as counts need them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::Counts;

/// The version of its summaries that is understood.
const VERSION: &str = "7";
const TOOL: &str = "Callgrind";
/// Callgrind's name for instructions that were executed.
const INSTRUCTIONS: &str = "Ir";

#[derive(Debug, Deserialize)]
struct Summary {
    package_dir: PathBuf,
    function_name: String,
    id: Option<String>,
    profiles: Vec<Profile>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    tool: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    total: Total,
}

#[derive(Debug, Deserialize)]
struct Total {
    metrics: BTreeMap<String, Metric>,
}

#[derive(Debug, Deserialize)]
struct Metric {
    values: Values,
}

#[derive(Debug, Deserialize)]
struct Values {
    new: Option<f64>,
}

/// All counts among the lines of `text`; what is no object is somebody else's.
///
/// # Errors
/// When a summary is cut off, of another version or without a count, and when two have one name.
pub(super) fn read(text: &str) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let version: Versioned =
            serde_json::from_str(line).context("a summary of gungraun cannot be read")?;
        ensure!(
            version.version == VERSION,
            "a summary of gungraun has version {}; known: {VERSION}",
            version.version
        );
        let summary: Summary =
            serde_json::from_str(line).context("a summary of gungraun cannot be read")?;
        let name = summary.name();
        let count = summary
            .count()
            .with_context(|| format!("{name} has no count of instructions"))?;
        ensure!(count > 0, "{name} has counted no instruction");
        let known = counts.instructions.insert(name.clone(), count);
        ensure!(known.is_none(), "there are two counts of {name}");
    }
    Ok(counts)
}

#[derive(Debug, Deserialize)]
struct Versioned {
    version: String,
}

impl Summary {
    /// `package/function/case`.
    fn name(&self) -> String {
        let package = self.package_dir.file_name().unwrap_or_default();
        let mut name = format!("{}/{}", package.to_string_lossy(), self.function_name);
        if let Some(id) = &self.id {
            name.push('/');
            name.push_str(id);
        }
        name
    }

    fn count(&self) -> Option<u64> {
        let profile = self.profiles.iter().find(|it| it.tool == TOOL)?;
        let metric = profile.data.total.metrics.get(INSTRUCTIONS)?;
        // Below 2^53, as any count of a bench is, nothing is lost.
        metric.values.new.map(|count| count.round() as u64)
    }
}
