//! Tables and lists of the text views as HTML: the same figures, in cells that can be copied.

use crate::view::grid::{Align, Cell, Grid};
use crate::view::page::Block;
use crate::view::text::Tone;
use maud::{Markup, html};

/// `title`: of what stands before the first heading among them.
pub(super) fn drawn(title: &str, blocks: &[Block]) -> Markup {
    let mut heading = title;
    let titled = blocks.iter().map(|block| {
        if let Block::Heading(text) = block {
            heading = text;
        }
        (heading, block)
    });
    html! {
        @for (heading, block) in titled {
            @match block {
                Block::Heading(text) => h4 { (text) },
                Block::Text(tone, text) => p class=[class(*tone)] { (text) },
                Block::Facts(facts) => (fact_list(facts)),
                Block::Table(grid) => (table(heading, grid)),
                Block::Drawing(lines) => pre { (lines.join("\n")) },
            }
        }
    }
}

fn fact_list(facts: &[(String, Cell)]) -> Markup {
    html! {
        dl.facts {
            @for (name, cell) in facts {
                div { dt { (name) } dd class=[class(cell.tone)] { (cell.text) } }
            }
        }
    }
}

/// Wider tables scroll within their own place, never with the page. `title`: what it is of, for those
/// who cannot see it.
pub(super) fn table(title: &str, grid: &Grid) -> Markup {
    let columns = grid.columns.len();
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table.figures {
                thead {
                    tr {
                        @for column in &grid.columns {
                            th scope="col" class=[align(column.align)] {
                                (column.title.replace('\n', " "))
                            }
                        }
                    }
                }
                tbody {
                    @for row in &grid.rows {
                        tr {
                            @if row.len() == columns {
                                @for (cell, column) in row.iter().zip(&grid.columns) {
                                    (table_cell(cell, column.align))
                                }
                            } @else {
                                @for cell in row { th.group scope="rowgroup" colspan=(columns) { (cell.text) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table_cell(cell: &Cell, align_as: Align) -> Markup {
    let classes = [align(align_as), class(cell.tone)].map(|class| class.unwrap_or_default());
    let classes = classes.join(" ");
    let classes = classes.trim();
    html! {
        td class=[(!classes.is_empty()).then_some(classes)] { (cell.text.trim_start()) }
    }
}

/// Most cells are figures, so it is the others that are named.
fn align(align: Align) -> Option<&'static str> {
    (align == Align::Left).then_some("l")
}

pub(super) fn class(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Strong => Some("strong"),
        Tone::Faint => Some("faint"),
        Tone::Good => Some("good"),
        Tone::Warn => Some("warn"),
        Tone::Bad => Some("bad"),
    }
}
