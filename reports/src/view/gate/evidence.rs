//! All that a verdict rests on, so that a reader can recompute it: every figure of every metric, the
//! difference of each block, and the errors of the looks.

use super::words::{
    bounds, change, exact, head_name, limit, metric_verdict, short_title, spread, visible,
};
use crate::result::{Gate, GateHead, GateLook, GateMetric, Run};
use crate::view::grid::{Cell, Grid, left, right};
use crate::view::page::Block;
use crate::view::text::{Tone, clean};

pub(in crate::view) fn evidence(run: &Run, gate: &Gate) -> Vec<Block> {
    let mut blocks = Vec::new();
    let measured = gate.heads.iter().filter(|head| !head.metrics.is_empty());
    for head in measured {
        blocks.push(Block::Heading(head_name(run, head)));
        blocks.push(Block::Table(metrics(gate, head)));
        blocks.push(Block::Table(differences(head)));
        if !head.instructions.is_empty() {
            blocks.push(Block::Table(instructions(head)));
        }
    }
    if let Some(text) = rules(&gate.looks) {
        blocks.push(Block::Text(Tone::Faint, text));
    }
    blocks
}

/// Everything about a metric, with these p values before its verdict.
pub(super) fn row_with<const N: usize>(
    gate: &Gate,
    metric: &GateMetric,
    p: [String; N],
) -> Vec<Cell> {
    let (label, tone) = metric_verdict(gate, metric);
    let mut cells = vec![
        short_title(&metric.metric).into(),
        Cell::of(Tone::Strong, change(metric.hl_ln.0)),
        bounds(metric).into(),
        limit(metric).into(),
        spread(metric).into(),
        visible(metric).into(),
    ];
    cells.extend(p.map(Cell::from));
    cells.push(Cell::of(tone, label));
    cells
}

fn metrics(gate: &Gate, head: &GateHead) -> Grid {
    let mut grid = Grid::new(vec![
        left("metric"),
        right("change"),
        right("bounds"),
        right("limit"),
        right("spread"),
        right("seen from"),
        right("p").expendable(2),
        right("p, Holm").expendable(1),
        left("verdict"),
    ]);
    for metric in &head.metrics {
        let adjusted = metric.p_adjusted.map_or_else(|| "–".to_owned(), exact);
        grid.push(row_with(
            gate,
            metric,
            [exact(metric.p_one_sided), adjusted],
        ));
    }
    grid
}

/// Head by base in each block.
fn differences(head: &GateHead) -> Grid {
    let mut columns = vec![right("block")];
    columns.extend(
        head.metrics
            .iter()
            .map(|it| right(&short_title(&it.metric))),
    );
    let mut grid = Grid::new(columns);
    let blocks = head.metrics.iter().map(|metric| metric.d.len()).max();
    for index in 0..blocks.unwrap_or(0) {
        let block = head
            .blocks
            .get(index)
            .map_or(index + 1, |block| *block as usize);
        let difference = |metric: &GateMetric| {
            let d = metric.d.get(index);
            d.map_or_else(|| "–".into(), |d| change(d.0).into())
        };
        let mut row: Vec<Cell> = vec![block.to_string().into()];
        row.extend(head.metrics.iter().map(difference));
        grid.push(row);
    }
    grid
}

fn instructions(head: &GateHead) -> Grid {
    let mut grid = Grid::new(vec![left("benchmark"), right("instructions")]);
    for (benchmark, ratio) in &head.instructions {
        grid.push(vec![clean(benchmark).into(), change(ratio.ln()).into()]);
    }
    grid
}

/// How it was decided, in words.
fn rules(looks: &[GateLook]) -> Option<String> {
    let look = |look: &GateLook| {
        format!(
            "after {} blocks a p of at most {}, and bounds with an error of {}",
            look.blocks,
            exact(look.alpha),
            exact(look.pass_error)
        )
    };
    let looks: Vec<String> = looks.iter().map(look).collect();
    (!looks.is_empty()).then(|| {
        format!(
            "Change: Hodges–Lehmann estimate of head by base over the blocks. p: exact signed-rank test, one-sided, \
             after Holm's correction over the metrics of a head. Fails: p small enough and the change beyond the \
             limit. Passes: the bound for the worse inside the limit, of every metric. Looks: {}. Seen from: the smallest \
             true change that fails nine times out of ten at this spread.",
            looks.join("; ")
        )
    })
}
