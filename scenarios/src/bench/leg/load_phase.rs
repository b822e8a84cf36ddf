//! The measured part of a leg: the driver runs, and its events are recorded in the leg as they
//! come. The counters of the processes are read at the last reply and at the end of the drain.

use std::time::Duration;

use anyhow::bail;
use loadgen::events::Event;
use reports::model::{
    DurableLatency, LatencySummary, Leg, OutcomeCounts, SystemCpuPerOrder, TimelinePoint,
    UsageByProcess,
};
use reports::result::Durable;

use super::{LegWork, drain};
use crate::bench::committed_units::{CommittedUnits, CommittedWatch, TIMELINE};
use crate::bench::driver::{Driver, LoadSpec, Summary};
use crate::bench::durable_latency::DurableReader;
use crate::bench::interrupt::Interrupted;
use crate::bench::process_usage;
use crate::bench::progress::{Planned, Step};
use crate::bench::roles::HeldBackConsumer;
use crate::bench::stock_inspector::StockInspector;
use crate::bench::timestamp::now_unix_us;

pub(super) struct LoadPhase<'a> {
    pub work: &'a LegWork<'a>,
    pub spec: LoadSpec<'a>,
    /// A consumer that goes on at the last reply.
    pub held_back: Option<HeldBackConsumer>,
}

/// What was read while the driver ran.
struct Readings {
    /// Counters when all connections were up and nothing had been sent.
    before: UsageByProcess,
    /// Counters when the last reply had arrived.
    at_reply: UsageByProcess,
    committed_units: u64,
}

impl LoadPhase<'_> {
    pub(super) async fn run(
        mut self,
        leg: &mut Leg,
        inspector: &mut StockInspector,
    ) -> anyhow::Result<()> {
        let context = self.work.context;
        let stack = context.stack;
        let database_url = stack.database_url(&self.work.namespace.database);
        let product_id = self.spec.product_id;
        let timeline = CommittedWatch::start(&database_url, product_id).await?;
        let reader = match self.work.is_unranked() {
            true => None,
            false => Some(DurableReader::start(&database_url).await?),
        };
        let mut committed = CommittedUnits::open(&database_url, product_id).await?;
        let mut driver = Driver::start(&self.spec)?;
        let observers = Observers {
            timeline: &timeline,
            reader: reader.as_ref(),
        };
        let (summary, readings) = self
            .drive(leg, &mut driver, &observers, &mut committed)
            .await?;
        drop(self.held_back.take());

        leg.usage_until_reply = process_usage::with_driver(
            process_usage::since(&readings.before, &readings.at_reply),
            summary.cpu_us,
            summary.peak_rss_bytes,
        );
        let accepted = leg.counts.accepted;
        let until_reply_us =
            process_usage::system_cpu_us_per_order(&leg.usage_until_reply, accepted);
        leg.system_cpu_per_order = until_reply_us.map(|until_reply_us| SystemCpuPerOrder {
            until_reply_us,
            until_drained_us: None,
        });
        if let Some(reader) = reader {
            if leg.accepted_units > 0 {
                let share = readings.committed_units as f64 / leg.accepted_units as f64;
                leg.committed_at_last_reply = Some(share.min(1.0));
            }
            let drain = drain::wait(
                &database_url,
                inspector,
                product_id,
                leg.accepted_units,
                context.progress,
            );
            context.interrupt.cut_short(drain).await?;
            let drained_us = now_unix_us() - summary.last_reply_unix_us;
            leg.drain_s = Some(drained_us.max(0) as f64 / 1e6);
            let drained = process_usage::since(&readings.before, &self.work.usage());
            let drained =
                process_usage::with_driver(drained, summary.cpu_us, summary.peak_rss_bytes);
            if let Some(cpu) = &mut leg.system_cpu_per_order {
                cpu.until_drained_us = process_usage::system_cpu_us_per_order(&drained, accepted);
            }
            leg.usage_until_drained = Some(drained);
            leg.durable_latency = Some(as_schema_1(&reader.finish().await?)?);
        }
        driver.ended().await
    }

    /// Handles the driver's events up to its summary.
    async fn drive(
        &self,
        leg: &mut Leg,
        driver: &mut Driver,
        observers: &Observers<'_>,
        committed: &mut CommittedUnits,
    ) -> anyhow::Result<(Summary, Readings)> {
        let context = self.work.context;
        let planned = Planned::Count(self.spec.requests);
        let mut progress = context.progress.phase("load", planned);
        let mut timeline = Timeline::default();
        let usage = || self.work.usage();
        let mut before = usage();
        let mut at_reply = None;
        loop {
            let event = tokio::select! {
                biased;
                () = context.interrupt.wait() => {
                    for event in driver.interrupt().await {
                        record(leg, &event);
                    }
                    return Err(Interrupted.into());
                }
                event = driver.next() => event?,
            };
            let Some(event) = event else {
                bail!("the driver ended without a summary")
            };
            record(leg, &event);
            observers.see(&event);
            if let Event::Started { .. } = event {
                before = usage();
            }
            if let Event::Progress(now) = &event {
                let failed = leg.counts.error + leg.counts.unknown;
                let step = Step {
                    done: now.done(),
                    failed,
                    rate_per_s: now.interval_per_s,
                    p99_ns: now.interval_p99_ns.unwrap_or(0),
                    ..Step::default()
                };
                progress.step(step);
                leg.timeline.extend(timeline.step(
                    now.elapsed_ns / 1_000_000,
                    step,
                    observers.timeline.units(),
                ));
            }
            // The driver writes its outcome log between the last reply and the summary, so the
            // counters are not read as late as the summary.
            if let Event::Ended { .. } = event {
                at_reply = Some((usage(), committed.units().await?));
            }
            if let Event::Finished { phase, .. } = event
                && let Some((at_reply, committed_units)) = at_reply.take()
            {
                return Ok((
                    Summary::of(&phase),
                    Readings {
                        before,
                        at_reply,
                        committed_units,
                    },
                ));
            }
        }
    }
}

fn as_schema_1(durable: &Durable) -> anyhow::Result<DurableLatency> {
    let latencies = durable.hist.read()?;
    Ok(DurableLatency {
        summary: LatencySummary::of(latencies.histogram_us()),
        samples: durable.samples + durable.missing,
        missing: durable.missing,
        resolution_us: durable.poll_gap_p99_ns / 1_000,
    })
}

/// The background readers that a run's events concern, too.
struct Observers<'a> {
    timeline: &'a CommittedWatch,
    reader: Option<&'a DurableReader>,
}

impl Observers<'_> {
    fn see(&self, event: &Event) {
        let samples = match event {
            Event::Samples { samples } => samples,
            _ => return,
        };
        if let Some(reader) = self.reader {
            reader.watch(samples);
        }
    }
}

/// Records an event in the leg, so that the leg has it even if no more events come.
fn record(leg: &mut Leg, event: &Event) {
    match event {
        Event::Progress(now) => {
            leg.counts = OutcomeCounts {
                accepted: now.counts.accepted,
                refused: now.counts.refused,
                duplicate: now.counts.duplicate,
                error: now.counts.error,
                unknown: now.counts.unknown,
            };
            set_rate(leg, now.done(), now.elapsed_ns as f64 / 1e9);
        }
        Event::Finished { phase, .. } => {
            let summary = Summary::of(phase);
            leg.counts = summary.counts;
            leg.accepted_units = summary.accepted_units;
            leg.latency = summary.latency;
            leg.statuses = summary.statuses;
            set_rate(leg, summary.requests, summary.total_s);
        }
        _ => {}
    }
}

fn set_rate(leg: &mut Leg, requests: u64, total_s: f64) {
    leg.requests = requests;
    leg.total_s = total_s;
    leg.requests_per_s = if total_s > 0.0 {
        requests as f64 / total_s
    } else {
        0.0
    };
}

/// Combines the driver's steps into points of the timeline.
#[derive(Default)]
struct Timeline {
    last_t_ms: u64,
    last_done: u64,
    /// The worst P99 of the driver's intervals since the last point.
    worst_p99_us: u64,
}

impl Timeline {
    fn step(&mut self, t_ms: u64, step: Step, committed_units: u64) -> Option<TimelinePoint> {
        self.worst_p99_us = self.worst_p99_us.max(step.p99_ns / 1_000);
        let elapsed = Duration::from_millis(t_ms.saturating_sub(self.last_t_ms));
        if elapsed < TIMELINE {
            return None;
        }
        let rps = (step.done - self.last_done) as f64 / elapsed.as_secs_f64();
        let point = TimelinePoint {
            t_ms,
            rps,
            p99_us: self.worst_p99_us,
            committed_units,
        };
        *self = Self {
            last_t_ms: t_ms,
            last_done: step.done,
            worst_p99_us: 0,
        };
        Some(point)
    }
}
