//! A run from its first connection to its phase. The caller's thread reports; the driver's threads
//! drive.

mod thread;

use super::Lane;
use super::port::Port;
use super::reporter::{Measuring, Reporter, TICK};
use super::shared::Shared;
use super::stop::Stop;
use super::sum_up;
use crate::data::Element;
use crate::events::Event;
use crate::plan::{Arrival, End, LoadPlan, Shape};
use crate::process::{self, CpuTime};
use crate::{Error, Result};
use reports::outcome_log::Record;
use reports::result::{Phase, Usage};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use thread::{FromThread, NotReady, Thread};
use tokio::sync::watch;

/// What a run left behind.
#[derive(Debug)]
pub struct Measured {
    pub phase: Phase,
    /// The data ended and began again although the plan does not want that.
    pub data_wrapped: bool,
    /// Connections that were lost or could not be made, and why the last one was not.
    pub connections_lost: u64,
    pub lost_because: String,
    shared: Arc<Shared>,
    threads: Vec<Measuring>,
}

impl Measured {
    /// Calls `each` with the record of every request that ended, in no particular order. There are
    /// none unless the plan asked to keep outcomes, and none of requests that were dropped: nobody
    /// was told anything about those.
    pub fn outcomes<E>(
        &self,
        mut each: impl FnMut(&Record) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        for thread in &self.threads {
            let recorder = thread.recorder();
            recorder
                .outcomes(&self.shared)
                .try_for_each(|record| each(&record))?;
        }
        Ok(())
    }
}

/// The data of a run: who asks for what, and whether some user appears more than once.
#[derive(Clone, Debug)]
pub struct Elements {
    pub elements: Arc<[Element]>,
    pub users_repeat: bool,
}

/// Runs a plan to its end, or until `stop` ends it early. `lane` makes a lane of a port; there is
/// one per connection. `observe` is called with every event but the final one, of progress and
/// samples only if the plan wants reports. It must return quickly, except from
/// [`Event::Ready`] and [`Event::Ended`], after which the run goes on when it returns. An error
/// means that nothing was sent.
pub fn drive<L: Lane>(
    plan: &LoadPlan,
    data: Elements,
    stop: &Stop,
    lane: impl Fn(Port) -> L,
    observe: &mut dyn FnMut(Event),
) -> Result<Measured> {
    plan.check()?;
    if data.elements.is_empty() {
        return Err(Error::Usage("no request data".to_owned()));
    }
    let data_len = data.elements.len() as u64;
    let run = Run::connect(plan, data, stop, lane)?;
    observe(Event::Ready {
        connections: plan.connections,
        requests: requests(plan),
    });
    let mut watched = |event: Event| {
        let is_report = matches!(event, Event::Progress(_) | Event::Samples { .. });
        if plan.report || !is_report {
            observe(event);
        }
    };
    let (shared, threads) = (Arc::clone(&run.shared), run.threads.clone());
    let (reporter, driver) = run.finish(&mut watched);
    let phase = sum_up::phase(plan, &shared, &threads, &reporter, driver);
    let (connections_lost, lost_because) = lost(&threads);
    let used = plan.start_index.saturating_add(shared.source.tally().due);
    Ok(Measured {
        data_wrapped: used > data_len && !plan.may_wrap,
        phase,
        connections_lost,
        lost_because,
        shared,
        threads,
    })
}

/// A run whose connections are up and whose threads wait to start.
struct Run {
    shared: Arc<Shared>,
    threads: Vec<Measuring>,
    handles: Vec<JoinHandle<()>>,
    from_threads: Receiver<FromThread>,
    start: watch::Sender<bool>,
}

impl Run {
    fn connect<L: Lane>(
        plan: &LoadPlan,
        data: Elements,
        stop: &Stop,
        lane: impl Fn(Port) -> L,
    ) -> Result<Self> {
        let shared = Shared::new(plan, data.elements, data.users_repeat, stop.clone());
        let shared = Arc::new(shared);
        let (to_reporter, from_threads) = channel();
        let (start, _) = watch::channel(false);
        let (mut threads, mut handles) = (Vec::new(), Vec::new());
        for number in 0..plan.threads.min(plan.connections) {
            let measuring = Measuring::new();
            let ports = (number..plan.connections)
                .step_by(plan.threads as usize)
                .map(|connection| port(plan, &shared, &measuring, connection));
            let (paced, lanes) = ports.map(|port| (port.slot(), lane(port))).unzip();
            let following = following(plan, &shared, &measuring, number);
            let (following_slots, following) =
                following.map(|port| (port.slot(), lane(port))).unzip();
            threads.push(measuring);
            let thread = Thread {
                paced,
                lanes,
                following_slots,
                following,
                shared: Arc::clone(&shared),
            };
            handles.push(thread.spawn(number, to_reporter.clone(), start.subscribe())?);
        }
        drop(to_reporter);
        if let Err(why) = all_connected(&from_threads, handles.len()) {
            drop(start);
            join(handles);
            let orders = plan.orders.as_ref().filter(|_| why.is_order_service);
            let address = orders.map_or(&plan.address, |orders| &orders.address);
            return Err(Error::Connect {
                address: address.clone(),
                reason: why.reason,
            });
        }
        Ok(Self {
            shared,
            threads,
            handles,
            from_threads,
            start,
        })
    }

    /// Sends until everything has ended. Returns what was noticed on the way, and the usage of this
    /// process from just before the first send to the last reply.
    fn finish(self, observe: &mut dyn FnMut(Event)) -> (Reporter, Usage) {
        let clock = self.shared.clock;
        observe(Event::Started {
            at_unix_us: clock.unix_us(clock.now_ns()),
        });
        let cpu_before = CpuTime::now();
        let started_ns = clock.now_ns();
        self.shared.source.start_at(started_ns);
        let mut reporter = Reporter::new(self.threads.clone(), Arc::clone(&self.shared));
        self.start.send_replace(true);
        report_until_done(
            &self.from_threads,
            self.handles.len(),
            &mut reporter,
            observe,
        );
        let driver = usage(cpu_before);
        reporter.finish(observe);
        let ends_ns = self.threads.iter();
        let last_end_ns = ends_ns.map(|thread| thread.recorder().last_end_ns).max();
        observe(Event::Ended {
            at_unix_us: clock.unix_us(last_end_ns.unwrap_or(0).max(started_ns)),
        });
        // Only now may the threads end: whoever reads the counters of this process still sees them.
        drop(self.start);
        join(self.handles);
        (reporter, driver)
    }
}

/// Worker `i` of a closed loop is on connection `i mod connections`.
fn port(plan: &LoadPlan, shared: &Arc<Shared>, measuring: &Measuring, connection: u32) -> Port {
    let workers = match plan.arrival {
        Arrival::Closed { workers, .. } => {
            let extra = u32::from(connection < workers % plan.connections);
            workers / plan.connections + extra
        }
        Arrival::Open { .. } => 0,
    };
    Port::new(
        Arc::clone(shared),
        Arc::clone(&measuring.recorder),
        Arc::clone(&measuring.counters),
        workers,
    )
}

/// Of the lanes of one thread that send what comes after a yes.
fn following<'a>(
    plan: &'a LoadPlan,
    shared: &'a Arc<Shared>,
    measuring: &'a Measuring,
    number: u32,
) -> impl Iterator<Item = Port> + 'a {
    let threads = plan.threads.min(plan.connections) as usize;
    let queues = shared.follow.iter().flat_map(|follow| follow.queues());
    let queues = queues.skip(number as usize).step_by(threads);
    queues.map(|queue| {
        Port::following(
            Arc::clone(shared),
            Arc::clone(&measuring.recorder),
            Arc::clone(&measuring.counters),
            queue,
        )
    })
}

/// Requests that a plan asks for, where it says so.
fn requests(plan: &LoadPlan) -> Option<u64> {
    match (&plan.arrival, plan.end) {
        (
            Arrival::Open {
                shape: Shape::Spike { buyers },
                ..
            },
            _,
        ) => Some(*buyers),
        (_, End::Count(count)) => Some(count),
        (Arrival::Open { shape, .. }, End::Time(time)) => {
            Some((crate::plan::mean_per_s(shape) * time.as_secs_f64()).round() as u64)
        }
        (Arrival::Closed { .. }, End::Time(_)) => None,
    }
}

fn all_connected(
    from_threads: &Receiver<FromThread>,
    threads: usize,
) -> std::result::Result<(), NotReady> {
    for _ in 0..threads {
        match from_threads.recv() {
            Ok(FromThread::Connected) => {}
            Ok(FromThread::Failed(why)) => return Err(why),
            Ok(FromThread::Done) | Err(_) => {
                return Err(NotReady {
                    is_order_service: false,
                    reason: "a driver thread ended early".to_owned(),
                });
            }
        }
    }
    Ok(())
}

fn report_until_done(
    from_threads: &Receiver<FromThread>,
    threads: usize,
    reporter: &mut Reporter,
    observe: &mut dyn FnMut(Event),
) {
    let mut done = 0;
    while done < threads {
        match from_threads.recv_timeout(TICK) {
            Ok(_) => done += 1,
            Err(RecvTimeoutError::Timeout) => reporter.tick(observe),
            // Every thread is gone, one of them in a panic that `join` passes on.
            Err(RecvTimeoutError::Disconnected) => return,
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

fn usage(before: CpuTime) -> Usage {
    let used = CpuTime::now().since(before);
    Usage {
        user_ns: used.user_ns,
        system_ns: used.system_ns,
        peak_rss_bytes: process::peak_rss_bytes(),
        ..Usage::default()
    }
}

fn lost(threads: &[Measuring]) -> (u64, String) {
    let mut lost = (0, String::new());
    for thread in threads {
        let recorder = thread.recorder();
        lost.0 += recorder.connections_lost;
        if !recorder.lost_because.is_empty() {
            lost.1.clone_from(&recorder.lost_because);
        }
    }
    lost
}
