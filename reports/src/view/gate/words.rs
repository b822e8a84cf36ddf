//! Figures of a gate in words: changes in per cent, limits, names.

use crate::result::{Gate, GateHead, GateMetric, Run, Verdict, metric};
use crate::view::text::{Tone, clean};

/// Digits of a commit that tell it apart.
const COMMIT_DIGITS: usize = 12;

pub(super) fn verdict(verdict: &Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::Pass => ("PASS", Tone::Good),
        Verdict::Fail => ("FAIL", Tone::Bad),
        Verdict::Inconclusive => ("INCONCLUSIVE", Tone::Warn),
        Verdict::Other(_) => ("UNKNOWN", Tone::Warn),
    }
}

/// Of a head. Where nothing was measured, only what is known for certain stays so.
pub(in crate::view) fn head_verdict(gate: &Gate, head: &GateHead) -> (&'static str, Tone) {
    match gate.not_measured {
        Some(_) if head.cause.is_none() => ("NOT MEASURED", Tone::Bad),
        _ => verdict(&head.verdict),
    }
}

/// Of a metric; nothing before the first look, and nothing where there is no verdict at all.
pub(in crate::view) fn metric_verdict(gate: &Gate, metric: &GateMetric) -> (&'static str, Tone) {
    match metric.look {
        _ if gate.not_measured.is_some() => ("–", Tone::Faint),
        0 => ("–", Tone::Faint),
        _ => verdict(&metric.verdict),
    }
}

/// A head with its commit.
pub(in crate::view) fn head_name(run: &Run, head: &GateHead) -> String {
    subject_name(run, &head.subject)
}

pub(super) fn subject_name(run: &Run, id: &str) -> String {
    let build = run.subject(id).map(|subject| &subject.build);
    let commit = build.map_or("", |build| build.commit.as_str());
    let dirty = if build.is_some_and(|build| build.dirty) {
        ", changed"
    } else {
        ""
    };
    let commit: String = clean(commit).chars().take(COMMIT_DIGITS).collect();
    match commit.is_empty() {
        true => clean(id),
        false => format!("{} ({commit}{dirty})", clean(id)),
    }
}

/// Short enough for a table of many columns; the registry's title where there is no shorter one.
pub(in crate::view) fn short_title(id: &str) -> String {
    match id {
        "throughput_per_s" => "throughput".to_owned(),
        "cpu_us_per_request" | "cpu_us_per_request_drained" => "CPU/request".to_owned(),
        id => metric(id).map_or_else(|_| clean(id), |metric| metric.title.to_owned()),
    }
}

/// A logarithm of a ratio as a change: `+25.1 %`.
pub(in crate::view) fn change(ln: f64) -> String {
    match ln {
        f64::INFINITY => "+∞\u{a0}%".to_owned(),
        ln if ln.is_nan() => "–".to_owned(),
        ln => {
            let percent = (ln.exp() - 1.0) * 100.0;
            // Rounding must leave no "-0.0".
            let percent = if percent.abs() < 0.05 { 0.0 } else { percent };
            format!("{percent:+.1}\u{a0}%")
        }
    }
}

/// Both bounds of an estimate; nothing where there are too few blocks for any.
pub(in crate::view) fn bounds(metric: &GateMetric) -> String {
    let (lower, upper) = (metric.adverse_lower_ln.0, metric.adverse_upper_ln.0);
    if lower == f64::NEG_INFINITY && upper == f64::INFINITY {
        return "–".to_owned();
    }
    let lower = change(lower).replace("\u{a0}%", "");
    format!("{lower} to {}", change(upper))
}

pub(in crate::view) fn limit(metric: &GateMetric) -> String {
    change(metric.threshold_ln)
}

/// The smallest shift that could have been seen; nothing where there is no spread to tell it by, or
/// too few blocks for any.
pub(super) fn visible(metric: &GateMetric) -> String {
    match has_spread(metric) && metric.detectable_ln.is_finite() {
        true => change(metric.detectable_ln),
        false => "–".to_owned(),
    }
}

pub(super) fn spread(metric: &GateMetric) -> String {
    match has_spread(metric) {
        true => share(metric.spread),
        false => "–".to_owned(),
    }
}

fn has_spread(metric: &GateMetric) -> bool {
    metric.d.iter().filter(|d| d.0.is_finite()).count() >= 2
}

fn share(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

/// A probability with the digits that decide.
pub(super) fn exact(p: f64) -> String {
    match p {
        p if p < 0.000_1 => "<.0001".to_owned(),
        p if p < 1.0 => format!("{p:.4}").trim_start_matches('0').to_owned(),
        _ => "1".to_owned(),
    }
}
