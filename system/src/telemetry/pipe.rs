//! The way of ended spans to the collector: a bounded queue and a thread of its own, so that a
//! collector that is away, slow or silent costs spans and nobody's time.

use anyhow::Context as _;
use opentelemetry::Context;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as blocking;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Endpoint;

/// Spans that wait to be sent; those beyond are dropped.
const WAITING_MAX: usize = 4_096;
/// Most spans of one call.
const CALL_MAX: usize = 512;
/// Pause after a call that was not full, so that the next one carries more.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest wait for the collector's answer, with all repetitions.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the last spans when stopping. With what roles take when everything hangs, it stays
/// below the 10 s that a stop may take.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(500);

static SENT: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What became of spans since the start.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// The collector has them.
    pub sent: u64,
    /// The collector was away, refused them, or did not answer in time.
    pub failed: u64,
    /// There was no room for them.
    pub dropped: u64,
}

/// What became of spans since the start.
pub fn counts() -> Counts {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Counts {
        sent: of(&SENT),
        failed: of(&FAILED),
        dropped: of(&DROPPED),
    }
}

/// The end of the way that is held by whoever started it.
#[derive(Debug)]
pub struct Pipe {
    stop: oneshot::Sender<()>,
    /// Told when the last span is sent.
    ended: blocking::Receiver<()>,
}

/// The end into which spans go.
#[derive(Debug)]
pub struct Spans(mpsc::Sender<SpanData>);

impl Pipe {
    /// Starts the thread; it connects when there is something to send.
    pub fn start(endpoint: Endpoint, resource: &Resource) -> anyhow::Result<(Self, Spans)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let endpoint = endpoint.connect_timeout(CONNECT_MAX).timeout(CALL_TIMEOUT);
        let channel = {
            let _current = runtime.enter();
            endpoint.connect_lazy()
        };
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .with_timeout(CALL_TIMEOUT)
            .build()
            .context("cannot build the exporter of traces")?;
        exporter.set_resource(resource);
        let (spans, ended_spans) = mpsc::channel(WAITING_MAX);
        let (stop, stopping) = oneshot::channel();
        let (done, ended) = blocking::channel();
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                runtime.block_on(send_all(&exporter, ended_spans, stopping));
                let _ = done.send(());
            })
            .context("cannot start a thread")?;
        Ok((Self { stop, ended }, Spans(spans)))
    }

    /// Waits until what is there is sent, within [`STOP_TIMEOUT`].
    pub fn stop(self) {
        let _ = self.stop.send(());
        if self.ended.recv_timeout(STOP_TIMEOUT).is_err() {
            tracing::warn!(?STOP_TIMEOUT, "gave up sending traces");
        }
    }
}

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.0.try_send(span).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sending goes on by itself.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// [`Pipe::stop`] does it.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends spans until it is asked to stop, and then those that are left.
async fn send_all(
    exporter: &SpanExporter,
    mut spans: mpsc::Receiver<SpanData>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut is_stopping = false;
    loop {
        let mut batch = Vec::with_capacity(CALL_MAX);
        let taken = tokio::select! {
            taken = spans.recv_many(&mut batch, CALL_MAX) => taken,
            _ = &mut stop, if !is_stopping => {
                is_stopping = true;
                spans.close();
                continue;
            }
        };
        if taken == 0 {
            return;
        }
        send(exporter, batch).await;
        let is_idle = taken < CALL_MAX && !is_stopping;
        if is_idle && tokio::time::timeout(PAUSE, &mut stop).await.is_ok() {
            is_stopping = true;
            spans.close();
        }
    }
}

async fn send(exporter: &SpanExporter, batch: Vec<SpanData>) {
    let count = batch.len() as u64;
    let sent = tokio::time::timeout(CALL_TIMEOUT, exporter.export(batch)).await;
    let reason = match sent {
        Ok(Ok(())) => {
            SENT.fetch_add(count, Ordering::Relaxed);
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    FAILED.fetch_add(count, Ordering::Relaxed);
    tracing::warn!(count, reason, "the collector has not taken spans");
}
