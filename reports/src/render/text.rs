//! Blocks as plain text for a terminal. Tables are never folded to its width, so that their lines
//! can be searched.

use comfy_table::{
    CellAlignment, ContentArrangement, Table as Drawn, presets::UTF8_FULL_CONDENSED,
};

use super::document::{Align, Block, Table};

pub(super) fn render(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        if !text.is_empty() {
            text.push('\n');
        }
        match block {
            Block::Title(line) => {
                text.push_str(&format!("{line}\n{}\n", "=".repeat(line.chars().count())))
            }
            Block::Heading(line) => text.push_str(&format!("{line}\n")),
            Block::Paragraph(line) => text.push_str(&format!("{line}\n")),
            Block::Warning(line) => text.push_str(&format!("! {line}\n")),
            Block::List(lines) => lines
                .iter()
                .for_each(|line| text.push_str(&format!("- {line}\n"))),
            Block::Table(table) => text.push_str(&format!("{}\n", drawn(table))),
        }
    }
    text
}

fn drawn(table: &Table) -> Drawn {
    let mut drawn = Drawn::new();
    drawn.load_style(UTF8_FULL_CONDENSED);
    drawn.set_content_arrangement(ContentArrangement::Disabled);
    drawn.set_header(table.columns.iter().map(|column| &column.title));
    for row in &table.rows {
        drawn.add_row(row);
    }
    for (column, drawn) in table.columns.iter().zip(drawn.column_iter_mut()) {
        if column.align == Align::Right {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
    }
    drawn
}
