//! One phase of a leg: the driver runs, and what it says is recorded as it comes. The counters of
//! all processes are read when every connection is up and nothing was sent, when the last reply has
//! come, and, of the last phase, when everything is drained.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use loadgen::events::Event;
use reports::result::{
    DRIVER, DriverKind, Flag, Leg, Limit, Noise, Phase, Purpose, UsageByProcess,
};

use super::drain::{self, Drain};
use super::load_plan::load_plan;
use super::windows::Window;
use super::{Evidence, LegWork};
use crate::bench::committed_units::{CommittedUnits, CommittedWatch};
use crate::bench::driver::{Driver, DriverSpec};
use crate::bench::durable_latency::DurableReader;
use crate::bench::interrupt::Interrupted;
use crate::bench::progress::{Planned, Step, say};
use crate::bench::roles::{HeldBackConsumer, Roles};
use crate::bench::stock_inspector::{Pressure, StockInspector};
use crate::bench::timestamp::now_unix_us;
use crate::profile::{Recording, Stopped};
use crate::scenario::{Arrival, End, OpenShape, PhasePlan};
use crate::usage::{LimitInputs, OpenLoop, limit};

pub(super) struct PhaseRun<'a> {
    pub work: &'a LegWork<'a>,
    /// Of the phase in the scenario.
    pub index: usize,
    pub address: SocketAddr,
    /// Of the order service, where something follows the yes.
    pub orders: Option<SocketAddr>,
    /// Its figures stand for the leg, and everything is drained behind it.
    pub is_last: bool,
    /// Throughput of earlier phases by their names, per second.
    pub throughputs: &'a BTreeMap<String, f64>,
}

/// What runs beside the driver.
#[derive(Clone, Copy)]
struct Observers<'a> {
    watch: &'a CommittedWatch,
    reader: Option<&'a DurableReader>,
    roles: &'a Roles,
}

/// What was read besides the driver's events.
struct Observed {
    window: Window,
    phase: Phase,
    committed_units: u64,
    last_reply_unix_us: i64,
}

impl PhaseRun<'_> {
    pub(super) fn plan(&self) -> &PhasePlan {
        &self.work.context.scenario.phases[self.index]
    }

    pub(super) fn log_path(&self) -> PathBuf {
        let name = format!("{}-{}.outcomes", self.work.namespace.database, self.index);
        self.work.context.stack.scratch().join(name)
    }

    /// Runs the phase and adds it to the leg, complete or not.
    pub(super) async fn run(
        &self,
        leg: &mut Leg,
        roles: &Roles,
        inspector: &mut StockInspector,
        evidence: &mut Evidence,
    ) -> anyhow::Result<()> {
        let context = self.work.context;
        let sells = self.work.plan.subject.sells();
        let database_url = context.stack.database_url(&self.work.namespace.database);
        let products = context.scenario.products_of(self.index);
        let watch = CommittedWatch::start(&database_url, &products).await?;
        let reader = match sells && self.is_last {
            true => Some(DurableReader::start(&database_url).await?),
            false => None,
        };
        let disk_before = context.stack.disk_bytes();
        if self.is_last {
            context.stack.reset_peaks();
        }
        let mut committed =
            CommittedUnits::open(&database_url, &products, self.work.releases()).await?;
        let held_back = match self.is_last && context.scenario.consumer_held_back {
            true => roles.hold_consumer()?,
            false => None,
        };
        let mut answered = None;
        let observed = if self.is_for_ghz() {
            let ran = self.run_ghz(leg, evidence).await?;
            answered = Some(ran.answered());
            Observed {
                last_reply_unix_us: ran.phase.start_unix_us
                    + i64::try_from(ran.phase.length_ns / 1_000)?,
                committed_units: committed.units().await?,
                phase: self.complete(ran.phase, ran.read, None, &[]),
                window: ran.window,
            }
        } else {
            let log = self.log_path();
            let spec = DriverSpec {
                plan: load_plan(self)?,
                outcome_log: &log,
                tag: context.stack.tag(),
                limits: context.stack.limits(),
            };
            let mut driver = Driver::start(&spec)?;
            let observers = Observers {
                watch: &watch,
                reader: reader.as_ref(),
                roles,
            };
            let observed = self
                .drive(
                    leg,
                    &mut driver,
                    &observers,
                    &mut committed,
                    inspector,
                    evidence,
                )
                .await?;
            driver.ended().await?;
            observed
        };
        drop::<Option<HeldBackConsumer>>(held_back);
        let Observed {
            window,
            mut phase,
            committed_units,
            last_reply_unix_us,
        } = observed;
        let mut accepted_units = phase.units_accepted();
        let is_warm_up = phase.purpose == Purpose::WarmUp;
        let statuses = format!("{:?}", phase.statuses);
        if let (Some(answered), true) = (answered, sells) {
            // ghz does not say how many units were sold: once no hold is open, the rows do.
            self.drained(inspector, &products, 0).await?;
            self.count_rows(&mut phase, answered, evidence).await?;
            accepted_units = phase.units_accepted();
        }
        leg.phases.push(phase);
        ensure!(
            !is_warm_up || !sells || accepted_units > 0,
            "no request of the warm-up was accepted: {statuses}"
        );
        if !sells {
            return Ok(());
        }
        // ghz writes its report before it ends, so the last reply is not known to the moment.
        let is_timed = answered.is_none();
        if self.is_last && is_timed && accepted_units > 0 {
            let share = committed_units as f64 / accepted_units as f64;
            leg.committed_at_last_reply = Some(share.min(1.0));
        }
        self.drained(inspector, &products, accepted_units).await?;
        if self.is_last && is_timed {
            let drained_us = now_unix_us() - last_reply_unix_us;
            leg.drain_ns = Some(drained_us.max(0) as u64 * 1_000);
            leg.usage_until_drained = window.until_now(self.work, None).0;
            leg.usage_until_drained.remove(DRIVER);
            leg.disk_bytes = match (disk_before, context.stack.disk_bytes()) {
                (Some(before), Some(now)) => Some(now.saturating_sub(before)),
                _ => None,
            };
        }
        if let Some(reader) = reader {
            leg.durable = Some(reader.finish().await?);
        }
        Ok(())
    }

    /// Waits until everything accepted is committed and no hold is open.
    async fn drained(
        &self,
        inspector: &mut StockInspector,
        products: &[i64],
        accepted_units: u64,
    ) -> anyhow::Result<()> {
        let context = self.work.context;
        let drain = Drain {
            progress: context.progress,
            database_url: &context.stack.database_url(&self.work.namespace.database),
            products,
            accepted_units,
            ends_when_still: self.work.plan.subject.is_unsafe(),
            has_releases: self.work.releases(),
        };
        let draining = drain::wait(&drain, inspector);
        context.interrupt.cut_short(draining).await
    }

    /// ghz sends what is measured; what comes before it is the lab's own.
    fn is_for_ghz(&self) -> bool {
        self.work.plan.subject.driver == DriverKind::Ghz && self.plan().purpose == Purpose::Measure
    }

    /// Handles the driver's events up to its last. On an interrupt the driver sums up what it has,
    /// and that is the leg's last phase.
    async fn drive(
        &self,
        leg: &mut Leg,
        driver: &mut Driver,
        observers: &Observers<'_>,
        committed: &mut CommittedUnits,
        inspector: &mut StockInspector,
        evidence: &mut Evidence,
    ) -> anyhow::Result<Observed> {
        let Observers {
            watch,
            reader,
            roles,
        } = *observers;
        let mut recording = None;
        let context = self.work.context;
        let mut progress = context.progress.phase(&self.plan().name, self.planned());
        let mut window = None;
        let mut ended = None;
        // Units committed at a time since the start, in ns.
        let mut timeline = Vec::<(u64, u64)>::new();
        let pid = driver.pid();
        let limit = self.work.plan.phase_limit;
        let too_long = tokio::time::sleep(limit.unwrap_or(Duration::MAX));
        tokio::pin!(too_long);
        loop {
            let event = tokio::select! {
                biased;
                () = context.interrupt.wait() => {
                    leg.phases.extend(driver.interrupt().await);
                    return Err(Interrupted.into());
                }
                () = self.work.broken() => {
                    leg.phases.extend(driver.interrupt().await);
                    bail!("a server or a role died");
                }
                () = &mut too_long, if limit.is_some() => {
                    leg.phases.extend(driver.interrupt().await);
                    bail!(
                        "the phase \"{}\" was not done after {} s, many times what the base takes for it",
                        self.plan().name,
                        limit.unwrap_or_default().as_secs()
                    );
                }
                event = driver.next() => event?,
            };
            match event {
                None => bail!("the driver ended without a result"),
                Some(Event::Ready { .. }) => {
                    if self.is_last {
                        recording = self.work.start_profiling(roles, pid).await?;
                    }
                    let pressure = inspector.pressure().await;
                    window = Some((Window::open(self.work, pid), pressure));
                    driver.go().await?;
                }
                Some(Event::Started { .. }) => {}
                Some(Event::Progress(now)) => {
                    timeline.push((now.elapsed_ns, watch.units()));
                    progress.step(Step {
                        // What follows a yes comes on top of what was planned.
                        done: now
                            .done()
                            .min(self.plan().end.requests().unwrap_or(u64::MAX)),
                        failed: now.counts.failed() + now.dropped,
                        rate_per_s: now.interval_per_s,
                        p99_ns: now.interval_p99_ns.unwrap_or(0),
                        due: self.plan().arrival.is_open().then_some(now.due),
                        in_flight: Some(now.in_flight),
                    });
                }
                Some(Event::Samples { samples }) => {
                    if let Some(reader) = reader {
                        reader.watch(&samples);
                    }
                }
                Some(Event::Ended { at_unix_us }) => {
                    let (window, before) = window.as_ref().context("the driver was never ready")?;
                    let read = window.until_now(self.work, pid);
                    let committed_units = committed.units().await?;
                    let waited = confirms_share(before, &inspector.pressure().await, &read.1);
                    ended = Some((read, waited, committed_units, at_unix_us));
                    driver.sum_up().await?;
                }
                Some(Event::Finished {
                    phase,
                    data_wrapped,
                }) => {
                    if data_wrapped && self.plan().purpose != Purpose::WarmUp {
                        leg.flags.insert(Flag::DataWrapped);
                    }
                    if let Some(recording) = recording.take() {
                        evidence.samples = stopped(recording).await;
                    }
                    let (read, waited, committed_units, last_reply_unix_us) =
                        ended.context("the driver summed up before its end")?;
                    return Ok(Observed {
                        phase: self.complete(*phase, read, waited, &timeline),
                        window: window.context("the driver was never ready")?.0,
                        committed_units,
                        last_reply_unix_us,
                    });
                }
            }
        }
    }
}

impl PhaseRun<'_> {
    fn planned(&self) -> Planned {
        match self.plan().end {
            End::Requests(requests) => Planned::Count(requests),
            End::Time(time) => Planned::Time(time),
        }
    }

    /// The phase with what only the lab sees: usage, noise, limit, and what was committed when.
    fn complete(
        &self,
        mut phase: Phase,
        (usage, noise): (UsageByProcess, Noise),
        confirms_share: Option<f64>,
        committed: &[(u64, u64)],
    ) -> Phase {
        for interval in &mut phase.timeline {
            let end_ns = interval.t_ns + interval.length_ns;
            let until = committed.partition_point(|(at_ns, _)| *at_ns <= end_ns);
            interval.committed_units = until.checked_sub(1).map(|last| committed[last].1);
        }
        phase.usage = usage;
        phase.noise = noise;
        phase.limit = self.limited_by(&phase, confirms_share);
        phase
    }

    fn limited_by(&self, phase: &Phase, confirms_share: Option<f64>) -> Limit {
        let context = self.work.context;
        let cores = context.cores;
        let limited = context.stack.limits().applied().cpus;
        // A spike has no rate of its own that could be the limit.
        let is_spike = matches!(
            self.plan().arrival,
            Arrival::Open {
                shape: OpenShape::Spike { .. },
                ..
            }
        );
        let offered = phase.offered_per_s.filter(|_| !is_spike);
        let open = offered.map(|offered_per_s| OpenLoop {
            offered_per_s,
            // By count: one straggler at the end says nothing about the rate.
            achieved_per_s: offered_per_s * phase.finished_share(),
            lag_p99_ns: phase
                .send_lag
                .as_ref()
                .and_then(|lag| lag.read().ok()?.quantile_ns(0.99))
                .unwrap_or(0),
            in_flight_bound_met: false,
        });
        limit(&LimitInputs {
            cores,
            system_cores: limited.unwrap_or(f64::from(cores)),
            sees: context.stack.sees(),
            usage: &phase.usage,
            noise: &phase.noise,
            driver_threads: context.scenario.load.driver_threads(),
            open,
            confirms_share,
            workers_idle_share: None,
        })
    }
}

/// Share of the time in which the serving threads waited for confirms with a batch ready.
fn confirms_share(before: &Option<Pressure>, now: &Option<Pressure>, noise: &Noise) -> Option<f64> {
    let (before, now) = (before.as_ref()?, now.as_ref()?);
    let waited_ns = now.confirm_wait_ns.saturating_sub(before.confirm_wait_ns);
    let threads_ns = u64::from(now.threads.max(1)) * noise.window_ns;
    (threads_ns > 0).then(|| (waited_ns as f64 / threads_ns as f64).min(1.0))
}

/// A recording that cannot be stopped in order spoils no leg.
async fn stopped(recording: Recording) -> Option<Stopped> {
    match recording.stop().await {
        Ok(stopped) => Some(stopped),
        Err(error) => {
            say(&format!("warning: no flame graph: {error:#}"));
            None
        }
    }
}
