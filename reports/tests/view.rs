//! What people read is compared with files byte by byte. After an intended change, `UPDATE_GOLDEN=1
//! cargo test -p reports --test view` rewrites them, and the difference is reviewed.

mod view {
    pub mod after_yes;
    pub mod comparison;
    pub mod findings;
    pub mod matrix;
    pub mod parts;
    pub mod runs;
    pub mod unlike;
}

use reports::result::{Ack, Flag, Phase, Purpose, Run, Sees};
use reports::view::{LINES_MAX, Screen, details, first_screen, markdown};
use std::path::Path;
use unicode_width::UnicodeWidthStr;
use view::{after_yes, findings, matrix, runs};

const FILES: &[&str] = &["reports/out/result.json", "reports/out/result.md"];

fn check(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/view")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).expect("the golden folder can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}; UPDATE_GOLDEN=1 writes it"));
    assert!(
        expected == actual,
        "{name} differs; UPDATE_GOLDEN=1 rewrites it.\n--- expected\n{expected}\n--- actual\n{actual}"
    );
}

fn plain(columns: usize) -> Screen {
    Screen {
        columns,
        colour: false,
    }
}

fn first(run: &Run, columns: usize) -> String {
    let files: Vec<String> = FILES.iter().map(|file| (*file).to_owned()).collect();
    first_screen(run, plain(columns), &files)
}

fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("laptop", runs::laptop()),
        ("engines", runs::engines()),
        ("textbook", runs::textbook()),
        ("failed_audit", runs::failed_audit()),
        ("interrupted", runs::interrupted()),
        ("nothing_measured", runs::nothing_measured()),
        ("open_loop", runs::open_loop()),
        ("sold_out_storm", runs::sold_out_storm()),
        ("capacity", runs::capacity()),
        ("matrix", runs::matrix()),
        ("matrix_ranked", matrix::ranked()),
    ]
}

#[test]
fn first_screens_look_like_the_golden_files() {
    for (name, run) in all() {
        check(&format!("{name}.80.txt"), &first(&run, 80));
        check(&format!("{name}.120.txt"), &first(&run, 120));
    }
}

#[test]
fn details_and_markdown_look_like_the_golden_files() {
    for (name, run) in [
        ("laptop", runs::laptop()),
        ("open_loop", runs::open_loop()),
        ("after_yes", after_yes::churn()),
    ] {
        check(&format!("{name}.details.80.txt"), &details(&run, plain(80)));
        check(&format!("{name}.md"), &markdown(&run));
    }
}

#[test]
fn no_line_is_wider_than_the_screen_and_a_first_screen_has_at_most_24_lines() {
    for (name, run) in all() {
        for columns in [60, 110] {
            let first = first(&run, columns);
            assert!(
                first.lines().count() <= LINES_MAX,
                "{name} at {columns}:\n{first}"
            );
            for line in first.lines().chain(details(&run, plain(columns)).lines()) {
                assert!(line.width() <= columns, "{name} at {columns}: {line}");
            }
        }
    }
}

#[test]
fn a_screen_narrower_than_60_columns_counts_as_60() {
    let run = runs::engines();
    let rows = first(&run, 60).matches("  passed").count();
    assert_eq!(rows, 4, "{}", first(&run, 60));
    assert_eq!(first(&run, 20), first(&run, 60));
}

#[test]
fn colours_are_all_that_colour_adds() {
    for (name, run) in [
        ("open_loop", runs::open_loop()),
        ("failed_audit", runs::failed_audit()),
    ] {
        let screen = Screen {
            columns: 80,
            colour: true,
        };
        for (coloured, plain) in [
            (
                first_screen(&run, screen, &[]),
                first_screen(&run, Screen::PLAIN, &[]),
            ),
            (details(&run, screen), details(&run, Screen::PLAIN)),
        ] {
            assert!(
                coloured.contains('\u{1b}') && !plain.contains('\u{1b}'),
                "{name}"
            );
            assert_eq!(without_colours(&coloured), plain, "{name}");
        }
    }
}

fn without_colours(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[test]
fn a_failed_audit_is_the_first_line_with_what_was_expected_and_found() {
    let text = first(&runs::failed_audit(), 80);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    assert!(
        head.starts_with("AUDIT FAILED  lua-single-key, round 2: every accepted order"),
        "{text}"
    );
    assert!(text.contains("expected      500,000 rows\n"), "{text}");
    assert!(
        text.contains("found         499,999 rows; order 7181542400000071 is missing\n"),
        "{text}"
    );
    assert!(
        text.contains("TMPFS         data in memory (tmpfs): \"durable\" means nothing\n"),
        "{text}"
    );
}

#[test]
fn a_run_that_measured_nothing_says_why_and_shows_no_table() {
    let run = runs::nothing_measured();
    let text = first_screen(&run, Screen::PLAIN, &[]);
    assert!(
        text.starts_with("laptop: nothing was measured.\n"),
        "{text}"
    );
    assert!(text.contains("redis stopped with exit code 1"), "{text}");
    assert!(
        !text.contains("finished/s") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert!(text.lines().count() <= 3, "{text}");
}

#[test]
fn an_unsafe_engine_that_is_caught_is_no_alarm_and_one_that_is_not_is_one() {
    let mut run = runs::textbook();
    let text = first(&run, 80);
    assert!(!text.contains("AUDIT FAILED"), "{text}");
    assert!(
        text.contains("The audit caught unsafe-counter, as it must"),
        "{text}"
    );
    run.legs[1].audit = Some(findings::passed());
    let text = first(&run, 80);
    assert!(text.starts_with("NOT CAUGHT  unsafe-counter"), "{text}");
}

#[test]
fn an_engine_that_lost_an_order_has_no_place_however_fast_it_was() {
    let mut run = runs::engines();
    let failed = runs::failed_audit().legs[1].audit.clone();
    let fastest = run
        .legs
        .iter_mut()
        .filter(|leg| leg.subject == "preallocated");
    fastest
        .skip(2)
        .take(1)
        .for_each(|leg| leg.audit = failed.clone());
    let text = first(&run, 80);
    assert!(
        text.starts_with("AUDIT FAILED  preallocated, round 3"),
        "{text}"
    );
    let row = |name: &str| {
        text.lines()
            .find(|line| line.contains(&format!("  {name} ")))
            .unwrap_or_default()
    };
    assert!(row("preallocated").trim_start().starts_with('–'), "{text}");
    assert!(row("database-row").trim_start().starts_with('3'), "{text}");
    assert!(!text.contains("astest: preallocated"), "{text}");
}

#[test]
fn with_fewer_than_five_rounds_nobody_has_a_place() {
    for (rounds, said) in [
        (1, "One round: no ranking."),
        (3, "3 rounds: no ranking (5 are needed)."),
    ] {
        let mut run = runs::engines();
        run.scenarios[0].rounds = rounds;
        run.legs.retain(|leg| leg.round <= rounds);
        let text = first(&run, 120);
        assert!(text.contains(said), "{text}");
        assert!(
            text.contains("Fastest here: preallocated") && !text.contains("#  engine"),
            "{text}"
        );
    }
}

#[test]
fn what_weakens_the_figures_is_said() {
    let mut run = runs::laptop();
    run.stack.sees = Sees::RolesOnly;
    run.lab.profile = "debug".to_owned();
    run.durability.ack = Ack::Published;
    run.legs[0].flags = [Flag::StockEnded, Flag::ShortWarmUp].into();
    run.stack
        .overrides
        .insert("SECKILL__MQ__CONSUMER_PREFETCH".to_owned(), "10".to_owned());
    let text = first(&run, 120);
    for said in [
        "DEBUG BUILD  the driver",
        "sees roles only",
        "PUBLISHED: buyers are told yes before",
        "not ranked, stock ran out",
        "warmed up for less than 3 s",
        "settings changed by hand: SECKILL__MQ__CONSUMER_PREFETCH=10",
    ] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
}

#[test]
fn what_is_not_at_a_limit_is_never_called_a_ceiling() {
    for (name, run) in all() {
        for text in [first(&run, 80), markdown(&run)] {
            assert!(!text.to_lowercase().contains("ceiling"), "{name}");
        }
    }
}

#[test]
fn text_from_outside_breaks_no_markdown() {
    let mut run = runs::laptop();
    run.scenarios[0].title = "a | b <script> *c* `d`".to_owned();
    let text = markdown(&run);
    assert!(
        text.starts_with("# laptop: a \\| b \\<script> \\*c\\* \\`d\\`\n"),
        "{text}"
    );
}

#[test]
fn a_sale_that_may_sell_out_needs_no_warning_when_it_does() {
    let mut run = runs::sold_out_storm();
    for leg in &mut run.legs {
        leg.flags.insert(Flag::StockEnded);
    }
    assert!(!first(&run, 120).contains("stock ran out"));
    run.scenarios[0].may_sell_out = false;
    let text = first(&run, 120);
    assert!(text.contains("not ranked, stock ran out"), "{text}");
}

#[test]
fn a_stall_that_only_the_open_loop_shows_is_explained() {
    let mut run = runs::open_loop();
    let calm = runs::laptop().legs[0].phases[0].clone();
    let stalling = run
        .legs
        .iter_mut()
        .find(|leg| leg.subject == "database-row");
    let stalling = stalling.expect("it ran");
    stalling.phases.insert(
        0,
        Phase {
            purpose: Purpose::Calibrate,
            ..calm
        },
    );
    let text = first(&run, 120);
    for said in [
        "database-row stalled: nothing was answered for 1.00 s from 3.00 s on",
        "database-row P99 812 ms open, 16.7 ms closed: in a closed loop nobody arrives while the server",
    ] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
    assert!(!text.contains("lua-single-key stalled"), "{text}");
}
