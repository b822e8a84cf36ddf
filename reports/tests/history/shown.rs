//! Where a series changes, and what people read of a history.

use crate::{STRICT, commit, measured, text};
use reports::history::History;
use reports::view::{self, HistoryFilter, Screen};
use std::path::Path;

/// Fifteen commits of which the P99 rises by 12 % at the tenth, in the order of their times.
fn with_a_step() -> History {
    let mut history = History::default();
    for number in (1..=15).rev() {
        let noise = 0.004 * f64::from(number * 7 % 5);
        let step = if number >= 10 { 1.12f64.ln() } else { 0.0 };
        history
            .add(&measured(number, noise + step), STRICT)
            .expect("a line");
    }
    history
}

#[test]
fn a_change_is_found_at_its_commit_with_its_size() {
    let history = with_a_step();
    let all = history.series();
    let [series] = all.as_slice() else {
        panic!("one series, found {}", all.len());
    };
    let changes = series.changes("p99_ms");
    let [change] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(change.head.commit, commit(10));
    assert_eq!((change.before, change.since), (9, 6));
    assert!((change.ratio() - 1.12).abs() < 0.01, "{}", change.ratio());
    assert!(change.p <= 0.01, "{}", change.p);
    assert_eq!(series.changes("throughput_per_s"), []);
    assert_eq!(series.changes("unheard_of"), []);
}

/// The head misses the rate from the eleventh commit on.
#[test]
fn missing_the_rate_is_a_change_without_a_size() {
    let mut history = History::default();
    for number in 1..=15 {
        let noise = 0.001 * f64::from(number * 7 % 5);
        let p99_ln = if number > 10 { f64::INFINITY } else { noise };
        history
            .add(&measured(number, p99_ln), STRICT)
            .expect("a line");
    }
    let read = History::parse(&text(&history)).expect("infinite ratios are written as words");
    let all = read.series();
    let changes = all[0].changes("p99_ms");
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].head.commit, commit(11));
    assert_eq!(changes[0].since_ln, f64::INFINITY);
    let shown = view::history(&read, HistoryFilter::default(), Screen::PLAIN);
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains("P99 of lua-single-key rose beyond measure at commit"),
        "{shown}"
    );
    assert!(
        shown.contains("rate missed over 5 results since."),
        "{shown}"
    );
}

#[test]
fn a_history_is_shown_with_its_change_points_and_newest_results() {
    let history = with_a_step();
    let only_p99 = HistoryFilter {
        metric: Some("p99_ms"),
        ..HistoryFilter::default()
    };
    let shown = view::history(&history, only_p99, Screen::PLAIN);
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.starts_with(
            "lua-single-key in gate on AMD EPYC 7763, 2 cores, 16 GiB, kvm anchor aaaaaaaaaaaa"
        ),
        "{shown}"
    );
    assert!(
        words.contains("P99 of lua-single-key rose by 12 % at commit 000000000010 (p = 0.00"),
        "{shown}"
    );
    assert!(
        words.contains("15 results, 2026-09-22 to 2026-10-06"),
        "{shown}"
    );
    assert!(!shown.contains("throughput_per_s"), "{shown}");
    assert!(
        shown
            .lines()
            .any(|line| line.contains("▁▁") && line.contains('█')),
        "{shown}"
    );
    for screen in [60, 80, 140] {
        let screen = Screen {
            columns: screen,
            colour: false,
        };
        let all = view::history(&history, HistoryFilter::default(), screen);
        for line in all.lines() {
            assert!(
                unicode_width::UnicodeWidthStr::width(line) <= screen.columns,
                "{line}"
            );
        }
    }
    let elsewhere = HistoryFilter {
        scenario: Some("laptop"),
        ..HistoryFilter::default()
    };
    let nothing = view::history(&history, elsewhere, Screen::PLAIN);
    assert_eq!(nothing, "The history holds no such result.\n");
}

/// After an intended change, `UPDATE_GOLDEN=1 cargo test -p reports --test history` rewrites the files,
/// and the difference is reviewed.
#[test]
fn a_history_looks_like_the_golden_files() {
    let history = with_a_step();
    for columns in [80, 120] {
        let screen = Screen {
            columns,
            colour: false,
        };
        let shown = view::history(&history, HistoryFilter::default(), screen);
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/golden/view/history.{columns}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &shown).expect("the golden folder can be written");
        }
        let expected = std::fs::read_to_string(&path).expect("UPDATE_GOLDEN=1 writes it");
        assert_eq!(shown, expected, "UPDATE_GOLDEN=1 rewrites it");
    }
}

#[test]
fn a_short_history_says_how_many_results_are_missing() {
    let mut history = History::default();
    for number in 1..=3 {
        history.add(&measured(number, 0.0), STRICT).expect("a line");
    }
    let shown = view::history(&history, HistoryFilter::default(), Screen::PLAIN);
    let said = "3 results: change points are looked for from 10 on.\n";
    assert!(shown.contains(said), "{shown}");
}
