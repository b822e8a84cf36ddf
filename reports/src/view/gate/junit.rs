//! A gate as JUnit XML, which CI servers show beside the tests: a suite per head with
//! a case for its verdict, and one for its audits, its legs, its instruction counts and each metric.

use super::words::{bounds, change, exact, head_name, limit, spread, visible};
use super::{of, reason};
use crate::result::{Cause, Gate, GateHead, GateMetric, METRICS, Run, Verdict};
use crate::view::text::clean;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io;

/// One case of a suite.
struct Case {
    name: String,
    outcome: Outcome,
    /// What is to be known besides.
    remarks: Vec<String>,
}

impl Case {
    fn of(name: &str, outcome: Outcome) -> Self {
        Self {
            name: name.to_owned(),
            outcome,
            remarks: Vec::new(),
        }
    }
}

enum Outcome {
    Passed(String),
    Failed(String),
    /// Not decided: CI servers show it, and do not fail.
    Skipped(String),
    /// Not measured.
    Error(String),
}

/// None of a run that is no gate.
pub fn junit(run: &Run) -> Option<String> {
    let gate = of(run)?;
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    written(&mut writer, run, gate).expect("memory can be written");
    let mut text = String::from_utf8(writer.into_inner()).expect("only text is written");
    text.push('\n');
    Some(text)
}

fn written(writer: &mut Writer<Vec<u8>>, run: &Run, gate: &Gate) -> io::Result<()> {
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suites = writer.create_element("testsuites");
    let suites = suites.with_attribute(("name", "regression gate"));
    suites.write_inner_content(|writer| {
        if gate.heads.is_empty() || gate.not_measured.is_some() {
            let why = gate.not_measured.as_deref().unwrap_or("there was no head");
            let case = Case::of("measured", Outcome::Error(clean(why)));
            suite(writer, "gate", &[case])?;
        }
        for head in &gate.heads {
            suite(writer, &head_name(run, head), &cases(gate, head))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn cases(gate: &Gate, head: &GateHead) -> Vec<Case> {
    let why = head.why.as_deref().map(clean).unwrap_or_default();
    let of_cause = |cause: Cause, name: &str, passed: &str| {
        let outcome = match head.cause == Some(cause) {
            true => Outcome::Failed(why.clone()),
            false => Outcome::Passed(passed.to_owned()),
        };
        Case::of(name, outcome)
    };
    let mut cases = vec![of_verdict(gate, head)];
    if head.identical {
        cases.push(Case::of("identical", Outcome::Passed(why)));
        return cases;
    }
    cases.extend([
        of_cause(Cause::Audit, "audit", "no audit failed"),
        of_cause(Cause::Leg, "legs", "no leg broke"),
    ]);
    if let Some(ratio) = head.instructions.values().copied().reduce(f64::max) {
        let worst = format!("{} at most", change(ratio.ln()));
        cases.push(of_cause(Cause::Instructions, "instructions", &worst));
    }
    let is_void = gate.not_measured.is_some();
    cases.extend(head.metrics.iter().map(|metric| of_metric(metric, is_void)));
    cases.extend(left_out(head));
    cases
}

/// What the head comes to, whatever decided it.
fn of_verdict(gate: &Gate, head: &GateHead) -> Case {
    let why = reason(head);
    let outcome = match (&gate.not_measured, &head.verdict) {
        // What is known for certain stays so, whatever happened to the rest.
        (Some(not_measured), _) if head.cause.is_none() => {
            Outcome::Error(format!("not measured: {}", clean(not_measured)))
        }
        (_, Verdict::Pass) => Outcome::Passed(why),
        (_, Verdict::Fail) => Outcome::Failed(why),
        (_, Verdict::Inconclusive) => Outcome::Skipped(format!("inconclusive: {why}")),
        (_, Verdict::Other(verdict)) => {
            Outcome::Error(format!("unknown verdict: {}", clean(verdict)))
        }
    };
    Case {
        remarks: head.remarks.iter().map(|remark| clean(remark)).collect(),
        ..Case::of("verdict", outcome)
    }
}

/// Metrics that the remarks name because they could not be judged.
fn left_out(head: &GateHead) -> impl Iterator<Item = Case> {
    head.remarks.iter().filter_map(|remark| {
        let id = remark.split(' ').next()?;
        let is_judged = head.metrics.iter().any(|metric| metric.metric == id);
        let is_metric = METRICS.iter().any(|metric| metric.id == id);
        (is_metric && !is_judged).then(|| Case::of(id, Outcome::Skipped(clean(remark))))
    })
}

fn of_metric(metric: &GateMetric, is_void: bool) -> Case {
    let figures = format!(
        "{} ({}), limit {}, spread {}, seen from {}, p {} after Holm's correction",
        change(metric.hl_ln.0),
        bounds(metric),
        limit(metric),
        spread(metric),
        visible(metric),
        exact(metric.p_adjusted.unwrap_or(metric.p_one_sided))
    );
    let outcome = match metric.verdict {
        _ if is_void => Outcome::Skipped(format!("not measured: {figures}")),
        Verdict::Pass => Outcome::Passed(figures),
        Verdict::Fail => Outcome::Failed(figures),
        _ if metric.look == 0 => Outcome::Skipped(format!("before the first look: {figures}")),
        _ => Outcome::Skipped(format!("inconclusive: {figures}")),
    };
    Case::of(&clean(&metric.metric), outcome)
}

fn suite(writer: &mut Writer<Vec<u8>>, name: &str, cases: &[Case]) -> io::Result<()> {
    let count = |wanted: fn(&Outcome) -> bool| {
        let counted = cases.iter().filter(|case| wanted(&case.outcome)).count();
        counted.to_string()
    };
    let element = writer.create_element("testsuite").with_attributes([
        ("name", name),
        ("tests", &cases.len().to_string()),
        ("failures", &count(|it| matches!(it, Outcome::Failed(_)))),
        ("errors", &count(|it| matches!(it, Outcome::Error(_)))),
        ("skipped", &count(|it| matches!(it, Outcome::Skipped(_)))),
    ]);
    element.write_inner_content(|writer| {
        for case in cases {
            written_case(writer, name, case)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn written_case(writer: &mut Writer<Vec<u8>>, suite: &str, case: &Case) -> io::Result<()> {
    let element = writer
        .create_element("testcase")
        .with_attributes([("classname", suite), ("name", case.name.as_str())]);
    let (inner, text) = match &case.outcome {
        Outcome::Passed(text) => (None, text),
        Outcome::Failed(text) => (Some("failure"), text),
        Outcome::Skipped(text) => (Some("skipped"), text),
        Outcome::Error(text) => (Some("error"), text),
    };
    let spaced = |text: &str| text.replace('\u{a0}', " ");
    element.write_inner_content(|writer| {
        let mut said = case.remarks.clone();
        match inner {
            Some(inner) => {
                let inner = writer.create_element(inner);
                inner
                    .with_attribute(("message", spaced(text).as_str()))
                    .write_empty()?;
            }
            None => said.insert(0, text.clone()),
        }
        if !said.is_empty() {
            let output = writer.create_element("system-out");
            output.write_text_content(BytesText::new(&spaced(&said.join("; "))))?;
        }
        Ok(())
    })?;
    Ok(())
}
