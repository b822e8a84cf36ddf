//! A gate as people read it: the verdict of each head first, then a line per metric with all that it
//! rests on, then the evidence. `junit` is for machines.

mod evidence;
mod junit;
mod words;

pub use junit::junit;

pub(super) use evidence::evidence;
pub(super) use words::{
    bounds, change, head_name, head_verdict, limit, metric_verdict, short_title,
};

use super::grid::{Cell, Column, Grid, left, right};
use super::notes::Note;
use super::numbers::{counted, significant};
use super::text::{Tone, clean};
use crate::result::{Gate, GateHead, GateMetric, Run, RunKind, Verdict};
use evidence::row_with;
use words::{exact, spread, visible};

/// The gate of a run that is one.
pub(super) fn of(run: &Run) -> Option<&Gate> {
    run.gate.as_ref().filter(|_| run.kind == RunKind::Gate)
}

/// One sentence per head, and before all of them why nothing was measured.
pub(super) fn verdicts(run: &Run, gate: &Gate) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some(why) = &gate.not_measured {
        notes.push(note("NOT MEASURED", Tone::Bad, clean(why)));
    }
    let is_told = |head: &&GateHead| {
        // What is known for certain stays so, whatever happened to the rest.
        gate.not_measured.is_none() || head.cause.is_some()
    };
    for head in gate.heads.iter().filter(is_told) {
        let (label, tone) = head_verdict(gate, head);
        let text = format!("{}: {}", head_name(run, head), reason(head));
        notes.push(note(label, tone, text));
    }
    if notes.is_empty() {
        notes.push(note(
            "NOT MEASURED",
            Tone::Bad,
            "there was no head".to_owned(),
        ));
    }
    notes
}

fn note(label: &'static str, tone: Tone, text: String) -> Note {
    Note {
        label,
        tone,
        text,
        expendable: 0,
    }
}

/// Why a head has its verdict.
pub(super) fn reason(head: &GateHead) -> String {
    if let Some(why) = &head.why {
        return clean(why);
    }
    let with = |verdict: Verdict| head.metrics.iter().filter(move |it| it.verdict == verdict);
    let of_each = |metrics: Vec<&GateMetric>| -> String {
        let said = metrics.iter().map(|metric| {
            let title = short_title(&metric.metric);
            format!(
                "{title} {} (limit {})",
                change(metric.hl_ln.0),
                limit(metric)
            )
        });
        said.collect::<Vec<_>>().join(", ")
    };
    match head.verdict {
        Verdict::Fail => match with(Verdict::Fail).collect::<Vec<_>>() {
            none if none.is_empty() => {
                let cause = head.cause.as_ref().map(|cause| clean(cause.as_str()));
                cause.unwrap_or_else(|| "for a reason that was not recorded".to_owned())
            }
            failing => of_each(failing),
        },
        Verdict::Pass => "no metric is worse by its limit or more".to_owned(),
        _ if head.is_open() => {
            let blocks = counted(head.blocks.len() as u64, "block");
            format!("undecided after {blocks}")
        }
        _ => match with(Verdict::Inconclusive).collect::<Vec<_>>().as_slice() {
            [] => head
                .remarks
                .first()
                .map_or_else(String::new, |remark| clean(remark)),
            metrics => {
                let seen = metrics.iter().map(|it| {
                    let seen = match it.detectable_ln.is_finite() {
                        true => format!("seen from {} on", visible(it)),
                        false => "too few blocks to see any".to_owned(),
                    };
                    format!(
                        "{} {} (limit {}) at a spread of {}, {seen}",
                        short_title(&it.metric),
                        change(it.hl_ln.0),
                        limit(it),
                        spread(it),
                    )
                });
                format!("undecided: {}", seen.collect::<Vec<_>>().join("; "))
            }
        },
    }
}

/// A line per metric of each head. On a screen, which has room for so many lines, what did not decide
/// gives way: the figures of heads that failed by something else, then those of heads that pass.
pub(super) fn table(run: &Run, gate: &Gate, lines_max: usize) -> Grid {
    let mut heads: Vec<&GateHead> = gate.heads.iter().collect();
    heads.retain(|head| !head.metrics.is_empty());
    let gives_way: [fn(&GateHead) -> bool; 2] = [
        |head| head.cause.is_some(),
        |head| head.verdict == Verdict::Pass,
    ];
    for gives_way in gives_way {
        let lines: usize = heads.iter().map(|head| head.metrics.len() + 1).sum();
        if lines > lines_max {
            heads.retain(|head| !gives_way(head));
        }
    }
    let mut grid = Grid::new(columns());
    for head in heads {
        if gate.heads.len() > 1 {
            grid.push_heading(&head_name(run, head));
        }
        for metric in &head.metrics {
            grid.push(row(gate, metric));
        }
    }
    grid
}

fn columns() -> Vec<Column> {
    vec![
        left("metric"),
        right("change"),
        right("bounds"),
        right("limit"),
        right("spread"),
        right("seen\nfrom"),
        right("p").expendable(1),
        left("verdict"),
    ]
}

fn row(gate: &Gate, metric: &GateMetric) -> Vec<Cell> {
    let p = exact(metric.p_adjusted.unwrap_or(metric.p_one_sided));
    row_with(gate, metric, [p])
}

/// What a reader must know besides the figures.
pub(super) fn remarks(run: &Run, gate: &Gate) -> Vec<Note> {
    let of_head = |head: &GateHead| -> Vec<String> {
        let name = match gate.heads.len() {
            1 => String::new(),
            _ => format!("{}: ", head_name(run, head)),
        };
        let remarks = head.remarks.iter();
        remarks
            .map(|remark| format!("{name}{}", clean(remark)))
            .collect()
    };
    let remarks = gate.heads.iter().flat_map(of_head);
    remarks.map(|text| note("!", Tone::Warn, text)).collect()
}

/// How it was measured.
pub(super) fn facts(run: &Run, gate: &Gate) -> Vec<Note> {
    let plain = |label, text| note(label, Tone::Plain, text);
    let base = words::subject_name(run, &gate.base);
    let mut notes = vec![plain("base", base)];
    let rate = significant(gate.rate_per_s);
    let blocks = gate.heads.iter().map(|head| head.blocks.len()).max();
    let mut measured = counted(blocks.unwrap_or(0) as u64, "block");
    let voided: u64 = gate.voided.values().sum();
    if voided > 0 {
        let reasons = gate.voided.iter();
        let reasons: Vec<String> = reasons
            .map(|(reason, times)| format!("{} {times}", clean(reason).replace('_', " ")))
            .collect();
        measured.push_str(&format!(", and {voided} void ({})", reasons.join(", ")));
    }
    notes.push(plain(
        "measured",
        format!("{measured}; P99 at {rate}/s offered"),
    ));
    for head in gate
        .heads
        .iter()
        .filter(|head| !head.instructions.is_empty())
    {
        let worst = head.instructions.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let Some((benchmark, ratio)) = worst else {
            continue;
        };
        let text = format!(
            "{}: {}, {} at most ({})",
            head_name(run, head),
            counted(head.instructions.len() as u64, "benchmark"),
            change(ratio.ln()),
            clean(benchmark)
        );
        let mut note = plain("instructions", text);
        note.expendable = 2;
        notes.push(note);
    }
    notes
}
