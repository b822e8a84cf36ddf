//! The main table: one line per subject, best first, with the figures that decide.

use super::grid::{Cell, Column, Grid, left, right};
use super::numbers::{grouped, ms, or_nothing, significant, times};
use super::ranking::Ranking;
use super::subjects::{Audit, Row};
use super::text::{Tone, clean};
use crate::result::{Run, Search, Standing, metric};
use crate::stats;
use std::collections::BTreeMap;

pub(super) type Show = Box<dyn Fn(&Row<'_>) -> Cell>;

/// A grid of all columns; what does not fit goes by its order.
pub(super) fn table(run: &Run, rows: &[Row<'_>], ranking: &Ranking) -> Grid {
    let columns = columns(rows, ranking, against_null(run, rows));
    let mut grid = Grid::new(columns.iter().map(|(column, _)| column.clone()).collect());
    for row in rows {
        grid.push(columns.iter().map(|(_, show)| show(row)).collect());
    }
    grid
}

/// The columns that some of the rows fill; `against_null` is one of them that a run has only by
/// itself.
pub(super) fn columns(
    rows: &[Row<'_>],
    ranking: &Ranking,
    against_null: Option<(Column, Show)>,
) -> Vec<(Column, Show)> {
    let mut columns: Vec<(Column, Show)> = Vec::new();
    if !ranking.places.is_empty() {
        let ranking = ranking.clone();
        let place = move |row: &Row<'_>| or_nothing(ranking.place(&row.subject.id), |place| place);
        columns.push((right("#"), Box::new(move |row| place(row).into())));
    }
    columns.push((left("engine"), Box::new(name)));
    if rows.iter().any(Row::is_open) {
        let offered = |row: &Row<'_>| {
            let phase = row.phase();
            or_nothing(phase.and_then(|phase| phase.offered_per_s), significant).into()
        };
        columns.push((right("offered/s"), Box::new(offered)));
    }
    columns.push((right("finished/s"), shown("throughput_per_s", significant)));
    if rows
        .iter()
        .any(|row| row.range("throughput_per_s").is_some())
    {
        let range = |row: &Row<'_>| {
            let range = row.range("throughput_per_s");
            let show =
                |(least, greatest)| format!("{}–{}", significant(least), significant(greatest));
            Cell::of(Tone::Faint, or_nothing(range, show))
        };
        columns.push((right("min–max").expendable(5), Box::new(range)));
    }
    columns.extend(latencies(rows));
    columns.push((
        right("CPU µs\n/request"),
        shown("cpu_us_per_request", significant),
    ));
    columns.push((
        right("CPU µs\n/order").expendable(1),
        shown("cpu_us_per_order", significant),
    ));
    columns.extend(against_null);
    columns.extend(losses(rows));
    columns.push((left("audit"), Box::new(audit)));
    columns
}

fn latencies(rows: &[Row<'_>]) -> Vec<(Column, Show)> {
    let p99 = |tone| -> Show {
        Box::new(move |row: &Row<'_>| Cell::of(tone, or_nothing(row.value("p99_ms"), ms)))
    };
    if rows.iter().any(Row::is_storm) {
        return vec![
            (right("P99 of\naccepted"), shown("p99_accepted_ms", ms)),
            (right("P99 of\nrefused"), shown("p99_refused_ms", ms)),
        ];
    }
    vec![
        (right("P50").expendable(7), shown("p50_ms", ms)),
        (right("P99"), p99(Tone::Plain)),
        (right("P99.9").expendable(8), shown("p999_ms", ms)),
    ]
}

/// Throughput by that of the engine that decides nothing, round by round.
fn against_null(run: &Run, rows: &[Row<'_>]) -> Option<(Column, Show)> {
    let scenario = &rows.first()?.scenario.name;
    let null = stats::ceiling(run, scenario)?;
    if rows.len() < 2 || rows.iter().any(Row::is_open) {
        return None;
    }
    let throughput = metric("throughput_per_s").expect("a metric of the registry");
    let ratio = |row: &Row<'_>| {
        let id = &row.subject.id;
        let ratios = stats::ratios(run, scenario, throughput, id, &null.id)?.summary;
        Some((id.clone(), ratios.median.unwrap_or_else(|| ratios.middle())))
    };
    let others = rows.iter().filter(|row| row.subject.id != null.id);
    let ratios: BTreeMap<String, f64> = others.filter_map(ratio).collect();
    let show =
        move |row: &Row<'_>| or_nothing(ratios.get(&row.subject.id), |own| times(*own)).into();
    let title = format!("of\n{}", clean(&null.id));
    Some((right(&title).expendable(4), Box::new(show)))
}

/// Requests that failed or were never sent, where there are any.
fn losses(rows: &[Row<'_>]) -> Vec<(Column, Show)> {
    let mut columns: Vec<(Column, Show)> = Vec::new();
    for (title, id) in [("failed", "errors"), ("dropped", "dropped")] {
        let any = rows.iter().any(|row| row.value(id).unwrap_or(0.0) > 0.0);
        if any {
            let show = move |row: &Row<'_>| {
                let count = row.value(id).unwrap_or(0.0);
                let tone = if count > 0.0 { Tone::Bad } else { Tone::Plain };
                Cell::of(tone, grouped(count.round() as u64))
            };
            columns.push((right(title).expendable(3), Box::new(show)));
        }
    }
    columns
}

fn shown(id: &'static str, show: fn(f64) -> String) -> Show {
    Box::new(move |row| or_nothing(row.value(id), show).into())
}

pub(super) fn name(row: &Row<'_>) -> Cell {
    let name = clean(&row.subject.id);
    match row.subject.standing {
        Standing::Ranked => Cell::of(Tone::Strong, name),
        Standing::Unsafe => Cell::of(Tone::Plain, format!("{name} (unsafe)")),
        _ => Cell::of(Tone::Faint, name),
    }
}

pub(super) fn audit(row: &Row<'_>) -> Cell {
    match row.audit() {
        Audit::NotReached if !row.is_complete() => Cell::of(Tone::Warn, "cut short"),
        audit => audit_cell(audit),
    }
}

fn audit_cell(audit: Audit) -> Cell {
    let tone = match audit {
        Audit::Passed | Audit::Caught => Tone::Good,
        Audit::Failed | Audit::NotCaught => Tone::Bad,
        Audit::NotApplicable => Tone::Faint,
        Audit::NotReached => Tone::Warn,
    };
    Cell::of(tone, audit.shown())
}

/// Capacities, best first.
pub(super) fn searches(run: &Run) -> Grid {
    let mut grid = Grid::new(vec![
        left("engine"),
        right("holds/s"),
        right("fails/s"),
        right("saturated/s"),
        right("holds of\nsaturated"),
        right("legs").expendable(1),
        left("why it fails").expendable(2),
    ]);
    let mut searches: Vec<&Search> = run.searches.iter().collect();
    let held = |search: &Search| search.holds_per_s.unwrap_or(0.0);
    searches.sort_by(|a, b| held(b).total_cmp(&held(a)));
    for search in searches {
        let share = search.holds_per_s.zip(search.saturated_per_s);
        let fails = search.probes.iter().filter(|probe| !probe.met);
        let why = fails.min_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
        grid.push(vec![
            Cell::of(Tone::Strong, clean(&search.subject)),
            or_nothing(search.holds_per_s, significant).into(),
            or_nothing(search.fails_per_s, significant).into(),
            or_nothing(search.saturated_per_s, significant).into(),
            or_nothing(share, |(holds, saturated)| times(holds / saturated)).into(),
            search.probes.len().to_string().into(),
            or_nothing(why, |probe| clean(&probe.why)).into(),
        ]);
    }
    grid
}
