//! Several scenarios of one run: engines × scenarios, what each does and what it costs beside it.
//! Each scenario is ranked by its own legs alone, and its best is marked only where it is separated
//! from every other.

use super::grid::{Cell, Column, Grid, left, right};
use super::notes::{Note, audits, leader};
use super::numbers::{NOTHING, ms, or_nothing, percent, significant};
use super::ranking::{Goal, Ranking, Spread};
use super::subjects::Row;
use super::table;
use super::text::{NO_BREAK, Tone, clean};

/// A scenario's name is broken at its hyphens into pieces of about this many letters.
const NAME_COLUMNS: usize = 10;
/// Behind the best, where it is separated from all others.
const BEST: &str = "*";

/// One scenario with its rows, best first.
pub(super) type OfScenario<'a> = (Vec<Row<'a>>, Ranking);

/// As many tables as it takes for none to be wider, a scenario never divided.
pub(super) fn grids(of_each: &[OfScenario<'_>], columns: usize) -> Vec<Grid> {
    let measured: Vec<&OfScenario<'_>> = of_each
        .iter()
        .filter(|(rows, _)| !rows.is_empty())
        .collect();
    let divided = |size: usize| -> Vec<Grid> {
        let parts = measured.chunks(size).map(|part| grid(part, columns));
        parts.map(|grid| grid.narrowed(columns)).collect()
    };
    let fits = |grids: &Vec<Grid>| grids.iter().all(|grid| grid.width() <= columns);
    let sizes = (1..=measured.len()).rev();
    let found = sizes.map(divided).find(fits);
    found.unwrap_or_else(|| divided(1))
}

/// Who is best in each scenario, then what the audits say together.
pub(super) fn verdicts(of_each: &[OfScenario<'_>]) -> Vec<Note> {
    let mut notes = Vec::new();
    for (rows, ranking) in of_each {
        let Some(row) = rows.first() else { continue };
        if let Some(text) = leader(rows, ranking) {
            let text = format!("{}: {text}", clean(&row.scenario.name));
            notes.push(Note::new("", Tone::Plain, text).expendable(2));
        }
    }
    if of_each
        .iter()
        .any(|(rows, ranking)| best(rows, ranking).is_some())
    {
        let text = format!("{BEST} best, and separated from every other engine of its scenario");
        notes.push(Note::new("", Tone::Faint, text));
    }
    let all: Vec<Row<'_>> = of_each.iter().flat_map(|(rows, _)| rows.clone()).collect();
    notes.extend(audits(&all));
    notes
}

/// What a scenario has to say of an engine, wherever it is drawn.
pub(super) struct Figures {
    /// The middle of its spread where there is one, else its median.
    pub value: Option<f64>,
    /// None of a subject outside the comparison: the bounds are those of the compared.
    pub spread: Option<Spread>,
    /// The only one in the first place.
    pub is_best: bool,
    pub cpu_us: Option<f64>,
}

/// Of a row among those of its scenario.
pub(super) fn figures(row: &Row<'_>, rows: &[Row<'_>], ranking: &Ranking) -> Figures {
    let id = row.subject.id.as_str();
    let spread = ranking.spreads.get(id).copied();
    let value = spread.map(|spread| spread.middle);
    let cost = match cost_name(rows) {
        "request" => "cpu_us_per_request",
        _ => "cpu_us_per_order",
    };
    Figures {
        value: value.or_else(|| row.value(ranking.goal.metric())),
        spread,
        is_best: best(rows, ranking) == Some(id),
        cpu_us: row.value(cost),
    }
}

/// What CPU is divided by. An order costs nearly nothing to refuse, so where most are refused it is
/// a request.
pub(super) fn cost_name(rows: &[Row<'_>]) -> &'static str {
    match rows.iter().any(Row::is_storm) {
        true => "request",
        false => "order",
    }
}

/// What the two ends of a spread are.
pub(super) fn spread_name(ranking: &Ranking) -> &'static str {
    match ranking.margin {
        Some(_) => "interval",
        None => "min–max",
    }
}

/// The only one in the first place.
fn best<'a>(rows: &'a [Row<'_>], ranking: &Ranking) -> Option<&'a str> {
    let mut ids = rows.iter().map(|row| row.subject.id.as_str());
    ids.find(|id| ranking.places.get(*id) == Some(&(1, 1)))
}

fn grid(of_each: &[&OfScenario<'_>], room: usize) -> Grid {
    let mut columns = vec![left("engine")];
    for (rows, ranking) in of_each {
        columns.extend(scenario_columns(rows, ranking, room));
    }
    columns.push(left("audits").expendable(1));
    let mut grid = Grid::new(columns);
    let mut subjects: Vec<&Row<'_>> = Vec::new();
    for row in of_each.iter().flat_map(|(rows, _)| rows) {
        if !subjects.iter().any(|one| one.subject.id == row.subject.id) {
            subjects.push(row);
        }
    }
    for subject in subjects {
        let id = &subject.subject.id;
        let mut cells = vec![table::name(subject)];
        let mut audits = Vec::new();
        for (rows, ranking) in of_each {
            let row = rows.iter().find(|row| row.subject.id == *id);
            cells.extend(scenario_cells(row, rows, ranking));
            audits.extend(row.map(|row| (row.audit().weight(), table::audit(row))));
        }
        let worst = audits.into_iter().max_by_key(|(weight, _)| *weight);
        cells.push(worst.map_or_else(|| NOTHING.into(), |(_, cell)| cell));
        grid.push(cells);
    }
    grid
}

fn scenario_columns(rows: &[Row<'_>], ranking: &Ranking, room: usize) -> Vec<Column> {
    let name = rows.first().map(|row| clean(&row.scenario.name));
    let name = name.unwrap_or_default();
    let name = if room == usize::MAX {
        name
    } else {
        broken(&name)
    };
    let goal = match ranking.goal {
        Goal::Throughput => "finished/s",
        Goal::Latency => "P99",
    };
    let margin = ranking
        .margin
        .map(|margin| format!("\n±{}", percent(margin)));
    let title = format!("{name}\n{goal}{}", margin.unwrap_or_default());
    let mut columns = vec![right(&title)];
    if !ranking.spreads.is_empty() {
        columns.push(right(spread_name(ranking)).expendable(2));
    }
    columns.push(right(&format!("CPU µs\n/{}", cost_name(rows))));
    columns
}

fn scenario_cells(row: Option<&Row<'_>>, rows: &[Row<'_>], ranking: &Ranking) -> Vec<Cell> {
    let Some(row) = row else {
        let columns = if ranking.spreads.is_empty() { 2 } else { 3 };
        return vec![Cell::of(Tone::Faint, NOTHING); columns];
    };
    let figures = figures(row, rows, ranking);
    let show = |value: f64| match ranking.goal {
        Goal::Throughput => significant(value),
        Goal::Latency => ms(value),
    };
    // A mark must not move the figure out of its column.
    let mark = match best(rows, ranking) {
        Some(_) if figures.is_best => format!("{NO_BREAK}{BEST}"),
        Some(_) => format!("{NO_BREAK}{NO_BREAK}"),
        None => String::new(),
    };
    let tone = match (figures.is_best, row.competes) {
        (true, _) => Tone::Good,
        (false, true) => Tone::Plain,
        (false, false) => Tone::Faint,
    };
    let interval = or_nothing(figures.spread, |spread| {
        format!("{}–{}", show(spread.lower), show(spread.upper))
    });
    let value = format!("{}{mark}", or_nothing(figures.value, show));
    let mut cells = vec![Cell::of(tone, value)];
    if !ranking.spreads.is_empty() {
        cells.push(Cell::of(Tone::Faint, interval));
    }
    cells.push(or_nothing(figures.cpu_us, significant).into());
    cells
}

/// `sold-out-storm` as `sold-out-` above `storm`.
fn broken(name: &str) -> String {
    let mut lines = vec![String::new()];
    for piece in name.split_inclusive('-') {
        let line = lines.last_mut().expect("never empty");
        if line.is_empty() || line.chars().count() + piece.chars().count() <= NAME_COLUMNS {
            line.push_str(piece);
        } else {
            lines.push(piece.to_owned());
        }
    }
    lines.join("\n")
}
