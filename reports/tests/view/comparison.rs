//! Results held against each other: what is paired, what is shown and what is hidden.

use super::runs;
use crate::{check, plain};
use reports::compare::{Comparison, Field, Held, Options, Source, compare};
use reports::result::{Run, metric};
use reports::view::{Screen, comparison, comparison_html, comparison_markdown, first_screen};
use unicode_width::UnicodeWidthStr;

/// The engines again, later: the scripts slower by 8 %, and without `database-row`.
pub fn after() -> Run {
    let mut run = runs::engines();
    run.id = "20260103-030405-engines-51c0".to_owned();
    run.name = Some("after".to_owned());
    run.legs.retain(|leg| leg.subject != "database-row");
    for leg in &mut run.legs {
        leg.started_unix_us += 86_400_000_000;
        if leg.subject == "lua-single-key" {
            // In another order, so that pairs by round are told from pairs by position.
            let phase = &mut leg.phases[0];
            phase.length_ns = (phase.length_ns as f64 / 0.92) as u64;
        }
    }
    for subject in &mut run.subjects {
        subject.build.commit = "fedcba9876543210".to_owned();
        subject.build.dirty = true;
    }
    run
}

pub fn sources<'a>(runs: &'a [(&'static str, Run)]) -> Vec<Source<'a>> {
    runs.iter()
        .map(|(path, run)| Source { path, run })
        .collect()
}

pub fn two(second: Run) -> [(&'static str, Run); 2] {
    [("before.json", runs::engines()), ("after.json", second)]
}

pub fn refusal(runs: &[(&'static str, Run)], options: &Options) -> String {
    let error = compare(&sources(runs), options).expect_err("refused");
    let said = error.to_string();
    assert!(!said.contains('\n'), "{said}");
    said
}

pub fn text(comparison_of: &Comparison<'_>) -> String {
    comparison(comparison_of, Screen::PLAIN)
}

/// `after` lacks an engine.
pub fn lenient() -> Options {
    Options {
        allow: [Field::Missing].into(),
        ..Options::default()
    }
}

pub fn filtered(filters: &[&str]) -> Options {
    let parsed = filters.iter().map(|text| text.parse().expect("a filter"));
    Options {
        filters: parsed.collect(),
        ..lenient()
    }
}

#[test]
fn comparisons_look_like_the_golden_files() {
    let apart = two(after());
    let apart = compare(&sources(&apart), &lenient()).expect("compared");
    check("compare_apart.80.txt", &comparison(&apart, plain(80)));
    check("compare_apart.md", &comparison_markdown(&apart));
    check("compare_apart.html", &comparison_html(&apart));
    let mut paired = two(after());
    for (_, run) in &mut paired {
        run.series = Some("a series".to_owned());
    }
    let paired = compare(&sources(&paired), &lenient()).expect("compared");
    check("compare_paired.80.txt", &comparison(&paired, plain(80)));
}

#[test]
fn no_line_is_wider_than_the_screen() {
    let mut runs = two(after()).to_vec();
    let mut third = after();
    third.id = "third".to_owned();
    third.name = Some("a name that is as long as a whole sentence would be".to_owned());
    runs.push(("a/path/that/is/long/but/can/be/copied.json", third));
    let result = compare(&sources(&runs), &lenient()).expect("compared");
    for columns in [60, 80, 110] {
        for line in comparison(&result, plain(columns)).lines() {
            assert!(line.width() <= columns, "at {columns}: {line}");
        }
    }
}

/// Every line of its table, that is, from the head to the first empty line.
#[test]
fn one_result_has_its_own_table() {
    for run in [
        runs::laptop(),
        runs::engines(),
        runs::open_loop(),
        runs::capacity(),
        runs::textbook(),
    ] {
        let own = first_screen(&run, Screen::PLAIN, &[]);
        let table = own.split("\n\n").find(|part| {
            part.lines().count() > 1
                && part.lines().any(|line| {
                    line.trim_start().starts_with("engine ") || line.contains("  engine ")
                })
        });
        let table = table.unwrap_or_else(|| panic!("a table: {own}"));
        let alone = [("own.json", run)];
        let alone = compare(&sources(&alone), &lenient()).expect("compared");
        let shown = text(&alone);
        assert!(shown.contains(table), "{table}\n--- not in\n{shown}");
        assert!(!shown.contains("not paired"), "{shown}");
    }
}

#[test]
fn what_is_not_paired_is_never_called_real_and_points_to_the_gate() {
    let runs = two(after());
    let result = compare(&sources(&runs), &lenient()).expect("compared");
    let shown = text(&result);
    for said in [
        "B by A, not paired: two runs on two moments",
        "nothing here is called real",
        "`lab regress`",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert!(!shown.contains("interval"), "{shown}");
}

/// Medians would hide it: each result drifts by a third, and every round differs by 8 %.
#[test]
fn rounds_of_one_series_are_paired_and_their_drift_cancels_out() {
    let drifting = |id: &str, factor: f64| {
        let mut run = runs::engines();
        run.id = id.to_owned();
        run.series = Some("1".to_owned());
        run.legs.retain(|leg| leg.subject == "lua-single-key");
        for leg in &mut run.legs {
            let drift = 1.0 + f64::from(leg.round) / 15.0;
            let own = 1.0 + 0.002 * f64::from(leg.round % 3);
            let rate = 50_000.0 * factor * drift * if factor < 1.0 { own } else { 1.0 };
            let phase = &mut leg.phases[0];
            phase.length_ns = (phase.finished as f64 / rate * 1e9) as u64;
        }
        run
    };
    let throughput = Options {
        metrics: vec![metric("throughput_per_s").expect("known")],
        ..lenient()
    };
    let mut runs = [
        ("a.json", drifting("a", 1.0)),
        ("b.json", drifting("b", 0.92)),
    ];
    // By their numbers, wherever they stand in the file.
    runs[1].1.legs.reverse();
    let result = compare(&sources(&runs), &throughput).expect("compared");
    let difference = &result.scenarios[0].differences[0];
    let Held::Paired {
        rounds, interval, ..
    } = difference.held
    else {
        panic!("{difference:?}");
    };
    let (lower, upper) = interval.expect("five rounds");
    assert_eq!(rounds, 5);
    assert!(
        0.915 < lower && upper < 0.928 && lower < upper,
        "{lower} to {upper}"
    );
    // Of other series, the same figures are two runs on two moments.
    runs[1].1.series = Some("2".to_owned());
    let result = compare(&sources(&runs), &throughput).expect("compared");
    let difference = &result.scenarios[0].differences[0];
    assert_eq!(difference.held, Held::Apart);
}

#[test]
fn filters_pick_and_one_that_matches_nothing_lists_what_there_is() {
    let runs = two(after());
    let result = compare(
        &sources(&runs),
        &filtered(&["engine=lua*", "engine=*slots", "metric=p9*"]),
    );
    let result = result.expect("compared");
    let shown = text(&result);
    assert!(
        shown.contains("sharded-slots") && shown.contains("p999_ms"),
        "{shown}"
    );
    assert!(
        !shown.contains("preallocated") && !shown.contains("throughput_per_s"),
        "{shown}"
    );
    for (filter, said) in [
        (
            "engine=luna*",
            "--filter engine=luna* matches nothing; there are: null, lua-single-key, ",
        ),
        (
            "scenario=laptop",
            "--filter scenario=laptop matches nothing; there are: engines",
        ),
        (
            "metric=p98*",
            "--filter metric=p98* matches nothing; there are: throughput_per_s, ",
        ),
    ] {
        let refused = refusal(&runs, &filtered(&[filter]));
        assert!(refused.starts_with(said), "{refused}");
    }
}

#[test]
fn a_threshold_hides_small_differences_and_says_how_many() {
    let runs = two(after());
    let within = |share: f64| Options {
        threshold: Some(share),
        ..lenient()
    };
    let result = compare(&sources(&runs), &within(0.05)).expect("compared");
    let all = compare(&sources(&runs), &lenient()).expect("compared");
    let shown: Vec<&str> = result.scenarios[0]
        .differences
        .iter()
        .map(|one| one.metric.id)
        .collect();
    assert_eq!(shown, ["throughput_per_s"]);
    assert_eq!(result.hidden, all.scenarios[0].differences.len() - 1);
    let said = format!(
        "Only differences beyond 5.0 % are shown; {} differences within it are hidden.",
        result.hidden
    );
    assert!(
        text(&result).replace('\n', " ").contains(&said),
        "{said}: {}",
        text(&result)
    );
    let result = compare(&sources(&runs), &within(0.5)).expect("compared");
    assert!(
        text(&result).contains("No difference is beyond 50.0 %;"),
        "{}",
        text(&result)
    );
    let alone = compare(&sources(&runs[..1]), &within(0.5)).expect("shown");
    let shown = text(&alone);
    assert!(shown.contains("The threshold does nothing here"), "{shown}");
}

#[test]
fn an_engine_whose_audit_failed_is_shown_and_not_compared() {
    let mut runs = two(after());
    let failed = runs::failed_audit().legs[1].audit.clone();
    let mut legs = runs[1].1.legs.iter_mut();
    let leg = legs
        .find(|leg| leg.subject == "preallocated" && leg.round == 4)
        .expect("there");
    leg.audit = failed;
    let result = compare(&sources(&runs), &lenient()).expect("compared");
    let shown = text(&result);
    assert!(
        shown.contains("B: AUDIT FAILED: preallocated, round 4"),
        "{shown}"
    );
    assert!(
        shown.contains("preallocated is not compared with A: in B, its audit failed in round 4."),
        "{shown}"
    );
    let compared = &result.scenarios[0].differences;
    assert!(
        compared.iter().all(|one| one.subject != "preallocated"),
        "{compared:?}"
    );
    assert!(compared.iter().any(|one| one.subject == "sharded-slots"));
}

/// A search has legs at many rates, and a calibration is no measurement: neither is averaged.
#[test]
fn legs_of_a_search_are_held_against_nothing() {
    let mut later = runs::capacity();
    later.id = "later".to_owned();
    later.searches[1].holds_per_s = Some(20_600.0);
    let runs = [("one.json", runs::capacity()), ("two.json", later)];
    let result = compare(&sources(&runs), &lenient()).expect("compared");
    assert!(result.scenarios[0].differences.is_empty());
    let shown = text(&result);
    assert!(
        !shown.contains("finished/s"),
        "medians over probes: {shown}"
    );
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("preallocated 41,200 20,600 0.500× 0.625× 0.313×"),
        "{shown}"
    );
}

#[test]
fn nothing_that_can_be_compared_is_a_refusal_with_the_reasons() {
    let small = |id: &str| {
        let mut run = runs::laptop();
        run.id = id.to_owned();
        run
    };
    let mut failed = small("failed");
    failed.legs[0].audit = runs::failed_audit().legs[1].audit.clone();
    assert_eq!(
        refusal(&[("a.json", small("a")), ("b.json", failed)], &lenient()),
        "nothing can be compared: lua-single-key: in b.json, its audit failed in round 1"
    );
    let gate = |id: &str| {
        let mut run = small(id);
        run.legs[0].pair = Some(reports::result::Pair {
            block: 1,
            order: vec![0, 1],
            attempt: 1,
            void: None,
        });
        run
    };
    let said = refusal(&[("a.json", gate("a")), ("b.json", gate("b"))], &lenient());
    assert!(
        said.ends_with("in a.json, its legs belong to a search or a gate"),
        "{said}"
    );
    // One alone is shown, whatever it is.
    compare(&sources(&[("a.json", gate("a"))]), &lenient()).expect("shown");
}

/// A share of what each run calibrated to.
#[test]
fn figures_at_different_offered_rates_are_in_no_ratio() {
    let at = |id: &str, factor: f64| {
        let mut run = runs::open_loop();
        run.id = id.to_owned();
        for leg in &mut run.legs {
            for phase in &mut leg.phases {
                phase.offered_per_s = phase.offered_per_s.map(|rate| rate * factor);
            }
        }
        run
    };
    let near = [("a.json", at("a", 1.0)), ("b.json", at("b", 1.01))];
    let near = compare(&sources(&near), &lenient()).expect("compared");
    assert!(!near.scenarios[0].differences.is_empty());
    let far = [("a.json", at("a", 1.0)), ("b.json", at("b", 0.5))];
    let said = refusal(&far, &lenient());
    let rates = "in b.json, 5000 requests/s were offered, and 10000/s in the first result";
    assert!(said.contains(rates), "{said}");
}

#[test]
fn what_weakens_either_result_and_servers_that_differ_are_said() {
    let mut runs = two(after());
    let leg = &mut runs[1].1.legs[0];
    leg.flags.insert(reports::result::Flag::DriverSaturated);
    let stack = &mut runs[1].1.stack;
    stack.versions.insert("redis".to_owned(), "9.9".to_owned());
    stack
        .settings
        .insert("redis.io-threads".to_owned(), "4".to_owned());
    let result = compare(&sources(&runs), &lenient()).expect("compared");
    let shown = text(&result).replace('\n', " ");
    for said in [
        "B: the driver was at its limit: null",
        "redis is 9.9, and ",
        "redis.io-threads is 4, and absent in A.",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
}

#[test]
fn nothing_from_outside_breaks_the_html() {
    let mut runs = two(after());
    for (_, run) in &mut runs {
        run.scenarios[0].title = "<script>alert(\"1\")</script> & 'more'".to_owned();
        run.name = Some("</title><b>".to_owned());
    }
    let result = compare(&sources(&runs), &lenient()).expect("compared");
    let html = comparison_html(&result);
    assert!(
        html.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;more&#39;"),
        "{html}"
    );
    for never in ["<script", "</title><b>", "http://", "https://", "src="] {
        assert!(!html.contains(never), "{never}: {html}");
    }
}
