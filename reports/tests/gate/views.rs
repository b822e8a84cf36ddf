//! Gates as people and CI servers read them, compared with files byte by byte. After an intended
//! change, `UPDATE_GOLDEN=1 cargo test -p reports --test gate` rewrites them.

use super::runs::*;
use reports::gate::{Rules, judge};
use reports::html::page;
use reports::result::{Build, Cause, Run, RunKind, Side, Standing, Subject, Verdict};
use reports::view::{LINES_MAX, Screen, first_screen, junit, markdown};
use std::collections::BTreeMap;
use std::path::Path;
use unicode_width::UnicodeWidthStr;

fn as_html(text: &str) -> String {
    let text = text.replace('\\', "").replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

/// Text of an element that is as wide as a line: what stands between its tags.
fn text_of(html: &str) -> String {
    let pieces = html.split('<').map(|piece| piece.split_once('>'));
    let texts: Vec<&str> = pieces.flatten().map(|(_, text)| text).collect();
    texts.join("|").replace('\u{a0}', " ")
}

fn check(name: &str, actual: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gate");
    let path = folder.join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).expect("the golden folder can be made");
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

fn subject(id: &str, commit: &str) -> Subject {
    Subject {
        id: id.to_owned(),
        engine: "lua-single-key".to_owned(),
        params: BTreeMap::new(),
        guarantees: BTreeMap::new(),
        build: Build {
            commit: commit.repeat(10),
            profile: "release".to_owned(),
            ..Build::default()
        },
        variant: None,
        overrides: BTreeMap::new(),
        ack: None,
        driver: None,
        side: Some(if id == BASE { Side::Base } else { Side::Head }),
        head: None,
        standing: Standing::Ranked,
        skipped_why: None,
    }
}

/// A finished gate of these heads, each with the factors of its throughput, P99 and CPU.
fn gate(blocks: u32, heads: &[(&str, [f64; 3])], rules: &Rules, change: fn(&mut Run)) -> Run {
    let mut run = run(0, [1.0; 3]);
    run.kind = RunKind::Gate;
    run.subjects.push(subject(BASE, "ba5e"));
    for (id, _) in heads {
        run.subjects.push(subject(id, "4ead"));
    }
    for (block, step) in (1..=blocks).zip(wobble(blocks)) {
        run.legs.push(leg(BASE, block, 1, USUAL));
        for (id, factors) in heads {
            let wobbling = factors.map(|factor| factor * (0.01 * step).exp());
            run.legs.push(leg(id, block, 1, USUAL.times(wobbling)));
        }
    }
    change(&mut run);
    let ids: Vec<String> = heads.iter().map(|(id, _)| (*id).to_owned()).collect();
    let identical = ["head 4".to_owned()];
    let counts = BTreeMap::from([(
        ids[0].clone(),
        BTreeMap::from([("lua_single_key::reserve".to_owned(), 1.012)]),
    )]);
    let judged = judge(&run, rules, BASE, &ids, RATE_PER_S, &identical, &counts);
    run.gate = Some(judged.cut_short("interrupted by the user"));
    run
}

/// What the page on gating shows: four heads of which one changes nothing, and one more that is the
/// base's own bytes.
fn four_heads() -> Run {
    let heads = [
        ("head 0", [0.85, 1.0, 1.0]),
        ("head 1", [1.0, 1.25, 1.0]),
        ("head 2", [1.0; 3]),
        ("head 3", [1.0; 3]),
        ("head 4", [1.0; 3]),
    ];
    gate(10, &heads, &Rules::default(), |run| {
        let lost = run
            .legs
            .iter_mut()
            .filter(|leg| leg.subject == "head 2")
            .nth(2);
        lost.expect("a third block").audit = Some(lost_order());
        run.legs.retain(|leg| {
            let block = leg.pair.as_ref().map_or(0, |pair| pair.block);
            leg.subject != "head 4" && (leg.subject != "head 2" || block <= 3)
        });
    })
}

fn undecided() -> Run {
    let heads = [(HEAD, [0.99, 1.10, 1.0])];
    gate(20, &heads, &Rules::default(), |run| {
        for attempt in [0, -1i32] {
            let mut void = leg(BASE, 7, 0, USUAL);
            let pair = void.pair.as_mut().expect("in a block");
            pair.void = Some(if attempt == 0 { "steal" } else { "foreign_cpu" }.to_owned());
            pair.block = 8u32.saturating_add_signed(attempt);
            run.legs.push(void);
        }
        run.legs
            .iter_mut()
            .for_each(|leg| leg.phases[1].usage.clear());
    })
}

fn not_measured() -> Run {
    let heads = [(HEAD, [1.0, 3.0, 1.0])];
    gate(4, &heads, &Rules::default(), |run| {
        run.complete = false;
    })
}

fn missed_rate() -> Run {
    let heads = [(HEAD, [0.7, 1.0, 1.0])];
    gate(10, &heads, &Rules::default(), |run| {
        let of_head = run.legs.iter_mut().filter(|leg| leg.subject == HEAD);
        of_head.for_each(|leg| leg.phases[0].finished /= 2);
    })
}

/// Its figures pass, and a later block of the base lost an order.
fn base_failed_later() -> Run {
    let mut run = gate(10, &[(HEAD, [1.0; 3])], &Rules::default(), |_| {});
    let gate = run.gate.as_mut().expect("a gate");
    assert_eq!(gate.heads[0].verdict, Verdict::Pass);
    gate.not_measured = Some("the audit of the base failed in block 11".to_owned());
    run
}

/// Whatever its metrics say, something else decided.
fn decided_by(cause: Cause, why: &str) -> Run {
    let mut run = gate(10, &[(HEAD, [1.0; 3])], &Rules::default(), |_| {});
    let head = &mut run.gate.as_mut().expect("a gate").heads[0];
    (head.verdict, head.cause) = (Verdict::Fail, Some(cause));
    head.why = Some(why.to_owned());
    run
}

/// The base's own bytes, and nothing else.
fn identical() -> Run {
    gate(0, &[("head 4", [1.0; 3])], &Rules::default(), |_| {})
}

fn without_metrics() -> Run {
    let mut run = decided_by(Cause::Leg, "seckill stopped with exit code 101 in block 1");
    run.gate.as_mut().expect("a gate").heads[0].metrics.clear();
    run
}

/// A metric that had to be left out keeps it from passing.
fn passes_but_for_a_remark() -> Run {
    let mut run = gate(10, &[(HEAD, [1.0; 3])], &Rules::default(), |_| {});
    let head = &mut run.gate.as_mut().expect("a gate").heads[0];
    head.verdict = Verdict::Inconclusive;
    head.metrics
        .retain(|metric| metric.metric != "cpu_us_per_request");
    let remark = "cpu_us_per_request was seen on one side only, so it was not judged";
    head.remarks = vec![remark.to_owned()];
    run
}

/// Those of the golden files, and what only their verdicts are looked at for.
fn most() -> Vec<(&'static str, Run)> {
    let mut runs = all();
    runs.extend([
        ("base_failed_later", base_failed_later()),
        ("leg", decided_by(Cause::Leg, "seckill stopped in block 3")),
        (
            "instructions",
            decided_by(Cause::Instructions, "reserve takes +7.0 % instructions"),
        ),
        (
            "other",
            decided_by(Cause::Other("moon".to_owned()), "the moon was full"),
        ),
        ("identical", identical()),
        ("without_metrics", without_metrics()),
        ("remark", passes_but_for_a_remark()),
    ]);
    runs
}

fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("four_heads", four_heads()),
        ("undecided", undecided()),
        ("not_measured", not_measured()),
        ("missed_rate", missed_rate()),
    ]
}

fn first(run: &Run, columns: usize) -> String {
    let screen = Screen {
        columns,
        colour: false,
    };
    first_screen(run, screen, &["reports/out/gate.md".to_owned()])
}

#[test]
fn a_gate_looks_like_the_golden_files() {
    for (name, run) in all() {
        check(&format!("{name}.80.txt"), &first(&run, 80));
        check(&format!("{name}.md"), &markdown(&run));
        check(&format!("{name}.xml"), &junit(&run).expect("a gate"));
    }
}

#[test]
fn the_first_lines_are_the_verdicts_and_everything_fits() {
    for (name, run) in all() {
        for columns in [60, 80, 120] {
            let text = first(&run, columns);
            let verdicts = ["PASS", "FAIL", "INCONCLUSIVE", "NOT MEASURED"];
            assert!(
                verdicts.iter().any(|it| text.starts_with(it)),
                "{name}:\n{text}"
            );
            assert!(text.lines().count() <= LINES_MAX, "{name}:\n{text}");
            assert!(
                text.lines().all(|line| line.width() <= columns),
                "{name}:\n{text}"
            );
        }
        assert!(
            markdown(&run).len() < 60_000,
            "{name} is too long for a comment"
        );
    }
}

#[test]
fn junit_counts_what_it_holds_and_escapes_what_comes_from_outside() {
    let mut run = four_heads();
    let gate = run.gate.as_mut().expect("a gate");
    gate.heads[2].why = Some("lost <\"&\u{1b}> orders".to_owned());
    let text = junit(&run).expect("a gate");
    assert_eq!(text.matches("<testsuite ").count(), 5);
    // Of the verdict of each of three heads, and of what decided it.
    assert_eq!(text.matches("<failure ").count(), 2 * 3, "{text}");
    assert!(text.contains("lost &lt;&quot;&amp; &gt; orders"), "{text}");
    assert!(!text.contains('\u{1b}'));
    run.gate = None;
    assert_eq!(junit(&run), None);
}

/// The page has the same verdicts and the same table as the comment on a pull request.
#[test]
fn a_page_says_of_a_gate_what_the_text_says() {
    for (name, run) in most() {
        let (text, page) = (markdown(&run), page(&run));
        let verdicts = text.lines().filter_map(|line| {
            let (label, why) = line.strip_prefix("**")?.split_once("** ")?;
            Some(as_html(&format!("{label}: {why}")))
        });
        let verdicts: Vec<String> = verdicts.collect();
        let answers: Vec<String> = page
            .split("<p class=\"answer")
            .skip(1)
            .map(|rest| rest.split_once('>').expect("a tag").1)
            .map(|rest| rest.split("</p>").next().expect("an end"))
            .map(|answer| answer.replace('\u{a0}', " ").replace("&quot;", "\""))
            .collect();
        assert!(!verdicts.is_empty(), "{name}");
        assert_eq!(answers, verdicts, "{name}");
        assert!(!page.contains("Nothing was measured."), "{name}");
        let figures = text.lines().filter(|line| line.starts_with("| "));
        let shown = page.split("<h2>Gate</h2>").nth(1).expect("a section");
        let shown = text_of(shown);
        for line in figures.take_while(|line| !line.starts_with("| block")) {
            if line.contains("---") || line.contains("metric |") {
                continue;
            }
            let cells = line.trim_matches(['|', ' ']).split(" | ");
            let cells: Vec<String> = cells.map(as_html).collect();
            assert!(
                shown.contains(&cells.join("||")),
                "{name}: {cells:?} is not on the page"
            );
        }
    }
}

#[test]
fn a_gate_without_a_verdict_shows_no_metric_as_passed() {
    for run in [base_failed_later(), not_measured()] {
        for text in [first(&run, 120), markdown(&run), page(&run)] {
            assert!(!text.contains("PASS"), "{text}");
        }
    }
}

/// A CI server that reads nothing else must not show as passed what is not.
#[test]
fn junit_has_a_case_for_the_verdict_of_each_head() {
    let verdict_of = |run: &Run| {
        let text = junit(run).expect("a gate");
        let case = text.split("name=\"verdict\">").nth(1).expect("a verdict");
        case.split("</testcase>").next().expect("an end").to_owned()
    };
    for (run, element, said) in [
        (
            base_failed_later(),
            "<error ",
            "the audit of the base failed",
        ),
        (not_measured(), "<error ", "interrupted by the user"),
        (
            decided_by(Cause::Other("moon".to_owned()), "the moon was full"),
            "<failure ",
            "the moon was full",
        ),
        (without_metrics(), "<failure ", "exit code 101"),
        (undecided(), "<skipped ", "undecided: P99"),
        (
            passes_but_for_a_remark(),
            "<skipped ",
            "seen on one side only",
        ),
        (identical(), "<system-out>", "the same bytes"),
        (missed_rate(), "<failure ", "throughput"),
    ] {
        let case = verdict_of(&run);
        assert!(case.contains(element) && case.contains(said), "{case}");
        let is_passed = element == "<system-out>";
        let others = ["<error ", "<failure ", "<skipped "].map(|it| case.contains(it));
        assert_eq!(others.contains(&true), !is_passed, "{case}");
    }
    let text = junit(&passes_but_for_a_remark()).expect("a gate");
    let left_out = text.split("name=\"cpu_us_per_request\">").nth(1);
    assert!(left_out.is_some_and(|case| case.trim_start().starts_with("<skipped ")));
}
