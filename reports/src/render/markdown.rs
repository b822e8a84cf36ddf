//! Blocks as GitHub-flavoured Markdown. Text from outside (scenario titles, server settings, error
//! messages) is escaped where it could break a table or pass for markup.

use super::document::{Align, Block, Table};

pub(super) fn render(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        if !text.is_empty() {
            text.push('\n');
        }
        match block {
            Block::Title(line) => text.push_str(&format!("# {}\n", escaped(line))),
            Block::Heading(line) => text.push_str(&format!("## {}\n", escaped(line))),
            Block::Paragraph(line) => text.push_str(&format!("{}\n", escaped(line))),
            Block::Warning(line) => text.push_str(&format!("> **{}**\n", escaped(line))),
            Block::List(lines) => {
                lines
                    .iter()
                    .for_each(|line| text.push_str(&format!("- {}\n", escaped(line))));
            }
            Block::Table(table) => text.push_str(&drawn(table)),
        }
    }
    text
}

fn drawn(table: &Table) -> String {
    let titles: Vec<String> = table
        .columns
        .iter()
        .map(|column| escaped(&column.title))
        .collect();
    let rules: Vec<&str> = table
        .columns
        .iter()
        .map(|column| {
            if column.align == Align::Right {
                "---:"
            } else {
                "---"
            }
        })
        .collect();
    let mut text = format!("| {} |\n| {} |\n", titles.join(" | "), rules.join(" | "));
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn escaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            '\\' | '|' | '*' | '`' | '<' => text.extend(['\\', letter]),
            '\n' | '\r' => text.push(' '),
            letter => text.push(letter),
        }
    }
    text
}
