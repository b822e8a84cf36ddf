//! A search for the highest rate that meets the scenario's objective, one subject after the other:
//! a calibration, and then legs at the rates that [`crate::capacity`] asks for.

use reports::result::{AuditVerdict, Flag, Leg, LimitBy, Objective, Phase, Run};

use super::{KnownRates, Runner, ScenarioPlan, Turn, calibrated_per_s};
use crate::bench::plan::LegKind;
use crate::bench::progress::say;
use crate::bench::subjects::SubjectPlan;
use crate::capacity::{Met, ProbeOutcome, Search, Settings, Step};

/// A phase that sent less than this share of what was due was not offered its rate.
const SENT_SHARE_MIN: f64 = 0.98;

/// False when a search could not be ended.
pub(super) async fn run(runner: &Runner<'_>, plan: &ScenarioPlan, run: &mut Run) -> bool {
    for subject in &plan.subjects {
        if !Box::pin(of_subject(runner, run, plan, subject)).await {
            return false;
        }
    }
    true
}

async fn of_subject(
    runner: &Runner<'_>,
    run: &mut Run,
    plan: &ScenarioPlan,
    subject: &SubjectPlan,
) -> bool {
    let objective = &plan.scenario.objective.clone().unwrap_or_default();
    let known = KnownRates::new();
    let turn = Turn::new(&plan.scenario, subject, LegKind::Calibration);
    let calibration = runner.leg(run, turn, &known).await;
    let Some(saturated_per_s) = calibration.and_then(calibrated_per_s) else {
        return false;
    };
    let number = run.searches.len();
    let mut search = match Search::new(Settings::from_saturated(saturated_per_s)) {
        Ok(search) => search,
        Err(error) => {
            run.error = Some(format!("{}: {error:#}", subject.id));
            return false;
        }
    };
    let ended = loop {
        let rate_per_s = match search.next() {
            Step::Probe { rate_per_s } => rate_per_s,
            Step::Done(_) | Step::Failed(_) => break true,
        };
        let kind = LegKind::Probe {
            search: number,
            step: search.legs(),
            rate_per_s,
        };
        let before = run.legs.len();
        let turn = Turn {
            may_fail: true,
            ..Turn::new(&plan.scenario, subject, kind)
        };
        let goes_on = runner.leg(run, turn, &known).await.is_some();
        let Some(leg) = run.legs.get(before) else {
            break false;
        };
        let met = judged(leg, objective);
        say(&format!(
            "{} at {rate_per_s:.0}/s: {}",
            subject.id,
            in_words(&met)
        ));
        search.tell(ProbeOutcome {
            leg: leg.id.clone(),
            met,
        });
        // A leg that broke may be tried again, unless the user or the stack ended it.
        let is_over = runner.context.interrupt.is_raised()
            || (!goes_on && runner.context.stack.check().await.is_err());
        if is_over {
            break false;
        }
    };
    let scenario = &plan.scenario.name;
    let found = search.to_result(scenario, &subject.id, objective, Some(saturated_per_s));
    if let Some(holds_per_s) = found.holds_per_s {
        let share = holds_per_s / saturated_per_s;
        say(&format!(
            "{}: {holds_per_s:.0}/s holds, {:.0} % of the saturated {saturated_per_s:.0}/s",
            subject.id,
            share * 100.0
        ));
    }
    run.searches.push(found);
    ended
}

/// What a leg says of its rate.
fn judged(leg: &Leg, objective: &Objective) -> Met {
    let broken = |why: &str| Met::Broken {
        why: why.lines().next().unwrap_or_default().to_owned(),
    };
    let missed = |why: String| Met::Missed { why };
    if leg
        .audit
        .as_ref()
        .is_some_and(|audit| audit.verdict == AuditVerdict::Failed)
    {
        return missed("the audit failed".to_owned());
    }
    let measured = match (&leg.error, leg.measured()) {
        (Some(error), _) => return broken(error),
        (None, None) => return broken("nothing was measured"),
        (None, Some(measured)) => measured,
    };
    let sent_share = measured.sent as f64 / measured.due.max(1) as f64;
    if measured.limit.by == LimitBy::Driver && sent_share < SENT_SHARE_MIN {
        return Met::NotOffered {
            reached_per_s: measured.finished_per_s(),
        };
    }
    if leg.flags.contains(&Flag::StockEnded) || leg.flags.contains(&Flag::DataWrapped) {
        return broken("stock or data ended before the phase did");
    }
    match why_missed(measured, objective) {
        Some(_) if lags_by_itself(measured, objective) => Met::NotOffered {
            reached_per_s: measured.finished_per_s(),
        },
        Some(why) => missed(why),
        None => Met::Met,
    }
}

/// Whether the driver's own lateness is a good part of what the objective allows, so that it would be
/// the driver who missed it.
fn lags_by_itself(measured: &Phase, objective: &Objective) -> bool {
    let lag = measured.send_lag.as_ref().and_then(|lag| lag.read().ok());
    let lag_p99_ns = lag.and_then(|lag| lag.quantile_ns(0.99));
    measured.limit.by == LimitBy::Driver
        && lag_p99_ns
            .zip(objective.p99_ns_max)
            .is_some_and(|(lag_ns, most_ns)| lag_ns > most_ns / 2)
}

fn why_missed(measured: &Phase, objective: &Objective) -> Option<String> {
    let failed = measured.outcomes().failed() + measured.dropped_in_all();
    let share = failed as f64 / measured.due.max(1) as f64;
    if let Some(most) = objective.failed_share_max.filter(|most| share > *most) {
        return Some(format!(
            "{failed} of {} failed or were dropped, at most a share of {most}",
            measured.due
        ));
    }
    let most_ns = objective.p99_ns_max?;
    let ms = |ns: u64| ns as f64 / 1e6;
    match measured.headline_latencies().quantile_ns(0.99) {
        None => Some("no request ended".to_owned()),
        Some(p99_ns) if p99_ns > most_ns => Some(format!(
            "P99 of {:.1} ms, at most {:.1}",
            ms(p99_ns),
            ms(most_ns)
        )),
        Some(_) => None,
    }
}

fn in_words(met: &Met) -> String {
    match met {
        Met::Met => "met".to_owned(),
        Met::Missed { why } => format!("missed: {why}"),
        Met::NotOffered { reached_per_s } => {
            format!("the driver reached only {reached_per_s:.0}/s")
        }
        Met::Broken { why } => format!("it broke: {why}"),
    }
}
