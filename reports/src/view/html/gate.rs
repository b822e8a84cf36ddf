//! The verdict of a gate: for each head, how each metric moved, with the bounds of the estimate and
//! the threshold that it was held against.

use super::plot::{Axis, Frame};
use crate::result::{Gate, GateHead, GateMetric, Good, Run, Verdict, metric};
use crate::view::numbers::{NOTHING, counted, significant};
use crate::view::text::clean;
use maud::{Markup, html};

/// Height of one metric in a forest plot.
const ROW_PX: u32 = 40;
/// Half of the narrowest axis.
const SHIFT_MIN_LN: f64 = 0.02;

/// One line per head, as large as the answer of any other run.
pub(super) fn answer(run: &Run, gate: &Gate) -> Markup {
    html! {
        @for head in &gate.heads {
            p class={ "answer " (class(&head.verdict)) } { (sentence(run, gate, head)) }
        }
        @if gate.heads.is_empty() { p.answer { "No head was compared." } }
    }
}

fn sentence(run: &Run, gate: &Gate, head: &GateHead) -> String {
    let name = clean(&head.subject);
    let base = clean(&gate.base);
    let word = word(&head.verdict);
    if head.identical {
        return format!("{word}: {name} is the same binary as {base}.");
    }
    let decisive = head
        .metrics
        .iter()
        .filter(|metric| metric.verdict == head.verdict && metric.verdict != Verdict::Pass);
    let said: Vec<String> = decisive
        .map(|metric| format!("{} {}", title(metric), shift(metric.hl_ln.0)))
        .collect();
    let failed_audit = run.legs.iter().any(|leg| {
        leg.subject == head.subject
            && leg
                .audit
                .as_ref()
                .is_some_and(|audit| audit.failed_checks().next().is_some())
    });
    match said.as_slice() {
        _ if failed_audit => format!("{word}: the audit of {name} failed."),
        [] => format!("{word}: {name} against {base}, every metric within its threshold."),
        said => format!("{word}: {name} against {base}, {}.", said.join(", ")),
    }
}

fn word(verdict: &Verdict) -> String {
    verdict.as_str().to_uppercase()
}

fn class(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::Fail => "bad",
        _ => "warn",
    }
}

fn title(of: &GateMetric) -> String {
    metric(&of.metric).map_or_else(|_| clean(&of.metric), |known| known.title.to_owned())
}

/// `+4.2 %`, or what stands for an infinite shift.
fn shift(ln: f64) -> String {
    match ln {
        f64::INFINITY => "+∞".to_owned(),
        f64::NEG_INFINITY => "−100\u{a0}%".to_owned(),
        ln if ln.is_nan() => NOTHING.to_owned(),
        0.0 => "0\u{a0}%".to_owned(),
        ln => format!("{:+.1}\u{a0}%", ln.exp_m1() * 100.0).replace('-', "−"),
    }
}

/// `4.2 %`: how large, whatever the direction.
fn size(ln: f64) -> String {
    format!("{:.1}\u{a0}%", ln.exp_m1().abs() * 100.0)
}

pub(super) fn section(run: &Run, gate: &Gate) -> Markup {
    let voided: u64 = gate.voided.values().sum();
    let reasons: Vec<String> = gate
        .voided
        .iter()
        .map(|(reason, count)| format!("{} {count}", clean(reason)))
        .collect();
    html! {
        section {
            h2 { "Gate" }
            @for head in &gate.heads { (forest(head)) }
            p.caption {
                "Ratio of head to base, block by block: the dot is the Hodges–Lehmann estimate, the line its bounds, \
                 small dots the blocks. Shaded is what the threshold forbids. Latency was measured at "
                (significant(gate.rate_per_s)) "/s."
            }
            @if voided > 0 {
                p { (counted(voided, "block")) " did not count: " (reasons.join(", ")) "." }
            }
            @for head in gate.heads.iter().filter(|head| !head.instructions.is_empty()) {
                (instructions(head))
            }
            p.meta { "Base: " (clean(&gate.base)) ", " (build(run, &gate.base)) }
        }
    }
}

fn build(run: &Run, subject: &str) -> String {
    run.subject(subject).map_or_else(String::new, |subject| {
        let commit: String = clean(&subject.build.commit).chars().take(12).collect();
        format!("commit {commit}")
    })
}

fn forest(head: &GateHead) -> Markup {
    let axis = axis(head);
    let about: Vec<String> = head
        .metrics
        .iter()
        .map(|metric| {
            format!(
                "{} {} between {} and {}, threshold {}, {}",
                title(metric),
                shift(metric.hl_ln.0),
                shift(metric.adverse_lower_ln.0),
                shift(metric.adverse_upper_ln.0),
                shift(metric.threshold_ln),
                metric.verdict
            )
        })
        .collect();
    let about = format!("{}: {}", clean(&head.subject), about.join("; "));
    let ticks = round_shifts(&axis).into_iter();
    let x: Vec<(f64, String)> = ticks.map(|tick| (axis.share(tick), shift(tick))).collect();
    let frame = Frame {
        height_px: ROW_PX * head.metrics.len() as u32,
        about: &about,
        x: &x,
        y: &[],
    };
    html! {
        figure.forest {
            h3 { (clean(&head.subject)) " " span class={ "badge " (class(&head.verdict)) } { (word(&head.verdict)) } }
            @if head.identical { p { "The same binary as the base, so nothing was measured." } }
            @if !head.metrics.is_empty() {
                (frame.drawn(&html! {
                    @for (index, metric) in head.metrics.iter().enumerate() {
                        (line(metric, index as u32 * ROW_PX, &axis))
                    }
                }))
                (figures(head))
            }
        }
    }
}

/// Around no change, as wide as what was measured; what is infinite is drawn at the edge.
fn axis(head: &GateHead) -> Axis {
    let shifts = head.metrics.iter().flat_map(|metric| {
        let blocks = metric.d.iter().map(|d| d.0);
        blocks.chain([
            metric.adverse_lower_ln.0,
            metric.adverse_upper_ln.0,
            metric.hl_ln.0,
            metric.threshold_ln * 1.2,
        ])
    });
    let finite = shifts.filter(|ln| ln.is_finite()).map(f64::abs);
    let widest = finite.fold(SHIFT_MIN_LN, f64::max) * 1.1;
    Axis::between(-widest, widest)
}

/// No change, and two round ones to either side.
fn round_shifts(axis: &Axis) -> Vec<f64> {
    let is_within = |ln: f64| (0.0..1.0).contains(&axis.share(ln)) && axis.share(ln) > 0.0;
    let greatest = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01]
        .into_iter()
        .find(|share: &f64| is_within((-share).ln_1p()));
    let greatest = greatest.unwrap_or(0.005);
    let shares = [-greatest, -greatest / 2.0, 0.0, greatest / 2.0, greatest];
    shares.map(f64::ln_1p).to_vec()
}

fn line(of: &GateMetric, top: u32, axis: &Axis) -> Markup {
    let middle = top + ROW_PX / 2 + 5;
    let at = |ln: f64| super::plot::percent(axis.share(ln));
    let is_up = metric(&of.metric).is_ok_and(|known| known.good() == Good::Up);
    let threshold = of.threshold_ln.abs();
    let (from, to) = if is_up {
        (0.0, axis.share(-threshold))
    } else {
        (axis.share(threshold), 1.0)
    };
    html! {
        rect.forbidden x=(super::plot::percent(from)) width=(super::plot::percent(to - from))
            y=(top + 2) height=(ROW_PX - 4) {}
        line.zero x1=(at(0.0)) x2=(at(0.0)) y1=(top) y2=(top + ROW_PX) {}
        text.name x="0.5%" y=(top + 13) { (title(of)) }
        @for d in &of.d { circle.round cx=(at(d.0)) cy=(middle) r="2" {} }
        line.whisker x1=(at(of.adverse_lower_ln.0)) x2=(at(of.adverse_upper_ln.0)) y1=(middle) y2=(middle) {}
        circle class={ "dot " (class(&of.verdict)) } cx=(at(of.hl_ln.0)) cy=(middle) r="5" {
            title { (title(of)) ": " (shift(of.hl_ln.0)) }
        }
    }
}

fn figures(head: &GateHead) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="table" {
            table.figures {
                thead {
                    tr {
                        th scope="col" { "metric" } th.r scope="col" { "estimate" } th.r scope="col" { "bounds" }
                        th.r scope="col" { "threshold" } th.r scope="col" { "p" } th.r scope="col" { "spread" }
                        th.r scope="col" { "smallest visible shift" } th.r scope="col" { "blocks" } th scope="col" { "verdict" }
                    }
                }
                tbody {
                    @for metric in &head.metrics {
                        tr {
                            td { (title(metric)) }
                            td.r.strong { (shift(metric.hl_ln.0)) }
                            td.r { (shift(metric.adverse_lower_ln.0)) " to " (shift(metric.adverse_upper_ln.0)) }
                            td.r { (shift(metric.threshold_ln)) }
                            td.r { (significant(metric.p_one_sided)) }
                            td.r { (size(metric.spread)) }
                            td.r { (size(metric.detectable_ln)) }
                            td.r { (metric.d.len()) }
                            td class=(class(&metric.verdict)) { (word(&metric.verdict)) }
                        }
                    }
                }
            }
        }
    }
}

fn instructions(head: &GateHead) -> Markup {
    html! {
        details {
            summary { "Instruction counts, " (clean(&head.subject)) " by base" }
            div.scroll tabindex="0" role="region" aria-label="table" {
                table.figures {
                    thead { tr { th scope="col" { "benchmark" } th.r scope="col" { "change" } } }
                    tbody {
                        @for (name, ratio) in &head.instructions {
                            tr { td { (clean(name)) } td.r { (shift(ratio.ln())) } }
                        }
                    }
                }
            }
        }
    }
}
