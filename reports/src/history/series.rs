//! The series of a history: lines that can be compared, and where they change.

use super::line::{Commit, Key, Line};
use super::reading::{Entry, History};
use crate::stats::EDivisive;
use std::collections::{BTreeMap, BTreeSet};

/// How change points are looked for: at most one alarm in twenty series without a change, and five
/// results before anything is said of them.
pub const CHANGES: EDivisive = EDivisive {
    segment_min: 5,
    shuffles: 999,
    level: 0.05,
    seed: 1,
};
/// Change points are looked for among so many of the newest results: the time that takes grows with
/// the square of their number.
pub const POINTS_MAX: usize = 300;

/// Lines of one key against one anchor.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    pub key: &'a Key,
    pub segment: u32,
    /// By the time at which they were measured, then as in the file; at least one.
    pub entries: Vec<&'a Entry>,
}

/// A change of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    /// The first head that shows it.
    pub head: &'a Commit,
    pub p: f64,
    /// Medians of the ratios before and since, as logarithms, which may be infinite; up to the
    /// neighbouring change points.
    pub before_ln: f64,
    pub since_ln: f64,
    /// Results in the two medians.
    pub before: usize,
    pub since: usize,
}

impl Change<'_> {
    /// The change itself, as a ratio; 0, infinite or not a number where a median is infinite, because
    /// such a change has no size.
    pub fn ratio(&self) -> f64 {
        (self.since_ln - self.before_ln).exp()
    }
}

impl History {
    /// Every series, by key and segment.
    pub fn series(&self) -> Vec<Series<'_>> {
        let mut found: BTreeMap<(&Key, u32), Vec<&Entry>> = BTreeMap::new();
        for entry in self.entries() {
            let place = (&entry.line.key, entry.line.segment);
            found.entry(place).or_default().push(entry);
        }
        let series = found.into_iter().map(|((key, segment), mut entries)| {
            entries.sort_by_key(|entry| entry.line.measured_unix_us);
            Series {
                key,
                segment,
                entries,
            }
        });
        series.collect()
    }
}

impl<'a> Series<'a> {
    pub fn anchor(&self) -> &'a Commit {
        &self.entries[0].line.anchor
    }

    /// Ids of the metrics of any line.
    pub fn metrics(&self) -> BTreeSet<&'a str> {
        let lines = self.entries.iter().map(|entry| &entry.line);
        let ids = lines.flat_map(|line| line.metrics.keys().map(String::as_str));
        ids.collect()
    }

    /// Whether an earlier result is of the same commit.
    pub fn is_repeat(&self, index: usize) -> bool {
        let line = &self.entries[index].line;
        let mut earlier = self.entries[..index].iter();
        earlier.any(|entry| entry.line.repeats(line))
    }

    /// The lines that have a metric, with its ratio as a logarithm, which may be infinite: one of each
    /// commit, the latest, in the place of the first.
    pub fn points(&self, metric: &str) -> Vec<(&'a Line, f64)> {
        let mut points: Vec<(&'a Line, f64)> = Vec::new();
        for entry in &self.entries {
            let line = &entry.line;
            let Some(ratio) = line.metrics.get(metric) else {
                continue;
            };
            let point = (line, ratio.ln.0);
            match points.iter_mut().find(|(known, _)| known.repeats(line)) {
                Some(known) => *known = point,
                None => points.push(point),
            }
        }
        points
    }

    /// Where a metric changes, oldest first.
    pub fn changes(&self, metric: &str) -> Vec<Change<'a>> {
        let points = self.points(metric);
        let points = &points[points.len().saturating_sub(POINTS_MAX)..];
        let values: Vec<f64> = points.iter().map(|(_, ln)| *ln).collect();
        let found = CHANGES.change_points(&finite(&values));
        let mut borders: Vec<usize> = found.iter().map(|point| point.at).collect();
        borders.insert(0, 0);
        borders.push(values.len());
        let around = borders.windows(3).zip(&found);
        let changes = around.map(|(borders, point)| {
            let (before, since) = (
                &values[borders[0]..borders[1]],
                &values[borders[1]..borders[2]],
            );
            Change {
                head: &points[point.at].0.head,
                p: point.p,
                before_ln: median(before),
                since_ln: median(since),
                before: before.len(),
                since: since.len(),
            }
        });
        changes.collect()
    }
}

/// A rate that was missed has an infinite ratio. It counts as twice the largest change there is, in
/// either direction, so that missing it again and again is a change like any other.
fn finite(values: &[f64]) -> Vec<f64> {
    let changes = values.iter().filter(|value| value.is_finite());
    let beyond = changes.map(|value| value.abs()).fold(0.0, f64::max) + 2f64.ln();
    values
        .iter()
        .map(|value| value.clamp(-beyond, beyond))
        .collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (lower, upper) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    if lower == upper {
        lower
    } else {
        f64::midpoint(lower, upper)
    }
}
