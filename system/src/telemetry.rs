//! Traces in the terms of OpenTelemetry, sent to a collector by OTLP: from a request at the gateway,
//! over the service that sells and the message, to the transaction that writes the rows.
//!
//! Like the logs they are there once per process. Off, which is the default, each place that traces
//! looks once whether there is a tracer and goes on. On, whoever serves builds spans and hands them
//! over; nobody ever waits for a collector.

mod context;
mod grpc;
mod http;
mod messages;
mod pipe;
mod tracer;

pub use context::{TRACEPARENT, TRACESTATE, TraceContext, of_message, of_request};
pub use grpc::Trace;
pub use http::HttpSpan;
pub use messages::{Processing, Sending};
pub use pipe::counts;
pub use tracer::is_on;

use crate::config::Config;
use crate::tls;
use crate::version;
use anyhow::ensure;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use pipe::{Pipe, Spans};

/// What all processes of this system have in common.
const NAMESPACE: &str = "seckill";
/// Most links of one span; of the others it is told how many there were.
const LINKS_MAX: u32 = 1_000;

/// The traces of this process, until they are stopped.
#[derive(Debug)]
pub struct Telemetry(Pipe);

/// Begins to trace as `role`, if the configuration names a collector; whether there is one at its
/// address is seen later.
pub fn start(config: &Config, role: &'static str) -> anyhow::Result<Option<Telemetry>> {
    let telemetry = &config.telemetry;
    let address = telemetry.otlp_endpoint.as_str();
    if address.is_empty() {
        return Ok(None);
    }
    let endpoint = tls::endpoint("telemetry.otlp_endpoint", address, &config.tls)?;
    let resource = resource(config, role);
    let (pipe, spans) = Pipe::start(endpoint, &resource)?;
    let provider = provider(resource, telemetry.sample_ratio, spans);
    let is_first = tracer::install(provider.tracer(NAMESPACE));
    ensure!(is_first, "a process begins to trace once");
    let ratio = telemetry.sample_ratio;
    tracing::info!(address, ratio, "traces are sent");
    Ok(Some(Telemetry(pipe)))
}

impl Telemetry {
    /// Sends what is left, within [`pipe::STOP_TIMEOUT`], and ends. Blocks the thread.
    pub fn stop(self) {
        self.0.stop();
    }
}

/// A caller that has decided is followed; of the others one in so many is traced.
fn provider(resource: Resource, ratio: f64, spans: Spans) -> SdkTracerProvider {
    let of_roots = Sampler::TraceIdRatioBased(ratio);
    SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(of_roots)))
        .with_max_links_per_span(LINKS_MAX)
        .with_span_processor(spans)
        .build()
}

/// Who traces; `OTEL_RESOURCE_ATTRIBUTES` adds to it.
fn resource(config: &Config, role: &'static str) -> Resource {
    let label = config.incarnation.label.as_str();
    let instance = match label {
        "" => format!("{:032x}", rand::random::<u128>()),
        label => label.to_owned(),
    };
    Resource::builder()
        .with_service_name(role)
        .with_attributes([
            KeyValue::new("service.namespace", NAMESPACE),
            KeyValue::new("service.version", version::THIS.version),
            KeyValue::new("service.instance.id", instance),
        ])
        .build()
}
