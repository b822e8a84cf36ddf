//! The first screen: within 80 columns and 24 lines, what the run answers.

use super::Screen;
use super::gate;
use super::grid::{Cell, Grid};
use super::layout::labelled;
use super::matrix;
use super::notes::{Note, alarms, errors, facts, verdict, warnings, warnings_of_each};
use super::numbers::counted;
use super::ranking::{Ranking, ranked};
use super::subjects::Row;
use super::table;
use super::text::{Line, Tone, clean, fitted, joined, wrapped};
use crate::result::{Gate, Run, Scenario};

/// Lines of the smallest terminal.
pub const LINES_MAX: usize = 24;
/// Subjects in the table of a screen; the details show them all.
const SUBJECTS_SHOWN: usize = 8;
/// A name keeps so many columns before figures are left out for it, and so many in any case.
const SUBJECT_COLUMNS: usize = 24;
const SUBJECT_COLUMNS_MIN: usize = 12;
/// Lines of a gate's metrics on a screen.
const GATE_LINES: usize = 12;
/// Columns of the labels before facts.
const LABEL_ROOM: usize = 10;

/// What the run answers, at most [`LINES_MAX`] lines and never wider than the screen. `files` are
/// the paths where the rest lies, the most useful one first.
pub fn first_screen(run: &Run, screen: Screen, files: &[String]) -> String {
    let columns = screen.columns();
    let Some(body) = body(run, columns) else {
        return joined(&nothing_measured(run, columns, files), screen.colour);
    };
    let rest = |left_out| rest_lines(files, left_out, columns);
    joined(&fitting(body, rest), screen.colour)
}

/// Lines that stay together, after an empty one.
#[derive(Debug)]
struct Part {
    lines: Vec<(u8, Vec<Line>)>,
    is_apart: bool,
}

impl Part {
    fn new(expendable: u8, lines: Vec<Line>) -> Self {
        Self {
            lines: vec![(expendable, lines)],
            is_apart: true,
        }
    }

    fn notes(notes: &[Note], columns: usize) -> Self {
        Self {
            lines: note_lines(notes, columns),
            is_apart: true,
        }
    }

    fn add_to(self, lines: &mut Vec<Line>) {
        if self.is_apart && !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.extend(self.lines.into_iter().flat_map(|(_, lines)| lines));
    }

    fn height(&self) -> usize {
        self.lines.iter().map(|(_, lines)| lines.len()).sum()
    }
}

fn body(run: &Run, columns: usize) -> Option<Vec<Part>> {
    if let Some(gate) = gate::of(run) {
        return Some(gate_parts(run, gate, columns));
    }
    let scenario = run.scenarios.first()?;
    let of_each: Vec<(Vec<Row<'_>>, Ranking)> = run
        .scenarios
        .iter()
        .map(|scenario| ranked(run, scenario))
        .collect();
    let all: Vec<Row<'_>> = of_each.iter().flat_map(|(rows, _)| rows.clone()).collect();
    if all.is_empty() && run.searches.is_empty() {
        return None;
    }
    let mut parts = vec![Part::notes(&alarms(run, &all), columns)];
    parts.push(title(run, scenario, columns));
    // Probes of a search and engines of different scenarios have no figures in common.
    let (grids, alike) = match of_each.as_slice() {
        _ if !run.searches.is_empty() => {
            parts.push(Part::notes(
                &verdict(run, &all, &Ranking::default()),
                columns,
            ));
            (vec![table::searches(run)], &[][..])
        }
        [(rows, ranking)] => {
            parts.push(Part::notes(&verdict(run, rows, ranking), columns));
            (vec![table::table(run, rows, ranking)], rows.as_slice())
        }
        several => {
            parts.push(Part::notes(&matrix::verdicts(several), columns));
            (matrix::grids(several, columns), &[][..])
        }
    };
    let tables = grids.into_iter().map(|grid| table_lines(grid, columns));
    parts.extend(tables.map(|lines| Part::new(0, lines)));
    let loud = if of_each.len() > 1 && run.searches.is_empty() {
        warnings_of_each(run, of_each.iter().map(|(rows, _)| rows.as_slice()))
    } else {
        warnings(run, alike)
    };
    parts.push(Part::notes(&loud, columns));
    parts.push(Part::notes(&facts(run, alike), columns));
    Some(parts)
}

/// Verdicts first, whatever else there is to be said.
fn gate_parts(run: &Run, gate: &Gate, columns: usize) -> Vec<Part> {
    let verdicts = gate::verdicts(run, gate);
    let room = verdicts.iter().map(|note| note.label.len()).max();
    // Every head has its verdict before it, whatever that of the head above is.
    let line = |note: &Note| {
        let cell = Cell::of(note.tone, note.text.clone());
        labelled(note.label, room.unwrap_or(0), &cell, columns, 0)
    };
    let mut parts = vec![Part::new(0, verdicts.iter().flat_map(line).collect())];
    let table = gate::table(run, gate, GATE_LINES);
    if !table.rows.is_empty() {
        parts.push(Part::new(0, table.narrowed(columns).lines(columns)));
    }
    let mut loud = gate::remarks(run, gate);
    loud.extend(
        alarms(run, &[])
            .into_iter()
            .filter(|note| note.label != "INCOMPLETE"),
    );
    loud.extend(warnings(run, &[]));
    parts.push(Part::notes(&loud, columns));
    let mut quiet = gate::facts(run, gate);
    quiet.extend(facts(run, &[]));
    parts.push(Part::notes(&quiet, columns));
    parts
}

fn title(run: &Run, scenario: &Scenario, columns: usize) -> Part {
    let (name, title, question) = match run.scenarios.as_slice() {
        [_] => (
            clean(&scenario.name),
            clean(&scenario.title),
            clean(&scenario.question),
        ),
        several => (
            run.kind.to_string(),
            format!("{} scenarios", several.len()),
            String::new(),
        ),
    };
    let room = columns.saturating_sub(name.chars().count() + 2);
    let name = fitted(&name, columns);
    let head = Line::of(Tone::Strong, name).and(Tone::Faint, format!("  {}", fitted(&title, room)));
    let mut part = Part::new(0, vec![head]);
    if !question.is_empty() {
        let lines = wrapped(&question, columns).into_iter();
        part.lines
            .push((4, lines.map(|line| Line::of(Tone::Faint, line)).collect()));
    }
    part
}

fn table_lines(mut grid: Grid, columns: usize) -> Vec<Line> {
    let subjects = grid.rows.len();
    grid.rows.truncate(SUBJECTS_SHOWN);
    let engine = grid
        .columns
        .iter()
        .position(|column| column.title == "engine")
        .unwrap_or(0);
    let grid = grid
        .with_cut_column(engine, columns, SUBJECT_COLUMNS)
        .narrowed(columns)
        .with_cut_column(engine, columns, SUBJECT_COLUMNS_MIN);
    let mut lines = grid.lines(columns);
    if subjects > SUBJECTS_SHOWN {
        let more = format!("and {} more in the details", subjects - SUBJECTS_SHOWN);
        lines.push(Line::of(Tone::Faint, more));
    }
    lines
}

/// Notes with their labels in a column of their own; those without take the whole width.
fn note_lines(notes: &[Note], columns: usize) -> Vec<(u8, Vec<Line>)> {
    let room = notes.iter().map(|note| note.label.chars().count()).max();
    // Facts of every run begin in the same column.
    let room = match room.unwrap_or(0) {
        none @ 0..=1 => none,
        some => some.max(LABEL_ROOM),
    };
    let lines = |(index, note): (usize, &Note)| {
        let repeats = index > 0 && notes[index - 1].label == note.label && note.label.len() > 1;
        let label = if repeats { "" } else { note.label };
        let cell = Cell::of(note.tone, note.text.clone());
        (note.expendable, labelled(label, room, &cell, columns, 0))
    };
    notes.iter().enumerate().map(lines).collect()
}

/// Where the rest lies, with how many remarks there was no room for.
fn rest_lines(files: &[String], left_out: usize, columns: usize) -> Vec<Line> {
    let mut text = match left_out {
        0 => "--details".to_owned(),
        more => format!(
            "--details ({} left out here)",
            counted(more as u64, "remark")
        ),
    };
    for file in files {
        text.push_str(&format!(", {}", clean(file)));
    }
    labelled("the rest", LABEL_ROOM, &Cell::from(text), columns, 0)
}

fn nothing_measured(run: &Run, columns: usize, files: &[String]) -> Vec<Line> {
    let name = run.scenarios.first().map(|scenario| clean(&scenario.name));
    let name = name.unwrap_or_else(|| run.kind.to_string());
    let mut lines = vec![Line::of(
        Tone::Bad,
        format!("{name}: nothing was measured."),
    )];
    let mut reasons = errors(run);
    if reasons.is_empty() {
        let skipped = run.subjects.iter().filter_map(|subject| {
            let why = subject.skipped_why.as_deref()?;
            Some(format!(
                "{} was skipped: {}",
                clean(&subject.id),
                clean(why)
            ))
        });
        reasons = skipped.collect();
    }
    if reasons.is_empty() {
        reasons.push("It ended before the first request.".to_owned());
    }
    for reason in reasons.iter().take(2) {
        lines.extend(wrapped(reason, columns).into_iter().map(Line::plain));
    }
    if !files.is_empty() {
        lines.extend(rest_lines(files, 0, columns));
    }
    lines
}

/// Leaves out what is expendable, the most expendable first, until everything fits; the last lines
/// say where the rest lies.
fn fitting(mut parts: Vec<Part>, rest: impl Fn(usize) -> Vec<Line>) -> Vec<Line> {
    let mut left_out = 0;
    parts.retain(|part| part.height() > 0);
    parts.push(Part::new(0, rest(0)));
    loop {
        let gaps = parts.iter().skip(1).filter(|part| part.is_apart).count();
        let height: usize = parts.iter().map(Part::height).sum::<usize>() + gaps;
        if height <= LINES_MAX {
            break;
        }
        let orders = parts
            .iter()
            .flat_map(|part| &part.lines)
            .map(|(order, _)| *order);
        match orders.max() {
            Some(order) if order > 0 => {
                drop_last(&mut parts, order);
                left_out += 1;
                parts.pop();
                parts.retain(|part| part.height() > 0);
                parts.push(Part::new(0, rest(left_out)));
            }
            _ if gaps > 0 => close_last_gap(&mut parts),
            _ => break,
        }
    }
    let last = parts.pop();
    let mut lines = Vec::new();
    for part in parts {
        part.add_to(&mut lines);
    }
    if let Some(last) = last {
        // Alarms may fill a screen alone; where the rest lies is said all the same.
        lines.truncate(LINES_MAX - last.height());
        last.add_to(&mut lines);
        lines.truncate(LINES_MAX);
    }
    lines
}

fn drop_last(parts: &mut [Part], order: u8) {
    for part in parts.iter_mut().rev() {
        if let Some(at) = part.lines.iter().rposition(|(own, _)| *own == order) {
            part.lines.remove(at);
            return;
        }
    }
}

fn close_last_gap(parts: &mut [Part]) {
    if let Some(part) = parts.iter_mut().skip(1).rev().find(|part| part.is_apart) {
        part.is_apart = false;
    }
}
