//! A run as GitHub-flavoured Markdown for a pull request or a notebook. Text from outside is escaped
//! where it could break a table or pass for markup.

use super::details;
use super::gate;
use super::grid::{Align, Grid};
use super::matrix;
use super::notes::{Note, alarms, errors_in_full, facts, verdict, warnings, warnings_of_each};
use super::page::Block;
use super::ranking::{Ranking, ranked};
use super::subjects::Row;
use super::table;
use super::text::{NO_BREAK, clean, shell_command};
use crate::result::{Gate, Run};
use std::fmt::Write;

/// What the first screen says, then the details folded away.
pub fn markdown(run: &Run) -> String {
    if let Some(gate) = gate::of(run) {
        return gate_text(run, gate);
    }
    let mut text = String::new();
    let name = match run.scenarios.as_slice() {
        [only] => format!("{}: {}", clean(&only.name), clean(&only.title)),
        several => format!("{}: {} scenarios", run.kind, several.len()),
    };
    let _ = writeln!(text, "# {}\n", escaped(&name));
    let parts = run.scenarios.iter().map(|scenario| ranked(run, scenario));
    let parts: Vec<(Vec<Row<'_>>, Ranking)> = parts.collect();
    let all: Vec<Row<'_>> = parts.iter().flat_map(|(rows, _)| rows.clone()).collect();
    let mut body = String::new();
    if run.scenarios.len() > 1 && run.searches.is_empty() {
        for note in matrix::verdicts(&parts) {
            let _ = writeln!(body, "- {}", escaped(&note.text));
        }
        body.push('\n');
        for grid in matrix::grids(&parts, usize::MAX) {
            let _ = writeln!(body, "{}", table(&grid));
        }
    }
    for (scenario, (rows, ranking)) in run.scenarios.iter().zip(&parts) {
        if run.scenarios.len() > 1 {
            let _ = writeln!(body, "## {}\n", escaped(&clean(&scenario.name)));
        }
        let _ = writeln!(body, "{}\n", escaped(&clean(&scenario.question)));
        if !rows.is_empty() {
            body.push_str(&scenario_text(run, rows, ranking));
        }
    }
    for note in alarms(run, &all) {
        let _ = writeln!(text, "> **{}**: {}\n", note.label, escaped(&note.text));
    }
    if all.is_empty() && run.searches.is_empty() {
        let reasons = errors_in_full(run);
        let why = if reasons.is_empty() {
            String::new()
        } else {
            ": ".to_owned()
        };
        let _ = writeln!(
            text,
            "Nothing was measured{why}{}.\n",
            escaped(&reasons.join("; "))
        );
    }
    text.push_str(&body);
    if !run.searches.is_empty() {
        text.push_str(&table(&table::searches(run)));
        text.push('\n');
    }
    // Probes of a search and engines of different scenarios have no figures in common.
    let is_alike = run.scenarios.len() == 1 && run.searches.is_empty();
    let alike: &[Row<'_>] = if is_alike { &all } else { &[] };
    let loud = if run.scenarios.len() > 1 && run.searches.is_empty() {
        warnings_of_each(run, parts.iter().map(|(rows, _)| rows.as_slice()))
    } else {
        warnings(run, alike)
    };
    text.push_str(&list(&loud));
    text.push_str(&list(&facts(run, alike)));
    text.push_str("<details><summary>All figures</summary>\n\n");
    for block in details::blocks(run) {
        text.push_str(&drawn(&block));
        text.push('\n');
    }
    text.push_str("</details>\n");
    text
}

/// Short enough for a comment on a pull request, with the evidence folded away.
fn gate_text(run: &Run, gate: &Gate) -> String {
    let mut text = "# Regression gate\n\n".to_owned();
    for note in gate::verdicts(run, gate) {
        let _ = writeln!(text, "**{}** {}\n", note.label, escaped(&note.text));
    }
    let grid = gate::table(run, gate, usize::MAX);
    if !grid.rows.is_empty() {
        text.push_str(&table(&grid));
        text.push('\n');
    }
    let mut notes = gate::remarks(run, gate);
    notes.extend(
        alarms(run, &[])
            .into_iter()
            .filter(|note| note.label != "INCOMPLETE"),
    );
    notes.extend(warnings(run, &[]));
    notes.extend(gate::facts(run, gate));
    notes.extend(facts(run, &[]));
    text.push_str(&list(&notes));
    text.push_str("<details><summary>Evidence</summary>\n\n");
    for block in gate::evidence(run, gate) {
        text.push_str(&drawn(&block));
        text.push('\n');
    }
    let _ = writeln!(text, "Again: {}\n", code(&shell_command(&run.command)));
    text.push_str("</details>\n");
    text
}

fn scenario_text(run: &Run, rows: &[Row<'_>], ranking: &Ranking) -> String {
    let mut text = String::new();
    let searched = !run.searches.is_empty();
    for note in verdict(run, rows, ranking) {
        let _ = writeln!(text, "**{}**\n", escaped(&note.text));
    }
    if !searched {
        text.push_str(&table(&table::table(run, rows, ranking)));
        text.push('\n');
    }
    text
}

fn list(notes: &[Note]) -> String {
    let mut text = String::new();
    for note in notes {
        let label = match note.label {
            "!" => "**note**",
            label => label,
        };
        let _ = writeln!(text, "- {label}: {}", escaped(&note.text));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

pub(super) fn drawn(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("### {}\n", escaped(text)),
        Block::Text(_, text) => format!("{}\n", escaped(text)),
        Block::Facts(facts) => {
            let line = |(name, cell): &(String, super::grid::Cell)| {
                format!("- {}: {}\n", escaped(name), escaped(&cell.text))
            };
            facts.iter().map(line).collect()
        }
        Block::Table(grid) => table(grid),
        Block::Drawing(lines) => {
            let lines = lines.join("\n").replace(NO_BREAK, " ");
            format!("```text\n{}\n```\n", lines.replace("```", "'''"))
        }
    }
}

fn table(grid: &Grid) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let titles = grid
        .columns
        .iter()
        .map(|column| escaped(&column.title.replace('\n', " ")));
    let mut text = row(titles.collect());
    let rules = grid.columns.iter().map(|column| match column.align {
        Align::Left => "---".to_owned(),
        Align::Right => "---:".to_owned(),
    });
    text.push_str(&row(rules.collect()));
    for cells in &grid.rows {
        text.push_str(&row(cells.iter().map(|cell| escaped(&cell.text)).collect()));
    }
    text
}

/// As it is, between more backticks than it holds.
fn code(text: &str) -> String {
    let runs = text.split(|letter| letter != '`').map(str::len);
    let longest = runs.max().unwrap_or(0);
    match longest {
        0 => format!("`{text}`"),
        longest => {
            let fence = "`".repeat(longest + 1);
            format!("{fence} {text} {fence}")
        }
    }
}

/// Of no width, so that a comment calls nobody and links to nothing: GitHub looks for names, numbers
/// of issues and addresses in what is shown, where a backslash is gone.
const APART: &str = "&#8203;";

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        let rest = &text[at + letter.len_utf8()..];
        match letter {
            '\\' | '|' | '*' | '_' | '`' | '<' | '[' | '#' | '~' | '&' => {
                escaped.extend(['\\', letter]);
            }
            '\n' | '\r' | NO_BREAK => escaped.push(' '),
            letter => escaped.push(letter),
        }
        let is_called = match letter {
            '@' | '#' => rest.starts_with(char::is_alphanumeric),
            ':' => rest.starts_with("//"),
            'w' | 'W' if rest.starts_with('.') => text[..=at].to_ascii_lowercase().ends_with("www"),
            _ => false,
        };
        if is_called {
            escaped.push_str(APART);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_calls_nobody_and_links_to_nothing() {
        for (text, expected) in [
            ("by @somebody", "by @&#8203;somebody"),
            ("at @ 2.5 GHz", "at @ 2.5 GHz"),
            ("&commat;somebody", "\\&commat;somebody"),
            ("owner/name#12", "owner/name\\#&#8203;12"),
            ("https://a.example", "https:&#8203;//a.example"),
            ("see WWW.a.example", "see WWW&#8203;.a.example"),
            ("a new.", "a new."),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn code_ends_where_it_is_meant_to() {
        assert_eq!(code("lab bench"), "`lab bench`");
        assert_eq!(code("'a``b'"), "``` 'a``b' ```");
    }
}
