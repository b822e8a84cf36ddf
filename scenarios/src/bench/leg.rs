//! One leg: fresh state, roles, warm-up, load, drain, audit, clean-up. If something ends it early
//! (a dead server, a failing driver, Ctrl-C), the leg keeps what was measured until then, and the
//! roles are stopped. A leg that does not drain is audited all the same, so that lost orders are
//! named.

mod drain;
mod load_phase;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use reports::model::{AuditReport, Leg, NULL_ENGINE, UsageByProcess};

use self::load_phase::LoadPhase;
use super::driver::{Driver, LoadSpec};
use super::interrupt::Interrupt;
use super::namespace::Namespace;
use super::process_usage;
use super::progress::{Planned, Progress, say};
use super::roles::{RoleSettings, Roles};
use super::stock_inspector::StockInspector;
use crate::audit::{AuditInput, EngineStock, ExpectedSale, audit};
use crate::bench::system_binary::engine_name;
use crate::scenario::{Sale, Scenario};
use crate::stack::Stack;

/// The only stack whose data stays when the stack is taken down.
const EXTERNAL: &str = "external";
/// How often the servers and the roles are checked while a leg runs.
const CHECK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct LegContext<'a> {
    pub stack: &'a Stack,
    pub program: &'a Path,
    pub scenario: &'a Scenario,
    pub overrides: &'a BTreeMap<String, String>,
    pub interrupt: &'a Interrupt,
    pub progress: &'a Progress,
    /// Name of the run on the servers, letters and digits.
    pub run: &'a str,
    /// Leave the database, keys, queues and logs in place, to be looked at.
    pub keep: bool,
}

/// One leg of the plan: one engine, one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedLeg<'a> {
    pub engine: &'a str,
    pub round: u32,
    /// Position in the order of the run, from 1.
    pub index: usize,
}

/// What the load left behind, for the audit.
#[derive(Debug, Default)]
struct Evidence {
    logs: Vec<PathBuf>,
    engine_stock: Vec<EngineStock>,
}

/// Runs one leg. An error is part of the leg that is returned.
pub(super) async fn run(context: &LegContext<'_>, plan: PlannedLeg<'_>) -> Leg {
    let mut leg = Leg::begin(plan.engine, plan.round, context.scenario.load.requests);
    let namespace = Namespace::new(context.run, plan.index);
    let mut roles = Roles::default();
    let work = LegWork {
        context,
        plan,
        namespace: &namespace,
    };
    let mut evidence = Evidence::default();
    let measured = tokio::select! {
        biased;
        broken = watch(context.stack) => Err(broken),
        measured = Box::pin(work.measure(&mut leg, &mut roles, &mut evidence)) => measured,
    };
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
    leg.complete = judged.is_ok();
    leg.error = judged.err().map(|error| format!("{error:#}"));
    // A failed leg is the last one, and the lab's own stack takes its data with it.
    let goes_with_its_stack = leg.error.is_some() && context.stack.kind() != EXTERNAL;
    if !context.keep
        && !goes_with_its_stack
        && let Err(error) = namespace.remove(context.stack).await
    {
        say(&format!(
            "warning: data of {} round {} is left: {error:#}",
            plan.engine, plan.round
        ));
    }
    leg
}

/// Ends only when something is wrong with the stack.
async fn watch(stack: &Stack) -> anyhow::Error {
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
        let mut inspector = StockInspector::new(roles.admin()?)?;
        let open = async {
            let opened = inspector.wait_open(&products).await;
            opened.map_err(|error| anyhow::anyhow!("{error:#}{}", roles.why_nothing_opened()))
        };
        interrupt.cut_short(start.during(open)).await?;
        drop(start);

        if let Some(sale) = self.context.scenario.warmup_sale() {
            let log = self.log_path("warm-up");
            let spec = self.load_spec(
                address,
                sale.product_id,
                context.scenario.warmup_requests,
                &log,
            );
            evidence.logs.push(log.clone());
            interrupt
                .cut_short(self.warm_up(&spec, &mut inspector))
                .await
                .context("warm-up")?;
        }
        let product_id = context
            .scenario
            .sales
            .first()
            .context("the scenario has no sale")?
            .product_id;
        let log = self.log_path("load");
        let spec = self.load_spec(address, product_id, context.scenario.load.requests, &log);
        let held_back = if context.scenario.consumer_held_back {
            roles.hold_consumer()?
        } else {
            None
        };
        let phase = LoadPhase {
            work: self,
            spec,
            held_back,
        };
        evidence.logs.push(log.clone());
        Box::pin(phase.run(leg, &mut inspector)).await?;
        if !self.is_unranked() {
            evidence.engine_stock = interrupt
                .cut_short(engine_stock(&mut inspector, &products))
                .await?;
        }
        Ok(())
    }

    /// Sends the requests of the warm-up, and waits until the system has finished with all of them.
    async fn warm_up(
        &self,
        spec: &LoadSpec<'_>,
        inspector: &mut StockInspector,
    ) -> anyhow::Result<()> {
        let mut phase = self.context.progress.phase("warm-up", Planned::Unknown);
        let mut driver = Driver::start(spec)?;
        let summary = phase.during(driver.summary()).await?;
        drop(phase);
        anyhow::ensure!(
            summary.counts.accepted > 0,
            "no request was accepted: {}",
            summary
                .statuses
                .iter()
                .map(|(status, count)| format!("{status} {count}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        if self.is_unranked() {
            return Ok(());
        }
        let database_url = self.context.stack.database_url(&self.namespace.database);
        drain::wait(
            &database_url,
            inspector,
            spec.product_id,
            summary.accepted_units,
            self.context.progress,
        )
        .await
    }

    /// Stops the service, lets the reconciler finish what is left, stops the other roles, and
    /// audits.
    async fn judge(
        &self,
        leg: &mut Leg,
        roles: &mut Roles,
        evidence: Evidence,
    ) -> anyhow::Result<()> {
        if self.is_unranked() {
            leg.audit = Some(AuditReport::not_applicable());
            return roles.stop().await;
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
            roles.stop_service().await?;
            Roles::reconcile_once(&self.role_settings(), context.stack, namespace).await?;
            roles.stop().await
        };
        repair.during(repaired).await?;
        drop(repair);
        let input = AuditInput {
            database_url: context.stack.database_url(&namespace.database),
            logs: evidence.logs.clone(),
            sales: self.sales().iter().map(expected_sale).collect(),
            engine_stock: evidence.engine_stock.clone(),
        };
        let mut phase = context.progress.phase("audit", Planned::Unknown);
        let report = phase.during(audit(&input)).await;
        report.context("the audit could not be made")
    }

    /// The scenario's sales and the warm-up's own.
    fn sales(&self) -> Vec<Sale> {
        let scenario = self.context.scenario;
        scenario
            .sales
            .iter()
            .copied()
            .chain(scenario.warmup_sale())
            .collect()
    }

    fn role_settings(&self) -> RoleSettings<'_> {
        RoleSettings {
            program: self.context.program,
            engine: self.plan.engine,
            ack: self.context.scenario.ack,
            listen: "127.0.0.1:0",
            overrides: self.context.overrides,
        }
    }

    fn load_spec<'s>(
        &'s self,
        target: std::net::SocketAddr,
        product_id: i64,
        requests: u64,
        outcome_log: &'s Path,
    ) -> LoadSpec<'s> {
        LoadSpec {
            target,
            product_id,
            requests,
            load: &self.context.scenario.load,
            outcome_log,
            tag: self.context.stack.tag(),
            stderr: outcome_log.with_extension("stderr"),
        }
    }

    fn log_path(&self, phase: &str) -> PathBuf {
        self.context
            .stack
            .scratch()
            .join(format!("{}-{phase}.outcomes", self.namespace.database))
    }

    /// Counters of the servers, this leg's roles and this process.
    fn usage(&self) -> UsageByProcess {
        process_usage::with_lab(process_usage::of_leg(
            self.context.stack.usage(),
            self.namespace,
        ))
    }

    fn is_unranked(&self) -> bool {
        engine_name(self.plan.engine) == NULL_ENGINE
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

fn expected_sale(sale: &Sale) -> ExpectedSale {
    ExpectedSale {
        product_id: sale.product_id,
        total: sale.total,
        price_cents: sale.price_cents,
        time_to_pay_ms: None,
    }
}
