//! A page as a list of blocks, which the terminal and the Markdown draw in their own ways.

use super::grid::{Cell, Grid};
use super::layout::labelled;
use super::text::{Line, Tone, fitted, width, wrapped};

#[derive(Clone, Debug)]
pub(super) enum Block {
    Heading(String),
    /// A paragraph.
    Text(Tone, String),
    /// Names with their values.
    Facts(Vec<(String, Cell)>),
    Table(Grid),
    /// Text that must keep its columns, such as a sparkline below another.
    Drawing(Vec<String>),
}

/// Names take at most this share of the width.
const NAMES_SHARE: usize = 3;

/// The blocks within so many columns.
pub(super) fn drawn(blocks: &[Block], columns: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let follows_heading = index > 0 && matches!(blocks[index - 1], Block::Heading(_));
        if index > 0 && !follows_heading {
            lines.push(Line::default());
        }
        match block {
            Block::Heading(text) => lines.push(Line::of(Tone::Strong, fitted(text, columns))),
            Block::Text(tone, text) => {
                lines.extend(
                    wrapped(text, columns)
                        .into_iter()
                        .map(|line| Line::of(*tone, line)),
                );
            }
            Block::Facts(facts) => lines.extend(fact_lines(facts, columns)),
            Block::Table(grid) => lines.extend(grid.lines(columns)),
            Block::Drawing(rows) => {
                lines.extend(rows.iter().map(|row| Line::plain(fitted(row, columns))));
            }
        }
    }
    lines
}

fn fact_lines(facts: &[(String, Cell)], columns: usize) -> Vec<Line> {
    let room = facts.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let room = room.min(columns / NAMES_SHARE);
    let lines = facts
        .iter()
        .flat_map(|(name, cell)| labelled(name, room, cell, columns, 0));
    lines.collect()
}
