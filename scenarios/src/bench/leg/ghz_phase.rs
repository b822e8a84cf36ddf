//! A measured phase with ghz instead of the lab's own driver. ghz tells no buyer's own outcome, so
//! the audit is given a log in which every request has an unknown one: every row must then be of a
//! buyer who asked, with the units that they asked for. And the number of rows is held against the
//! number of answers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use loadgen::data::{Element, generate, write_json};
use loadgen::plan::{Arrival, Data, End, LoadPlan};
use reports::outcome_log::{Operation, Outcome, Record, Writer};
use reports::result::{AuditCheck, DRIVER, Leg, Noise, Phase, UsageByProcess};

use super::Evidence;
use super::load_plan::load_plan;
use super::phase::PhaseRun;
use super::windows::Window;
use crate::bench::interrupt::Interrupted;
use crate::bench::progress::Planned;
use crate::ghz::{Ghz, GhzSpec, Report, Running};
use crate::tables::Tables;

/// How often the progress is shown and ghz's own counters are read, which are gone when it ends.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long an interrupted ghz may take to sum up.
const SUM_UP_LIMIT: Duration = Duration::from_secs(5);

const ITS_WINDOW: &str = "ghz reads its data and writes its report within the window, so CPU per request is a \
    little too high, and neither the drain nor the share committed at the last reply is told.";

/// What ghz left behind.
pub(super) struct GhzPhase {
    pub phase: Phase,
    pub read: (UsageByProcess, Noise),
    pub window: Window,
    /// Answers with OK, be they yes or no.
    answered: u64,
}

impl PhaseRun<'_> {
    pub(super) async fn run_ghz(
        &self,
        leg: &mut Leg,
        evidence: &mut Evidence,
    ) -> anyhow::Result<GhzPhase> {
        let context = self.work.context;
        let plan = load_plan(self)?;
        let elements = elements(&plan)?;
        let stem = self.log_path().with_extension("ghz");
        let data = stem.with_extension("data.json");
        write_json(&data, &elements)?;
        let (Arrival::Closed { workers, .. }, End::Count(requests)) = (&plan.arrival, plan.end)
        else {
            bail!("ghz runs closed phases by count only");
        };
        let spec = GhzSpec {
            target: self.address,
            workers: *workers,
            requests,
            connections: plan.connections,
            timeout: plan.timeout,
            data: &data,
            stem: &stem,
            tag: context.stack.tag(),
        };
        let window = Window::open(self.work, None);
        let ghz = Ghz::find()?;
        let mut running = context.stack.limits().apart(|| ghz.start(&spec))?;
        let mut used_by_driver = None;
        let mut phase = context.progress.phase(&self.plan().name, Planned::Unknown);
        let pid = running.pid();
        // One wait from the beginning to the end: reading a long report takes longer than a look.
        let finished = {
            let mut finishing = std::pin::pin!(running.finish());
            loop {
                tokio::select! {
                    biased;
                    () = context.interrupt.wait() => break None,
                    report = &mut finishing => break Some(report?),
                    () = tokio::time::sleep(LOOK_EVERY) => {
                        // It tells nothing before its end.
                        phase.reached(0);
                        let (mut usage, _) = window.until_now(self.work, pid);
                        used_by_driver = usage.remove(DRIVER).or(used_by_driver);
                    }
                }
            }
        };
        let Some(report) = finished else {
            let report = ended(&mut running).await;
            let purpose = || plan.purpose.clone();
            leg.phases
                .extend(report.map(|it| it.phase(&plan.name, purpose())));
            return Err(Interrupted.into());
        };
        drop(phase);
        let (mut usage, mut noise) = window.until_now(self.work, None);
        if let Some(used) = used_by_driver {
            // It had ended when the machine's counters were read, and looked like a stranger.
            noise.foreign_cpu_ns = noise.foreign_cpu_ns.saturating_sub(used.cpu_ns());
            usage.insert(DRIVER.to_owned(), used);
        }
        anyhow::ensure!(
            report.is_complete(),
            "ghz ended before it had sent {requests} requests"
        );
        evidence.blind_spots.extend(report.blind_spots());
        evidence.blind_spots.push(ITS_WINDOW.to_owned());
        let phase = report.phase(&plan.name, plan.purpose.clone());
        let answered = phase.outcomes().accepted;
        let sent = usize::try_from(requests)?;
        write_log(&self.log_path(), elements.iter().cycle().take(sent), &phase)?;
        Ok(GhzPhase {
            phase,
            read: (usage, noise),
            window,
            answered,
        })
    }

    /// After the drain: what was answered is told apart by the rows, and both are held against each
    /// other.
    pub(super) async fn count_rows(
        &self,
        phase: &mut Phase,
        answered: u64,
        evidence: &mut Evidence,
    ) -> anyhow::Result<()> {
        let context = self.work.context;
        let url = context.stack.database_url(&self.work.namespace.database);
        let mut tables = Tables::open(&url).await?;
        let products: Vec<String> = context
            .scenario
            .products_of(self.index)
            .iter()
            .map(i64::to_string)
            .collect();
        let mut sum = async |what: &str| -> anyhow::Result<u64> {
            let query = format!(
                "SELECT CAST(COALESCE({what}, 0) AS SIGNED) FROM orders WHERE live = 1 AND product_id IN ({})",
                products.join(", ")
            );
            let found = tables
                .integers(&query)
                .await
                .context("orders cannot be counted")?;
            Ok(found
                .first()
                .map_or(0, |sum| u64::try_from(*sum).unwrap_or(0)))
        };
        let (orders, units) = (sum("COUNT(*)").await?, sum("SUM(quantity)").await?);
        crate::ghz::split_answered(phase, orders, units);
        let most = answered + phase.outcomes().unknown;
        // Where units may run out, an answer may have been a no.
        let least = if context.scenario.may_sell_out {
            0
        } else {
            answered
        };
        evidence.checks.push(AuditCheck {
            name: "as many orders as answers".to_owned(),
            invariant: "b".to_owned(),
            passed: (least..=most).contains(&orders),
            expected: format!("{least} to {most} live orders for {answered} answers"),
            actual: orders.to_string(),
        });
        tables.close().await;
        Ok(())
    }
}

impl GhzPhase {
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }
}

fn elements(plan: &LoadPlan) -> anyhow::Result<Vec<Element>> {
    match &plan.data {
        Data::Generated(spec) => Ok(generate(spec)?),
        Data::File(_) => bail!("ghz is given data that the lab generates"),
    }
}

async fn ended(running: &mut Running) -> Option<Report> {
    running.interrupt();
    tokio::time::timeout(SUM_UP_LIMIT, running.finish())
        .await
        .ok()?
        .ok()
}

/// A log of every request with an unknown outcome.
fn write_log<'a>(
    path: &Path,
    elements: impl Iterator<Item = &'a Element>,
    phase: &Phase,
) -> anyhow::Result<()> {
    let began_unix_us = phase.start_unix_us;
    let ended_unix_us = began_unix_us + i64::try_from(phase.length_ns / 1_000)?;
    let mut log = Writer::create(path)?;
    for element in elements {
        log.push(&Record {
            operation: Operation::Buy,
            user_id: element.user_id,
            product_id: element.product_id,
            asked_order_id: 0,
            quantity: element.quantity.unsigned_abs(),
            outcome: Outcome::Unknown,
            refusal: None,
            order_id: 0,
            due_at_unix_us: began_unix_us,
            sent_at_unix_us: Some(began_unix_us),
            ended_at_unix_us: ended_unix_us,
        })?;
    }
    log.finish()?;
    Ok(())
}
