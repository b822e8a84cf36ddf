//! A page of blocks as one HTML file without scripts that needs nothing else. Every text is escaped.

use super::grid::{Align, Cell, Grid};
use super::page::Block;
use super::text::{NO_BREAK, Tone};
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}\
body{max-width:72rem;margin:2rem auto;padding:0 1rem}\
div{overflow-x:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;white-space:nowrap}\
td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:bottom}\
tr>.right{text-align:right}\
th{font-weight:600;border-bottom:1px solid GrayText}\
dl{display:grid;grid-template-columns:max-content auto;gap:.1rem 1rem}\
dd{margin:0;overflow-wrap:anywhere}\
.strong{font-weight:600}.faint{opacity:.75}\
.good{color:light-dark(#14692b,#7bd88f)}\
.warn{color:light-dark(#855300,#f0c674)}\
.bad{color:light-dark(#b00020,#ff8a80);font-weight:600}";

/// A whole document.
pub(super) fn page(title: &str, blocks: &[Block]) -> String {
    let mut text = String::new();
    let _ = write!(
        text,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escaped(title)
    );
    for block in blocks {
        text.push_str(&drawn(block));
    }
    text.push_str("</body>\n</html>\n");
    text
}

fn drawn(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("<h2>{}</h2>\n", escaped(text)),
        Block::Text(tone, text) => format!("<p{}>{}</p>\n", class(*tone, false), escaped(text)),
        Block::Facts(facts) => {
            let line = |(name, cell): &(String, Cell)| {
                format!(
                    "<dt>{}</dt><dd{}>{}</dd>\n",
                    escaped(name),
                    class(cell.tone, false),
                    escaped(&cell.text)
                )
            };
            let lines: String = facts.iter().map(line).collect();
            format!("<dl>\n{lines}</dl>\n")
        }
        Block::Table(grid) => table(grid),
        Block::Drawing(lines) => format!("<pre>{}</pre>\n", escaped(&lines.join("\n"))),
    }
}

fn table(grid: &Grid) -> String {
    let mut text = "<div><table>\n<tr>".to_owned();
    for column in &grid.columns {
        let class = class(Tone::Plain, column.align == Align::Right);
        let title = escaped(&column.title).replace('\n', "<br>");
        let _ = write!(text, "<th scope=\"col\"{class}>{title}</th>");
    }
    text.push_str("</tr>\n");
    for row in &grid.rows {
        text.push_str("<tr>");
        match row.as_slice() {
            [heading] if grid.columns.len() > 1 => {
                let _ = write!(
                    text,
                    "<th scope=\"rowgroup\" colspan=\"{}\">{}</th>",
                    grid.columns.len(),
                    escaped(&heading.text)
                );
            }
            cells => {
                for (cell, column) in cells.iter().zip(&grid.columns) {
                    let class = class(cell.tone, column.align == Align::Right);
                    let _ = write!(text, "<td{class}>{}</td>", escaped(&cell.text));
                }
            }
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</table></div>\n");
    text
}

/// The attribute, with the space before it; empty for plain text on the left.
fn class(tone: Tone, is_right: bool) -> String {
    let tone = match tone {
        Tone::Plain => "",
        Tone::Strong => "strong",
        Tone::Faint => "faint",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    };
    let classes = [tone, if is_right { "right" } else { "" }];
    let classes: Vec<&str> = classes.into_iter().filter(|it| !it.is_empty()).collect();
    match classes.as_slice() {
        [] => String::new(),
        classes => format!(" class=\"{}\"", classes.join(" ")),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            NO_BREAK => escaped.push_str("&nbsp;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
