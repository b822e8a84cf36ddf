//! What was asked of the system, and what the run ran on: enough to repeat it.

use crate::result::{AfterYes, Build, PhasePlan, Run, Scenario, Subject};
use crate::view::grid::Cell;
use crate::view::numbers::{counted, grouped, ms, ns, percent};
use crate::view::page::Block;
use crate::view::phrases;
use crate::view::text::{clean, shell_command};
use std::collections::BTreeMap;

const SHORT_HASH: usize = 12;

/// The scenario's sales, phases and references.
pub(super) fn load(scenario: &Scenario) -> Vec<Block> {
    let mut facts: Vec<(String, Cell)> = Vec::new();
    let sales = scenario.sales.iter().map(|sale| {
        format!(
            "product {} with {}",
            sale.product_id,
            counted(sale.total.unsigned_abs(), "unit")
        )
    });
    let sales: Vec<String> = sales.collect();
    let shown = match sales.as_slice() {
        many if many.len() > 3 => format!("{} and {} more", many[0], many.len() - 1),
        few => few.join(", "),
    };
    facts.push(("on sale".to_owned(), shown.into()));
    if let Some(time_ns) = scenario.time_to_pay_ns {
        facts.push(("time to pay".to_owned(), ns(time_ns).into()));
    }
    for plan in &scenario.phases {
        facts.push((clean(&plan.name), phase(plan).into()));
    }
    for reference in &scenario.reference {
        let mut text = format!(
            "{}, {}; {} in {}; mean {}",
            clean(&reference.source),
            clean(&reference.parameters),
            counted(reference.requests, "request"),
            ms(reference.total_s * 1e3),
            ms(reference.mean_ms)
        );
        if let Some(note) = &reference.note {
            text.push_str(&format!("; {}", clean(note)));
        }
        facts.push((clean(&reference.label), text.into()));
    }
    vec![Block::Heading("Load".to_owned()), Block::Facts(facts)]
}

fn phase(plan: &PhasePlan) -> String {
    let (driver, data) = (&plan.driver, &plan.data);
    let mut parts = vec![
        phrases::load(plan),
        phrases::end(plan),
        counted(data.users, "user"),
        format!("quantity 1 to {}", data.quantity_max),
        format!("{} products", data.popularity),
        format!("seed {}", data.seed),
        format!(
            "driver {} {} on {}",
            driver.kind,
            clean(&driver.version),
            counted(driver.threads.into(), "thread")
        ),
        format!("time-out {}", ms(driver.timeout_ns as f64 / 1e6)),
    ];
    parts.extend(
        driver
            .pacing
            .as_deref()
            .map(|pacing| format!("paced by {}", clean(pacing))),
    );
    parts.extend(data.after.as_ref().map(after));
    parts.extend(
        plan.arrival
            .backlog_max
            .map(|max| format!("backlog of {}", grouped(max))),
    );
    parts.join("; ")
}

/// `50.0 ms to 500 ms after the yes: 40 % cancelled (20 % of them twice, 70 % of them to buy again), 30 %
/// paid`.
fn after(after: &AfterYes) -> String {
    let time = |at_ns: u64| ms(at_ns as f64 / 1e6);
    let mut cancelled = Vec::new();
    for (share, what) in [(after.twice, "twice"), (after.again, "to buy again")] {
        if share > 0.0 {
            cancelled.push(format!("{} of them {what}", percent(share)));
        }
    }
    let cancelled = match cancelled.is_empty() {
        true => String::new(),
        false => format!(" ({})", cancelled.join(", ")),
    };
    let shares = [
        (after.cancel, format!("cancelled{cancelled}")),
        (after.pay, "paid".to_owned()),
        (after.cancel_and_pay, "both at once".to_owned()),
    ];
    let shares = shares.iter().filter(|(share, _)| *share > 0.0);
    let shares: Vec<String> = shares
        .map(|(share, what)| format!("{} {what}", percent(*share)))
        .collect();
    format!(
        "{} to {} after the yes: {}",
        time(after.delay_min_ns),
        time(after.delay_max_ns),
        shares.join(", ")
    )
}

/// Who measured what, with which binaries, on which machine.
pub(super) fn provenance(run: &Run) -> Vec<Block> {
    let mut facts: Vec<(String, Cell)> = Vec::new();
    let mut fact = |name: &str, text: String| {
        if !text.is_empty() {
            facts.push((name.to_owned(), Cell::from(text)));
        }
    };
    fact("run", clean(&run.id));
    fact("name", run.name.as_deref().map(clean).unwrap_or_default());
    fact("command", shell_command(&run.command));
    fact("seed", run.seed.to_string());
    fact("lab", build(&run.lab));
    for (subjects, build) in builds(run) {
        fact("system", format!("{build} ({})", subjects.join(", ")));
    }
    fact("machine", phrases::machine(&run.machine));
    fact(
        "os",
        clean(&format!(
            "{}, kernel {}",
            run.machine.os, run.machine.kernel
        )),
    );
    fact(
        "durable",
        phrases::durability(&run.durability, &run.machine),
    );
    fact(
        "stack",
        clean(&format!("{}: {}", run.stack.kind, run.stack.why)),
    );
    fact("versions", pairs(&run.stack.versions));
    fact("settings", pairs(&run.stack.settings));
    fact("by hand", pairs(&run.stack.overrides));
    for subject in &run.subjects {
        fact(&clean(&subject.id), about(subject));
    }
    vec![
        Block::Heading("What it ran on".to_owned()),
        Block::Facts(facts),
    ]
}

/// Subjects by their build.
fn builds(run: &Run) -> Vec<(Vec<String>, String)> {
    let mut builds: Vec<(Vec<String>, String)> = Vec::new();
    for subject in run
        .subjects
        .iter()
        .filter(|subject| subject.skipped_why.is_none())
    {
        let build = build(&subject.build);
        match builds.iter_mut().find(|(_, known)| *known == build) {
            Some((names, _)) => names.push(clean(&subject.id)),
            None => builds.push((vec![clean(&subject.id)], build)),
        }
    }
    builds
}

fn build(build: &Build) -> String {
    let mut parts = vec![clean(&format!("{} {}", build.version, build.profile))];
    let commit: String = clean(&build.commit).chars().take(SHORT_HASH).collect();
    if !commit.is_empty() {
        let dirty = if build.dirty {
            " with uncommitted changes"
        } else {
            ""
        };
        parts.push(format!("commit {commit}{dirty}"));
    }
    let hash: String = build.sha256.chars().take(SHORT_HASH).collect();
    parts.push(clean(&format!("{} sha256 {hash}", build.path)));
    parts.push(clean(&build.rustc));
    parts.retain(|part| !part.trim().is_empty());
    parts.join(", ")
}

/// What this subject has that others do not.
fn about(subject: &Subject) -> String {
    let mut parts = Vec::new();
    parts.extend(
        subject
            .skipped_why
            .as_deref()
            .map(|why| format!("skipped: {}", clean(why))),
    );
    parts.extend(subject.ack.as_ref().map(|ack| format!("ack {ack}")));
    let overrides = pairs(&subject.overrides);
    if !overrides.is_empty() {
        parts.push(overrides);
    }
    let kept = subject.guarantees.iter().filter(|(_, keeps)| !**keeps);
    parts.extend(kept.map(|(name, _)| format!("not {}", clean(name).replace('_', " "))));
    parts.join("; ")
}

fn pairs(map: &BTreeMap<String, String>) -> String {
    let pairs = map
        .iter()
        .map(|(key, value)| clean(&format!("{key}={value}")));
    pairs.collect::<Vec<_>>().join(", ")
}
