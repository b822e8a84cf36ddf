//! The tables of a comparison: the figures of all results together, and the differences of one of
//! them from the first.

use super::{OfEach, letter};
use crate::compare::{Difference, Held, Matched, Source};
use crate::result::{Good, Metric, Search};
use crate::stats::Summary;
use crate::view::grid::{Cell, Column, Grid, left, right};
use crate::view::numbers::{NOTHING, of_metric, or_nothing, significant, times};
use crate::view::ranking::Ranking;
use crate::view::subjects::Row;
use crate::view::table::{self, Show};
use crate::view::text::{Tone, clean};

/// The table of a single result, with a row for each result that has the subject.
pub(super) fn together(
    matched: &Matched<'_>,
    of_each: &OfEach<'_>,
    chosen: &[&'static Metric],
) -> Grid {
    let all: Vec<Row<'_>> = of_each
        .iter()
        .flatten()
        .flat_map(|(rows, _)| rows.clone())
        .collect();
    let columns = if chosen.is_empty() {
        table::columns(&all, &Ranking::default(), None)
    } else {
        metric_columns(chosen)
    };
    let mut heads: Vec<Column> = columns.iter().map(|(column, _)| column.clone()).collect();
    heads.insert(1, left(""));
    let mut grid = Grid::new(heads).repeating(if chosen.is_empty() { 0 } else { 2 });
    for id in in_order(matched, of_each) {
        let mut is_first = true;
        for (index, source) in of_each.iter().enumerate() {
            let Some((rows, _)) = source else { continue };
            let row = rows.iter().find(|row| row.subject.id == id);
            let mut cells = row.map_or_else(
                || absent(id, columns.len()),
                |row| columns.iter().map(|(_, show)| show(row)).collect(),
            );
            if !std::mem::take(&mut is_first) {
                cells[0] = "".into();
            }
            cells.insert(1, Cell::of(Tone::Faint, letter(index)));
            grid.push(cells);
        }
    }
    grid
}

/// The subjects in the order of the first result that has rows at all.
pub(super) fn in_order<'a>(matched: &Matched<'a>, of_each: &OfEach<'_>) -> Vec<&'a str> {
    let mut all = of_each.iter().flatten();
    let first = all.find(|(rows, _)| !rows.is_empty());
    let order = |id: &str| {
        let rows = first.map(|(rows, _)| rows);
        let at = rows.and_then(|rows| rows.iter().position(|row| row.subject.id == id));
        at.unwrap_or(usize::MAX)
    };
    let mut subjects: Vec<&str> = matched.subjects.iter().map(|one| one.id).collect();
    subjects.sort_by_key(|id| order(id));
    subjects
}

fn absent(id: &str, columns: usize) -> Vec<Cell> {
    let mut cells = vec![Cell::of(Tone::Faint, NOTHING); columns];
    cells[0] = clean(id).into();
    if let Some(last) = cells.last_mut() {
        *last = Cell::of(Tone::Warn, "absent");
    }
    cells
}

/// The metrics that the user chose, of a single result.
pub(super) fn of_metrics(rows: &[Row<'_>], chosen: &[&'static Metric]) -> Grid {
    let columns = metric_columns(chosen);
    let heads = columns.iter().map(|(column, _)| column.clone()).collect();
    let mut grid = Grid::new(heads).repeating(1);
    for row in rows {
        grid.push(columns.iter().map(|(_, show)| show(row)).collect());
    }
    grid
}

fn metric_columns(chosen: &[&'static Metric]) -> Vec<(Column, Show)> {
    let mut columns: Vec<(Column, Show)> = vec![(left("engine"), Box::new(table::name))];
    for metric in chosen.iter().copied() {
        let show = move |row: &Row<'_>| {
            or_nothing(row.value(metric.id), |value| of_metric(metric, value)).into()
        };
        columns.push((right(metric.id), Box::new(show)));
    }
    columns.push((left("audit"), Box::new(table::audit)));
    columns
}

/// The highest rates that hold in the first result and in another, of those who were searched in
/// both.
pub(super) fn held_rates(matched: &Matched<'_>, sources: &[Source<'_>], source: usize) -> Grid {
    let (base, other) = (letter(0), letter(source));
    let mut grid = Grid::new(vec![
        left("engine"),
        right(&format!("{base}\nholds/s")),
        right(&format!("{other}\nholds/s")),
        right(&format!("{other} by {base}")),
        right(&format!("{base} holds of\nsaturated")),
        right(&format!("{other} holds of\nsaturated")),
    ]);
    let search = |index: usize, id: &str| -> Option<&Search> {
        let name = &matched.of_each[index]?.name;
        let mut searches = sources[index].run.searches.iter();
        searches.find(|one| one.scenario == *name && one.subject == id)
    };
    for subject in &matched.subjects {
        let Some((one, another)) = search(0, subject.id).zip(search(source, subject.id)) else {
            continue;
        };
        let ratio = one.holds_per_s.zip(another.holds_per_s);
        let ratio = ratio.map(|(base, other)| other / base);
        let of_saturated = |search: &Search| {
            let both = search.holds_per_s.zip(search.saturated_per_s);
            or_nothing(both, |(holds, saturated)| times(holds / saturated))
        };
        grid.push(vec![
            clean(subject.id).into(),
            or_nothing(one.holds_per_s, significant).into(),
            or_nothing(another.holds_per_s, significant).into(),
            Cell::of(Tone::Strong, or_nothing(ratio, times)),
            of_saturated(one).into(),
            of_saturated(another).into(),
        ]);
    }
    grid
}

/// Differences of one result from the first, by subject; all are paired, or none is.
pub(super) fn differences(differences: &[&Difference], source: usize, paired: bool) -> Grid {
    let (base, other) = (letter(0), letter(source));
    let ratio = format!("{other} by {base}");
    let mut columns = vec![left("metric"), right(&base)];
    if paired {
        columns.extend([
            right(&other),
            right(&ratio),
            right("interval"),
            right("rounds"),
        ]);
    } else {
        columns.extend([
            right("min–max").expendable(2),
            right(&other),
            right("min–max").expendable(1),
            right(&ratio),
        ]);
    }
    let mut grid = Grid::new(columns);
    let mut subject = "";
    for difference in differences {
        if difference.subject != subject {
            subject = &difference.subject;
            grid.push_heading(&clean(subject));
        }
        grid.push(cells(difference));
    }
    grid
}

fn cells(difference: &Difference) -> Vec<Cell> {
    let metric = &difference.metric;
    let better = match metric.good() {
        Good::Up => "↑",
        Good::Down => "↓",
        Good::Neutral | Good::Other(_) => " ",
    };
    let (base, other) = difference.middles();
    let name = format!("{better} {}", metric.id);
    let ratio = Cell::of(Tone::Strong, or_nothing(difference.ratio, times));
    let (base, other) = (figure(metric, base), figure(metric, other));
    match difference.held {
        Held::Apart => vec![
            name.into(),
            base.into(),
            range(metric, &difference.base),
            other.into(),
            range(metric, &difference.other),
            ratio,
        ],
        Held::Paired {
            rounds,
            min,
            max,
            interval,
        } => {
            let (lower, upper) = interval.unwrap_or((min, max));
            let text = format!("{}–{}", significant(lower), significant(upper));
            vec![
                name.into(),
                base.into(),
                other.into(),
                ratio,
                Cell::of(
                    Tone::Faint,
                    if rounds == 1 {
                        NOTHING.to_owned()
                    } else {
                        text
                    },
                ),
                rounds.to_string().into(),
            ]
        }
    }
}

/// The unit stands at the end of the metric's id already, and seconds may be more than milliseconds.
fn figure(metric: &Metric, value: f64) -> String {
    match metric.unit {
        "" | "ms" => of_metric(metric, value),
        _ => significant(value),
    }
}

/// Least and greatest, where there is more than one.
fn range(metric: &Metric, summary: &Summary) -> Cell {
    let text = match summary.rounds() {
        1 => NOTHING.to_owned(),
        _ => {
            let (least, greatest) = (figure(metric, summary.min), figure(metric, summary.max));
            // A unit that both have is said once.
            let unit = |figure: &str| figure.find(|one: char| one.is_whitespace());
            let least = match (unit(&least), unit(&greatest)) {
                (Some(at), Some(other)) if least[at..] == greatest[other..] => &least[..at],
                _ => least.as_str(),
            };
            format!("{least}–{greatest}")
        }
    };
    Cell::of(Tone::Faint, text)
}
