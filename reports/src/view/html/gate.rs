//! A gate on a page: what the text views say of it, and for each head how each metric moved, with
//! the bounds of the estimate, against what the threshold forbids. Verdicts and figures are those of
//! [`crate::view::gate`]; only the drawing is made here.

use super::plot::{Axis, Frame, percent};
use super::{blocks, notes};
use crate::result::{Gate, GateHead, GateMetric, Good, Run, metric};
use crate::view::gate;
use maud::{Markup, html};

/// Height of one metric in a forest plot.
const ROW_PX: u32 = 40;
/// Half of the narrowest axis.
const SHIFT_MIN_LN: f64 = 0.02;

/// One line per head, as large as the answer of any other run, and above them why nothing was
/// measured.
pub(super) fn answer(run: &Run, of: &Gate) -> Markup {
    html! {
        @for note in gate::verdicts(run, of) {
            p class={ "answer " (blocks::class(note.tone).unwrap_or_default()) } {
                (note.label) ": " (note.text)
            }
        }
    }
}

pub(super) fn section(run: &Run, of: &Gate) -> Markup {
    let table = gate::table(run, of, usize::MAX);
    let drawn: Vec<&GateHead> = of
        .heads
        .iter()
        .filter(|head| !head.metrics.is_empty())
        .collect();
    let evidence = gate::evidence(run, of);
    html! {
        section {
            h2 { "Gate" }
            @if !table.rows.is_empty() { (blocks::table("Gate", &table)) }
            @for head in &drawn { (forest(run, of, head)) }
            @if !drawn.is_empty() {
                p.caption {
                    "Ratio of head to base, block by block: the large dot is the Hodges–Lehmann estimate, the line its \
                     bounds, small dots the blocks. Shaded is what the limit forbids; what is infinite is drawn at \
                     the edge."
                }
            }
            (notes::warnings(&gate::remarks(run, of)))
            (notes::facts(&gate::facts(run, of)))
            @if !evidence.is_empty() {
                details {
                    summary { "Evidence" }
                    (blocks::drawn("Evidence", &evidence))
                }
            }
        }
    }
}

fn forest(run: &Run, of: &Gate, head: &GateHead) -> Markup {
    let axis = axis(head);
    let name = gate::head_name(run, head);
    let (verdict, tone) = gate::head_verdict(of, head);
    let about = head.metrics.iter().map(|metric| {
        format!(
            "{} {}, bounds {}, limit {}, {}",
            gate::short_title(&metric.metric),
            gate::change(metric.hl_ln.0),
            gate::bounds(metric),
            gate::limit(metric),
            gate::metric_verdict(of, metric).0
        )
    });
    let about = format!("{name}: {}", about.collect::<Vec<_>>().join("; "));
    let ticks = round_shifts(&axis).into_iter();
    let x: Vec<(f64, String)> = ticks
        .map(|tick| (axis.share(tick), gate::change(tick)))
        .collect();
    let frame = Frame {
        height_px: ROW_PX * head.metrics.len() as u32,
        about: &about,
        x: &x,
        y: &[],
    };
    html! {
        figure.forest {
            h3 {
                (name) " "
                span class={ "badge " (blocks::class(tone).unwrap_or_default()) } { (verdict) }
            }
            (frame.drawn(&html! {
                @for (index, metric) in head.metrics.iter().enumerate() {
                    (line(of, metric, index as u32 * ROW_PX, &axis))
                }
            }))
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

fn line(whole: &Gate, of: &GateMetric, top: u32, axis: &Axis) -> Markup {
    let middle = top + ROW_PX / 2 + 5;
    let at = |ln: f64| percent(axis.share(ln));
    let is_up = metric(&of.metric).is_ok_and(|known| known.good() == Good::Up);
    let threshold = of.threshold_ln.abs();
    let title = gate::short_title(&of.metric);
    let (_, tone) = gate::metric_verdict(whole, of);
    // Too few blocks for any.
    let has_bounds = of.adverse_lower_ln.0.is_finite() || of.adverse_upper_ln.0.is_finite();
    let (from, to) = if is_up {
        (0.0, axis.share(-threshold))
    } else {
        (axis.share(threshold), 1.0)
    };
    html! {
        rect.forbidden x=(percent(from)) width=(percent(to - from))
            y=(top + 2) height=(ROW_PX - 4) {}
        line.zero x1=(at(0.0)) x2=(at(0.0)) y1=(top) y2=(top + ROW_PX) {}
        text.name x="0.5%" y=(top + 13) { (title) }
        @for d in &of.d { circle.round cx=(at(d.0)) cy=(middle) r="2" {} }
        @if has_bounds {
            line.whisker x1=(at(of.adverse_lower_ln.0)) x2=(at(of.adverse_upper_ln.0)) y1=(middle) y2=(middle) {}
        }
        circle class={ "dot " (blocks::class(tone).unwrap_or_default()) } cx=(at(of.hl_ln.0)) cy=(middle) r="5" {
            title { (title) ": " (gate::change(of.hl_ln.0)) }
        }
    }
}
