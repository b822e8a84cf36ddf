//! Several results as one page: who is who, the same table as that of a single result, and by how
//! much the others differ from the first. For a terminal, as Markdown, and as a file for a browser.

mod tables;

use super::Screen;
use super::grid::Cell;
use super::markdown;
use super::notes::{Note, alarms, verdict, warnings, warnings_of_each};
use super::numbers::{counted, percent};
use super::page::{Block, drawn};
use super::page_html;
use super::phrases;
use super::ranking::{Ranking, ranked};
use super::subjects::Row;
use super::table;
use super::text::{Tone, clean, joined};
use crate::compare::{Comparison, Held, Matched, Missing, Source};
use crate::result::{Run, Scenario, StackRecord};
use std::collections::BTreeMap;

/// For a terminal of this width.
pub fn comparison(comparison: &Comparison<'_>, screen: Screen) -> String {
    joined(&drawn(&blocks(comparison), screen.columns()), screen.colour)
}

/// For a pull request or a notebook.
pub fn comparison_markdown(comparison: &Comparison<'_>) -> String {
    let blocks: Vec<String> = blocks(comparison).iter().map(markdown::drawn).collect();
    blocks.join("\n")
}

/// One file that needs no other.
pub fn comparison_html(comparison: &Comparison<'_>) -> String {
    let names: Vec<String> = comparison
        .sources
        .iter()
        .map(|source| clean(source.path))
        .collect();
    page_html::page(&names.join(", "), &blocks(comparison))
}

/// `A` for the first result, `B` for the second; behind `Z` follow `R27`, `R28`, ….
fn letter(source: usize) -> String {
    match u8::try_from(source).ok().filter(|it| *it < 26) {
        Some(index) => char::from(b'A' + index).to_string(),
        None => format!("R{}", source + 1),
    }
}

fn blocks(comparison: &Comparison<'_>) -> Vec<Block> {
    let sources = &comparison.sources;
    let is_one = sources.len() == 1;
    let mut blocks = Vec::new();
    if !is_one {
        blocks.push(Block::Facts(legend(sources)));
    }
    for unlike in &comparison.allowed {
        let text = format!("Unlike, and allowed to be: {}.", clean(&unlike.to_string()));
        blocks.push(Block::Text(Tone::Warn, text));
    }
    let of_each: Vec<OfEach<'_>> = comparison
        .scenarios
        .iter()
        .map(|matched| rows(sources, matched))
        .collect();
    for (index, source) in sources.iter().enumerate() {
        let rows: Vec<Row<'_>> = of_each
            .iter()
            .filter_map(|of_each| of_each[index].as_ref())
            .flat_map(|(rows, _)| rows.clone())
            .collect();
        let letter = if is_one {
            String::new()
        } else {
            format!("{}: ", letter(index))
        };
        blocks.extend(alarm_texts(source.run, &rows, &letter));
        blocks.extend(warning_texts(source.run, &rows, &letter));
    }
    for (index, source) in sources.iter().enumerate().skip(1) {
        let unlike = unlike_servers(&sources[0].run.stack, &source.run.stack, &letter(index));
        blocks.extend(unlike.map(|text| Block::Text(Tone::Warn, text)));
    }
    for (matched, of_each) in comparison.scenarios.iter().zip(&of_each) {
        blocks.extend(scenario(comparison, matched, of_each));
    }
    blocks.extend(remarks(comparison));
    let run = sources[0].run;
    let durable = phrases::durability(&run.durability, &run.machine);
    blocks.push(Block::Facts(vec![
        ("durable".to_owned(), durable.into()),
        ("machine".to_owned(), phrases::machine(&run.machine).into()),
    ]));
    blocks
}

/// The rows of one scenario in each result that has it, best first.
type OfEach<'a> = Vec<Option<(Vec<Row<'a>>, Ranking)>>;

fn rows<'a>(sources: &[Source<'a>], matched: &Matched<'a>) -> OfEach<'a> {
    let of = |(source, scenario): (&Source<'a>, &Option<&'a crate::result::Scenario>)| {
        let (mut rows, ranking) = ranked(source.run, (*scenario)?);
        rows.retain(|row| {
            let mut wanted = matched.subjects.iter();
            wanted.any(|subject| subject.id == row.subject.id)
        });
        Some((rows, ranking))
    };
    sources.iter().zip(&matched.of_each).map(of).collect()
}

/// Who is who.
fn legend(sources: &[Source<'_>]) -> Vec<(String, Cell)> {
    let of = |(index, source): (usize, &Source<'_>)| {
        let run = source.run;
        let mut parts = vec![clean(source.path)];
        parts.extend(run.name.as_deref().map(clean));
        parts.push(format!("run {}", clean(&run.id)));
        parts.extend(commits(run));
        parts.push(counted(run.legs.len() as u64, "leg"));
        (letter(index), Cell::from(parts.join(", ")))
    };
    sources.iter().enumerate().map(of).collect()
}

/// What the measured system was built from, where that is one commit.
fn commits(run: &Run) -> Option<String> {
    let measured = run.subjects.iter().filter(|one| one.skipped_why.is_none());
    let mut builds: Vec<_> = measured.map(|one| &one.build).collect();
    builds.dedup_by_key(|build| (&build.commit, build.dirty));
    let [build] = builds.as_slice() else {
        return None;
    };
    let commit: String = clean(&build.commit).chars().take(12).collect();
    let dirty = if build.dirty {
        " with uncommitted changes"
    } else {
        ""
    };
    (!commit.is_empty()).then(|| format!("commit {commit}{dirty}"))
}

fn alarm_texts(run: &Run, rows: &[Row<'_>], letter: &str) -> Vec<Block> {
    let text = |note: Note| {
        let text = format!("{letter}{}: {}", note.label, note.text);
        Block::Text(note.tone, text)
    };
    alarms(run, rows).into_iter().map(text).collect()
}

/// What weakens the figures of one result.
fn warning_texts(run: &Run, rows: &[Row<'_>], letter: &str) -> Vec<Block> {
    let notes = match run.scenarios.as_slice() {
        _ if !run.searches.is_empty() => warnings(run, &[]),
        [] | [_] => warnings(run, rows),
        several => {
            let of = |scenario: &Scenario| -> Vec<Row<'_>> {
                let of_it = rows.iter().filter(|row| row.scenario.name == scenario.name);
                of_it.cloned().collect()
            };
            let of_each: Vec<Vec<Row<'_>>> = several.iter().map(of).collect();
            warnings_of_each(run, of_each.iter().map(Vec::as_slice))
        }
    };
    let text = |note: Note| Block::Text(note.tone, format!("{letter}{}", note.text));
    notes.into_iter().map(text).collect()
}

/// Servers of other versions, and under other settings, than those of the first result.
fn unlike_servers(base: &StackRecord, other: &StackRecord, letter: &str) -> Option<String> {
    let mut parts = Vec::new();
    for (base, other) in [
        (&base.versions, &other.versions),
        (&base.settings, &other.settings),
    ] {
        let mut names: Vec<&String> = base.keys().chain(other.keys()).collect();
        names.sort();
        names.dedup();
        let value = |of: &BTreeMap<String, String>, name: &String| {
            of.get(name)
                .map_or_else(|| "absent".to_owned(), |it| clean(it))
        };
        let differ = names
            .into_iter()
            .filter(|name| base.get(*name) != other.get(*name));
        parts.extend(differ.map(|name| {
            let (base, other) = (value(base, name), value(other, name));
            format!("{} is {other}, and {base} in A", clean(name))
        }));
    }
    (!parts.is_empty()).then(|| format!("{letter}: other servers: {}.", parts.join("; ")))
}

fn scenario(
    comparison: &Comparison<'_>,
    matched: &Matched<'_>,
    of_each: &OfEach<'_>,
) -> Vec<Block> {
    let scenario = matched.scenario();
    let title = format!("{}: {}", clean(&scenario.name), clean(&scenario.title));
    let mut blocks = vec![Block::Heading(title)];
    let sources = &comparison.sources;
    if let ([source], Some(Some((rows, ranking)))) = (sources.as_slice(), of_each.first()) {
        blocks.extend(of_one(source.run, rows, ranking, &comparison.chosen));
        return blocks;
    }
    let is_search = |source: &Source<'_>| !source.run.searches.is_empty();
    // Probes at many rates have no median.
    if !sources.iter().any(is_search) {
        let together = tables::together(matched, of_each, &comparison.chosen);
        blocks.push(Block::Table(together));
    }
    for (index, source) in sources.iter().enumerate() {
        if matched.of_each[index].is_some() && is_search(source) {
            let text = format!("{}: the highest rates that hold", letter(index));
            blocks.push(Block::Text(Tone::Plain, text));
            blocks.push(Block::Table(table::searches(source.run)));
        }
    }
    for index in 1..sources.len() {
        let held = tables::held_rates(matched, sources, index);
        if !held.rows.is_empty() {
            let text = format!(
                "{} by {}, not paired: two searches on two moments",
                letter(index),
                letter(0)
            );
            blocks.push(Block::Text(Tone::Strong, text));
            blocks.push(Block::Table(held));
        }
    }
    let order = tables::in_order(matched, of_each);
    for index in 1..sources.len() {
        blocks.extend(against_first(matched, index, &order));
    }
    blocks
}

/// As the result's own first screen.
fn of_one(
    run: &Run,
    rows: &[Row<'_>],
    ranking: &Ranking,
    chosen: &[&'static crate::result::Metric],
) -> Vec<Block> {
    let text = |note: Note| Block::Text(note.tone, note.text);
    let mut blocks: Vec<Block> = verdict(run, rows, ranking).into_iter().map(text).collect();
    let grid = match (run.searches.is_empty(), chosen) {
        (false, _) => table::searches(run),
        (true, []) => table::table(run, rows, ranking),
        (true, chosen) => tables::of_metrics(rows, chosen),
    };
    blocks.push(Block::Table(grid));
    blocks
}

/// What one result says against the first.
fn against_first(matched: &Matched<'_>, source: usize, order: &[&str]) -> Vec<Block> {
    let mut differences: Vec<_> = matched
        .differences
        .iter()
        .filter(|one| one.source == source)
        .collect();
    differences.sort_by_key(|one| order.iter().position(|id| *id == one.subject));
    let mut blocks = Vec::new();
    let are_paired = |held: &Held| matches!(held, Held::Paired { .. });
    for paired in [true, false] {
        let these: Vec<_> = differences
            .iter()
            .filter(|one| are_paired(&one.held) == paired)
            .copied()
            .collect();
        if these.is_empty() {
            continue;
        }
        let names = format!("{} by {}", letter(source), letter(0));
        let text = if paired {
            format!("{names}, paired: round by round of runs that were interleaved")
        } else {
            format!("{names}, not paired: two runs on two moments")
        };
        blocks.push(Block::Text(Tone::Strong, text));
        blocks.push(Block::Table(tables::differences(&these, source, paired)));
    }
    for not in matched
        .not_compared
        .iter()
        .filter(|one| one.source == source)
    {
        let text = format!(
            "{} is not compared with {}: in {}, {}.",
            clean(&not.subject),
            letter(0),
            letter(not.because_of),
            clean(&not.why)
        );
        blocks.push(Block::Text(Tone::Warn, text));
    }
    blocks
}

/// How far to believe the tables, and what is not in them.
fn remarks(comparison: &Comparison<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let absent = absent(comparison);
    if !absent.is_empty() {
        let text = format!("Absent: {}.", absent.join("; "));
        blocks.push(Block::Text(Tone::Warn, text));
    }
    if comparison.threshold.is_some() && comparison.sources.len() == 1 {
        let text = "The threshold does nothing here: one result has no differences.";
        blocks.push(Block::Text(Tone::Warn, text.to_owned()));
    }
    let shown = comparison.scenarios.iter().flat_map(|one| &one.differences);
    if let Some(share) = comparison
        .threshold
        .filter(|_| comparison.sources.len() > 1)
    {
        let hidden = comparison.hidden as u64;
        let text = match shown.clone().next() {
            None => format!("No difference is beyond {}", percent(share)),
            Some(_) => format!("Only differences beyond {} are shown", percent(share)),
        };
        let are = if hidden == 1 { "is" } else { "are" };
        let text = format!(
            "{text}; {} within it {are} hidden.",
            counted(hidden, "difference")
        );
        blocks.push(Block::Text(Tone::Plain, text));
    }
    let helds: Vec<&Held> = shown.map(|one| &one.held).collect();
    if helds.iter().any(|held| matches!(held, Held::Paired { .. })) {
        let text = "Paired: the geometric mean of the rounds' ratios, with the interval that holds it in \
                    95 % of comparisons, each by itself; with fewer than five rounds, the least and the \
                    greatest ratio.";
        blocks.push(Block::Text(Tone::Faint, text.to_owned()));
    }
    if helds.contains(&&Held::Apart) {
        let text = "Not paired: a ratio of medians, with the least and the greatest of each result. Between \
                    two moments the machine changes, too, so nothing here is called real; `lab regress` \
                    measures both together and judges.";
        blocks.push(Block::Text(Tone::Faint, text.to_owned()));
    }
    blocks
}

/// What is in some results only: `null of laptop in B`, `the scenario spike in A`.
fn absent(comparison: &Comparison<'_>) -> Vec<String> {
    let of = |missing: &Missing| {
        let (scenario, letter) = (clean(&missing.scenario), letter(missing.source));
        let what = match &missing.subject {
            None => format!("the scenario {scenario} in {letter}"),
            Some(subject) => format!("{} of {scenario} in {letter}", clean(subject)),
        };
        match &missing.broke {
            None => what,
            Some(why) => format!("{what}, where it broke ({})", clean(why)),
        }
    };
    comparison.missing.iter().map(of).collect()
}
