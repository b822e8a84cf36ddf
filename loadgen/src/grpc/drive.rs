//! A run from its first connection to its summary. The caller's thread reports; the driver's
//! threads drive.

use super::clock::Clock;
use super::lane::{Alarm, Lane};
use super::recorder::{Recorder, latency_histogram};
use super::reporter::{Reporter, SAMPLES_EVERY, add};
use super::shared::Shared;
use super::{LoadPlan, Stop};
use crate::data::Encoded;
use crate::events::{Event, Summary};
use crate::message::METHOD_PATH;
use crate::process;
use crate::wire::Target;
use crate::{Error, Result};
use hdrhistogram::Histogram;
use reports::model::LatencySummary;
use reports::outcome_log::Record;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the server may take to accept all connections before the run.
const CONNECT_FIRST_MAX: Duration = Duration::from_secs(5);

/// What a run left behind.
#[derive(Debug)]
pub struct Measured {
    pub summary: Summary,
    /// All latencies, in µs.
    pub latency: Histogram<u64>,
    shared: Arc<Shared>,
    recorders: Vec<Arc<Mutex<Recorder>>>,
}

impl Measured {
    /// Calls `each` with the record of every request, in no particular order. There are none unless
    /// the plan asked to keep outcomes.
    pub fn outcomes<E>(
        &self,
        mut each: impl FnMut(&Record) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        for recorder in &self.recorders {
            let recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
            recorder
                .outcomes(&self.shared)
                .try_for_each(|record| each(&record))?;
        }
        Ok(())
    }
}

enum FromThread {
    Connected,
    Failed(String),
    Done,
}

/// Runs a plan to its end, or until `stop` ends it early. `observe` is called with every event
/// except the final summary, and must return quickly. An error means that nothing was sent.
pub fn drive(
    plan: &LoadPlan,
    data: Arc<Encoded>,
    stop: &Stop,
    observe: &mut dyn FnMut(Event),
) -> Result<Measured> {
    plan.check()?;
    if data.is_empty() {
        return Err(Error::Usage("no request data".to_owned()));
    }
    let addresses: Arc<[SocketAddr]> = resolve(&plan.address)?.into();
    let target = Target::new(&plan.address, METHOD_PATH, plan.timeout.as_millis() as u64)
        .ok_or_else(|| Error::Usage(format!("the address is too long: {}", plan.address)))?;
    let clock = Clock::start();
    let shared = Arc::new(Shared::new(plan, target, data, stop.clone(), clock));
    let (to_reporter, from_threads) = channel();
    let (start, _) = watch::channel(false);
    let mut recorders = Vec::new();
    let mut threads = Vec::new();
    for thread in 0..plan.threads.min(plan.connections) {
        let recorder = Arc::new(Mutex::new(Recorder::new(plan.report)));
        let lanes = (thread..plan.connections)
            .step_by(plan.threads as usize)
            .map(|connection| {
                let workers = workers_of(plan, connection);
                Lane::new(
                    Arc::clone(&shared),
                    Arc::clone(&recorder),
                    Arc::clone(&addresses),
                    workers,
                )
            })
            .collect();
        recorders.push(recorder);
        threads.push(spawn(
            thread,
            lanes,
            Arc::clone(&shared),
            to_reporter.clone(),
            start.subscribe(),
        )?);
    }
    drop(to_reporter);
    if let Err(reason) = all_connected(&from_threads, threads.len()) {
        drop(start);
        join(threads);
        return Err(Error::Connect {
            address: plan.address.clone(),
            reason,
        });
    }
    observe(Event::Started {
        at_unix_us: clock.unix_us(clock.now_us()),
        connections: plan.connections,
        concurrency: plan.concurrency,
        requests: plan.requests,
    });
    let cpu_before_us = process::cpu_us();
    let mut reporter = plan.report.then(|| Reporter::new(recorders.clone(), clock));
    start.send_replace(true);
    report_until_done(&from_threads, threads.len(), reporter.as_mut(), observe);
    let cpu_us = process::cpu_us() - cpu_before_us;
    join(threads);
    if let Some(reporter) = &mut reporter {
        reporter.progress(observe);
    }
    Ok(measured(shared, recorders, cpu_us))
}

/// Worker `i` is on connection `i mod connections`.
fn workers_of(plan: &LoadPlan, connection: u32) -> u32 {
    let extra = u32::from(connection < plan.concurrency % plan.connections);
    plan.concurrency / plan.connections + extra
}

fn resolve(address: &str) -> Result<Vec<SocketAddr>> {
    if address
        .rsplit_once(':')
        .is_none_or(|(_, port)| port.parse::<u16>().is_err())
    {
        return Err(Error::Usage(format!(
            "the address must be HOST:PORT, got {address}"
        )));
    }
    match address.to_socket_addrs().map(Vec::from_iter) {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(Error::Connect {
            address: address.to_owned(),
            reason: "no address was found for the name".to_owned(),
        }),
        Err(error) => Err(Error::Connect {
            address: address.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn spawn(
    number: u32,
    lanes: Vec<Lane>,
    shared: Arc<Shared>,
    to_reporter: Sender<FromThread>,
    start: watch::Receiver<bool>,
) -> Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System {
            action: "build a runtime",
            source,
        })?;
    std::thread::Builder::new()
        .name(format!("driver-{number}"))
        .spawn(move || {
            runtime.block_on(thread_main(lanes, shared, &to_reporter, start));
            // The receiver only goes away when the run is over anyway.
            let _ = to_reporter.send(FromThread::Done);
        })
        .map_err(|source| Error::System {
            action: "start a thread",
            source,
        })
}

async fn thread_main(
    mut lanes: Vec<Lane>,
    shared: Arc<Shared>,
    to_reporter: &Sender<FromThread>,
    mut start: watch::Receiver<bool>,
) {
    let deadline = tokio::time::Instant::now() + CONNECT_FIRST_MAX;
    // The connections are made one after the other: a burst of hundreds would overflow the server's
    // backlog of connections to accept.
    for lane in &mut lanes {
        if let Err(reason) = lane.connect_first(deadline).await {
            let _ = to_reporter.send(FromThread::Failed(reason));
            return;
        }
    }
    let _ = to_reporter.send(FromThread::Connected);
    if start.wait_for(|started| *started).await.is_err() {
        return;
    }
    let alarms = lanes.iter().map(Lane::alarm).collect();
    let timer = tokio::spawn(Alarm::ring_all(alarms, shared));
    lanes
        .into_iter()
        .map(Lane::run)
        .collect::<JoinSet<()>>()
        .join_all()
        .await;
    timer.abort();
}

fn all_connected(
    from_threads: &Receiver<FromThread>,
    threads: usize,
) -> std::result::Result<(), String> {
    for _ in 0..threads {
        match from_threads.recv() {
            Ok(FromThread::Connected) => {}
            Ok(FromThread::Failed(reason)) => return Err(reason),
            Ok(FromThread::Done) | Err(_) => return Err("a driver thread ended early".to_owned()),
        }
    }
    Ok(())
}

fn report_until_done(
    from_threads: &Receiver<FromThread>,
    threads: usize,
    mut reporter: Option<&mut Reporter>,
    observe: &mut dyn FnMut(Event),
) {
    let mut done = 0;
    while done < threads {
        let received = match &reporter {
            Some(_) => from_threads.recv_timeout(SAMPLES_EVERY),
            None => from_threads
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(_) => done += 1,
            Err(RecvTimeoutError::Timeout) => {}
            // Every thread is gone, one of them in a panic that `join` passes on.
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(reporter) = &mut reporter {
            reporter.tick(observe);
        }
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn measured(shared: Arc<Shared>, recorders: Vec<Arc<Mutex<Recorder>>>, cpu_us: u64) -> Measured {
    let mut latency = latency_histogram();
    let mut summary = Summary {
        cpu_us,
        peak_rss_bytes: process::peak_rss_bytes(),
        ..Summary::default()
    };
    let mut statuses = BTreeMap::<String, u64>::new();
    let mut first_send_us = None;
    let mut last_end_us = 0;
    for recorder in &recorders {
        let recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut summary.counts, &recorder.counts);
        summary.accepted_units += recorder.accepted_units;
        latency
            .add(&recorder.latency)
            .expect("both have the same bounds");
        first_send_us = [first_send_us, recorder.first_send_us]
            .into_iter()
            .flatten()
            .min();
        last_end_us = last_end_us.max(recorder.last_end_us);
        for (label, count) in recorder.statuses() {
            *statuses.entry(label).or_default() += count;
        }
    }
    summary.requests = summary.counts.total();
    summary.latency = LatencySummary::of(&latency);
    summary.statuses = statuses.into_iter().collect();
    summary
        .statuses
        .sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if summary.requests > 0 {
        summary.last_reply_unix_us = shared.clock.unix_us(last_end_us);
        summary.first_send_unix_us = first_send_us.map_or(0, |at_us| shared.clock.unix_us(at_us));
    }
    Measured {
        summary,
        latency,
        shared,
        recorders,
    }
}
