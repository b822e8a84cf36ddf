//! One leg: fresh state, roles, the scenario's phases, drain, audit, clean-up. If something ends it
//! early (a dead server, a failing driver, Ctrl-C), the leg keeps what was measured until then, and
//! the roles are stopped. A leg that does not drain is audited all the same, so that lost orders are
//! named.

mod after_yes;
mod drain;
mod flags;
mod ghz_phase;
mod load_plan;
mod phase;
mod profiling;
mod windows;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reports::result::{AuditCheck, AuditReport, DriverKind, Flag, Leg, Probe, Purpose};
use tokio::sync::watch;

pub(super) use self::drain::NOT_DRAINED;
use self::phase::PhaseRun;
pub(super) use self::profiling::Profiling;
use super::interrupt::{Interrupt, Interrupted};
use super::namespace::Namespace;
use super::plan::{LegKind, PlannedLeg};
use super::progress::{Planned, Progress, say};
use super::roles::{RoleSettings, Roles};
use super::stock_inspector::StockInspector;
use super::timestamp::now_unix_us;
use crate::audit::{AuditInput, EngineStock, audit};
use crate::profile::Stopped;
use crate::scenario::{Sale, Scenario};
use crate::stack::Stack;

/// The only stack whose data stays when the stack is taken down.
const EXTERNAL: &str = "external";
/// How often the servers and the roles are checked while a leg runs.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// How long the driver may take to sum up when a server or a role has died under it.
const SUM_UP_LIMIT: Duration = Duration::from_secs(7);

/// Throughputs that were measured before a leg, per second, by the names that rates refer to: a phase,
/// or [`crate::scenario::SLOWEST`].
pub(super) type KnownRates = BTreeMap<String, f64>;

#[derive(Debug)]
pub(super) struct LegContext<'a> {
    pub stack: &'a Stack,
    pub scenario: &'a Scenario,
    pub interrupt: &'a Interrupt,
    pub progress: &'a Progress,
    /// Name of the run on the servers, letters and digits.
    pub run: &'a str,
    /// Leave the database, keys, queues and logs in place, to be looked at.
    pub keep: bool,
    /// The scratch folder is in memory.
    pub is_tmpfs: bool,
    /// Of the machine.
    pub cores: u32,
    pub profiling: Option<&'a Profiling>,
}

/// What the load left behind, for the audit.
#[derive(Debug, Default)]
struct Evidence {
    logs: Vec<PathBuf>,
    engine_stock: Vec<EngineStock>,
    /// Checks that the driver's kind asks for beside the audit's own.
    checks: Vec<AuditCheck>,
    /// What the driver cannot tell the audit.
    blind_spots: Vec<String>,
    /// Samples of a profiler, to be drawn at the end.
    samples: Option<Stopped>,
}

/// Runs one leg; `known` are the throughputs that were measured before it, by the names that rates
/// refer to. An error is part of the leg that is returned.
pub(super) async fn run(context: &LegContext<'_>, plan: PlannedLeg<'_>, known: &KnownRates) -> Leg {
    let position = u32::try_from(plan.index).unwrap_or(u32::MAX);
    let id = plan.index.to_string();
    let mut leg = Leg::begin(
        id,
        &context.scenario.name,
        &plan.subject.id,
        plan.round,
        position,
    );
    leg.started_unix_us = now_unix_us();
    if let LegKind::Probe { search, step, .. } = plan.kind {
        leg.probe = Some(Probe {
            search: u32::try_from(search).unwrap_or(u32::MAX),
            step,
        });
    }
    let namespace = Namespace::new(context.run, plan.index);
    let mut roles = Roles::default();
    let work = LegWork {
        context,
        plan,
        namespace: &namespace,
        known,
        is_broken: watch::Sender::new(false),
    };
    let mut evidence = Evidence::default();
    let measured = {
        let mut measuring = Box::pin(work.measure(&mut leg, &mut roles, &mut evidence));
        tokio::select! {
            biased;
            broken = until_broken(context.stack) => {
                // The driver is given a moment to sum up what it has.
                work.is_broken.send_replace(true);
                drop(tokio::time::timeout(SUM_UP_LIMIT, &mut measuring).await);
                Err(broken)
            }
            measured = &mut measuring => measured,
        }
    };
    let samples = evidence.samples.take();
    if samples.is_some() {
        leg.flags.insert(Flag::Profiled);
    }
    let judged = match measured {
        Ok(()) => Box::pin(work.judge(&mut leg, &mut roles, evidence)).await,
        Err(error) if error.is::<drain::NotDrained>() => {
            match Box::pin(work.judge(&mut leg, &mut roles, evidence)).await {
                Ok(()) => Err(error),
                Err(unjudged) => Err(error.context(format!("{unjudged:#}"))),
            }
        }
        Err(error) => {
            // Only the first error is reported, because the roles may have died of the same cause.
            drop(roles.stop().await);
            Err(error)
        }
    };
    if let Some(samples) = samples {
        work.draw(samples).await;
    }
    leg.complete = judged.is_ok();
    leg.error = judged.err().map(|error| format!("{error:#}"));
    leg.flags
        .extend(flags::of(&leg, context.scenario, context.is_tmpfs));
    leg.ended_unix_us = now_unix_us();
    // Where a failed leg is the last one, the lab's own stack takes its data with it.
    let is_last = leg.error.is_some() && !plan.subject.is_unsafe() && !plan.may_fail;
    let goes_with_its_stack = is_last && context.stack.kind() != EXTERNAL;
    if !context.keep
        && !goes_with_its_stack
        && let Err(error) = namespace.remove(context.stack).await
    {
        say(&format!(
            "warning: data of {} round {} is left: {error:#}",
            plan.subject.id, plan.round
        ));
    }
    leg
}

/// Ends only when something is wrong with the stack.
async fn until_broken(stack: &Stack) -> anyhow::Error {
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        if let Err(error) = stack.check().await {
            return error;
        }
    }
}

struct LegWork<'a> {
    context: &'a LegContext<'a>,
    plan: PlannedLeg<'a>,
    namespace: &'a Namespace,
    known: &'a KnownRates,
    /// A server or a role has died.
    is_broken: watch::Sender<bool>,
}

impl LegWork<'_> {
    async fn measure(
        &self,
        leg: &mut Leg,
        roles: &mut Roles,
        evidence: &mut Evidence,
    ) -> anyhow::Result<()> {
        let Self {
            context, namespace, ..
        } = self;
        let (stack, interrupt) = (context.stack, context.interrupt);
        let sales = self.sales();
        let products: Vec<i64> = sales.iter().map(|sale| sale.product_id).collect();
        let role_settings = self.role_settings();
        let mut start = context.progress.phase("start", Planned::Unknown);
        stack.reset_peaks();
        interrupt
            .cut_short(Roles::migrate(&role_settings, stack, namespace, &sales))
            .await?;
        interrupt.cut_short(namespace.check_file(stack)).await?;
        let address = interrupt
            .cut_short(roles.start(&role_settings, stack, namespace))
            .await?;
        let address = match role_settings.needs_gateway {
            true => roles.gateway()?,
            false => address,
        };
        let orders = self.after().map(|_| roles.orders()).transpose()?;
        let mut inspector = StockInspector::new(roles.admin()?)?;
        let open = async {
            let opened = inspector.wait_open(&products).await;
            opened.map_err(|error| anyhow::anyhow!("{error:#}{}", roles.why_nothing_opened()))
        };
        interrupt.cut_short(start.during(open)).await?;
        drop(start);

        // Throughput of the phases so far, by name.
        let mut throughputs = self.known.clone();
        let phases = self.phases();
        for (place, &index) in phases.iter().enumerate() {
            if interrupt.is_raised() {
                return Err(Interrupted.into());
            }
            let run = PhaseRun {
                work: self,
                index,
                address,
                orders,
                is_last: place + 1 == phases.len(),
                throughputs: &throughputs,
            };
            evidence.logs.push(run.log_path());
            Box::pin(run.run(leg, roles, &mut inspector, evidence)).await?;
            if let Some(phase) = leg.phases.last() {
                throughputs.insert(phase.name.clone(), phase.accepted_per_s());
            }
        }
        if self.plan.subject.sells() {
            interrupt.cut_short(self.expired(&products)).await?;
            evidence.engine_stock = interrupt
                .cut_short(engine_stock(&mut inspector, &products))
                .await?;
        }
        Ok(())
    }

    /// Stops the service, lets the reconciler finish what is left, stops the other roles, and
    /// audits.
    async fn judge(
        &self,
        leg: &mut Leg,
        roles: &mut Roles,
        evidence: Evidence,
    ) -> anyhow::Result<()> {
        if !self.plan.subject.sells() {
            leg.audit = Some(AuditReport::not_applicable());
            return roles.stop().await;
        }
        let mut evidence = evidence;
        if evidence.engine_stock.is_empty() {
            self.look_at_stock(roles, &mut evidence).await;
        }
        let audited = self
            .context
            .interrupt
            .cut_short(self.settle_and_audit(roles, &evidence))
            .await;
        // After a failure the roles are still running.
        let stopped = roles.stop().await;
        leg.audit = Some(audited?);
        if !self.context.keep {
            for log in &evidence.logs {
                // A log that cannot be removed goes with the scratch folder.
                drop(std::fs::remove_file(log));
            }
        }
        stopped
    }

    /// After a drain that came to no end. A stock that cannot be read fails the audit.
    async fn look_at_stock(&self, roles: &Roles, evidence: &mut Evidence) {
        let products: Vec<i64> = self.sales().iter().map(|sale| sale.product_id).collect();
        let looking = async {
            let mut inspector = StockInspector::new(roles.admin()?)?;
            engine_stock(&mut inspector, &products).await
        };
        match self.context.interrupt.cut_short(looking).await {
            Ok(stock) => evidence.engine_stock = stock,
            Err(error) => evidence.checks.push(AuditCheck {
                name: "the engine can be asked".to_owned(),
                invariant: "d".to_owned(),
                passed: false,
                expected: "its count of every sale".to_owned(),
                actual: format!("{error:#}"),
            }),
        }
    }

    async fn settle_and_audit(
        &self,
        roles: &mut Roles,
        evidence: &Evidence,
    ) -> anyhow::Result<AuditReport> {
        let Self {
            context, namespace, ..
        } = self;
        let mut repair = context.progress.phase("repair", Planned::Unknown);
        let repaired = async {
            roles.stop_services().await?;
            Roles::reconcile_once(&self.role_settings(), context.stack, namespace).await?;
            roles.stop().await
        };
        repair.during(repaired).await?;
        drop(repair);
        let input = AuditInput {
            database_url: context.stack.database_url(&namespace.database),
            logs: evidence.logs.clone(),
            sales: self.expected_sales(),
            engine_stock: evidence.engine_stock.clone(),
        };
        let mut phase = context.progress.phase("audit", Planned::Unknown);
        let audited = phase.during(audit(&input)).await;
        let audited = audited.map_err(|error| error.context("the audit could not be made"))?;
        let checks = audited.checks.into_iter().chain(evidence.checks.clone());
        let unseen = audited.blind_spots.iter().chain(&evidence.blind_spots);
        Ok(AuditReport {
            blind_spots: unseen.cloned().collect(),
            ..AuditReport::of(checks.collect())
        })
    }

    /// Waits until a server or a role has died.
    async fn broken(&self) {
        let mut is_broken = self.is_broken.subscribe();
        drop(is_broken.wait_for(|is_broken| *is_broken).await);
    }

    /// Indices of the scenario's phases that this leg runs.
    fn phases(&self) -> Vec<usize> {
        let scenario = self.context.scenario;
        let all = 0..scenario.phases.len();
        match self.plan.kind {
            LegKind::Whole => all.collect(),
            LegKind::Calibration => (0..scenario.calibration_phases()).collect(),
            LegKind::Saturating => {
                let is_run = |index: &usize| !scenario.phases[*index].arrival.is_open();
                all.filter(is_run).collect()
            }
            LegKind::Probe { .. } => {
                let is_run = |index: &usize| scenario.phases[*index].purpose != Purpose::Calibrate;
                all.filter(is_run).collect()
            }
        }
    }

    /// Sales of those phases.
    fn sales(&self) -> Vec<Sale> {
        let scenario = self.context.scenario;
        self.phases()
            .into_iter()
            .flat_map(|phase| scenario.sales_of(phase))
            .collect()
    }

    fn role_settings(&self) -> RoleSettings<'_> {
        RoleSettings {
            program: &self.plan.subject.program,
            engine: &self.plan.subject.engine,
            ack: &self.plan.subject.ack,
            listen: "127.0.0.1:0",
            needs_orders: self.after().is_some(),
            needs_gateway: self.plan.subject.driver == DriverKind::HttpFast,
            overrides: &self.plan.subject.settings,
        }
    }
}

async fn engine_stock(
    inspector: &mut StockInspector,
    products: &[i64],
) -> anyhow::Result<Vec<EngineStock>> {
    let mut list = Vec::with_capacity(products.len());
    for &product_id in products {
        let stock = inspector.expect_stock(product_id).await?;
        list.push(EngineStock {
            product_id,
            remaining: stock.remaining,
            open_units: stock.open_units,
        });
    }
    Ok(list)
}
