//! Head's counts against base's, in words and as a verdict.

use std::collections::BTreeMap;
use std::fmt;

use super::Counts;

/// With `--strict-instructions` a count that has grown by more than this fails the gate.
pub const STRICT_RATIO_MAX: f64 = 1.05;
/// Names of a list that are spelled out.
const NAMES_SHOWN: usize = 5;

/// Counts of two trees side by side. Nothing that one of them lacks is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// Head's instructions by base's, where both have counted.
    pub ratios: BTreeMap<String, f64>,
    /// What only base has counted, in order.
    pub only_base: Vec<String>,
    /// What only head has counted, in order: new benches, or a base from before them.
    pub only_head: Vec<String>,
}

/// Puts the counts of `head` against those of `base`.
pub fn compare(base: &Counts, head: &Counts) -> Compared {
    let (base, head) = (&base.instructions, &head.instructions);
    let only = |these: &BTreeMap<String, u64>, others: &BTreeMap<String, u64>| {
        let missing = these.keys().filter(|name| !others.contains_key(*name));
        missing.cloned().collect()
    };
    let ratio = |(name, count): (&String, &u64)| {
        let before = *base.get(name)?;
        Some((name.clone(), *count as f64 / before as f64))
    };
    Compared {
        ratios: head.iter().filter_map(ratio).collect(),
        only_base: only(base, head),
        only_head: only(head, base),
    }
}

impl Compared {
    /// What has grown most, or shrunk least, with its ratio; `None` where nothing is in both.
    pub fn worst(&self) -> Option<(&str, f64)> {
        let all = self.ratios.iter();
        let worst = all.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        Some((worst.0, *worst.1))
    }
}

impl fmt::Display for Compared {
    /// One line, as a gate tells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction counts: ")?;
        match self.worst() {
            Some((name, ratio)) => write!(
                f,
                "{} compared, the worst {} ({name})",
                self.ratios.len(),
                change(ratio)
            )?,
            None => write!(f, "nothing in common")?,
        }
        for (side, names) in [("base", &self.only_base), ("head", &self.only_head)] {
            if !names.is_empty() {
                write!(f, "; in {side} only: {}", listed(names))?;
            }
        }
        Ok(())
    }
}

/// What a gate says where one side has no counts, as in `not measured (no valgrind; …)`. Only
/// `--strict-instructions` makes it an error.
pub fn not_measured(reason: &anyhow::Error) -> String {
    // The first line says it; what follows is output of cargo.
    let reason = format!("{reason:#}");
    let first = reason.lines().next().unwrap_or_default();
    format!("instruction counts: not measured ({first})")
}

/// As in `+12.5 % instructions`.
fn change(ratio: f64) -> String {
    format!("{:+.2} % instructions", (ratio - 1.0) * 100.0)
}

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMES_SHOWN)].join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
