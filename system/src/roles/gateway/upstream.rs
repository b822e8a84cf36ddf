//! A service behind the gateway: its instances, and one request to one of them.

use super::answer::Refusal;
use crate::config::{UpstreamAddress, upstreams};
use anyhow::Context;
use http::HeaderValue;
use http::uri::PathAndQuery;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Request, Status};
use tonic_prost::ProstCodec;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Pause between two pings of a connection.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for the answer to one.
const PING_MAX: Duration = Duration::from_secs(5);
/// HTTP/2 flow-control window of a connection, bytes: thousands of small answers never wait for it.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Flow-control window of a stream, bytes: a page of orders fits.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The instances of one service, with a connection of this thread to each.
#[derive(Debug)]
pub struct Upstream {
    /// What it is called in what clients are told: `the orders are`.
    subject: &'static str,
    instances: Vec<Channel>,
    next: AtomicUsize,
}

/// What a request carries beside its message.
#[derive(Debug)]
pub struct Call<'a> {
    /// `/order.OrderService/GetOrder`
    pub method: &'static str,
    /// The client's `Authorization`.
    pub authorization: Option<&'a HeaderValue>,
    /// The client's `Idempotency-Key`.
    pub idempotency_key: Option<&'a HeaderValue>,
    /// Longest wait for the answer; the service learns of it.
    pub timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The service refuses.
    Told(Status),
    /// Nothing was sent; names who is out of reach.
    NotSent(&'static str),
    /// It was sent, and nobody knows what became of it.
    Unknown,
}

impl Upstream {
    /// Connects to each when it is first needed, on the current runtime.
    pub fn new(subject: &'static str, list: &str, in_flight_max: usize) -> anyhow::Result<Self> {
        let instances = upstreams(list)?;
        let instances = instances.iter().map(|it| channel(it, in_flight_max));
        Ok(Self {
            subject,
            instances: instances.collect::<anyhow::Result<_>>()?,
            next: AtomicUsize::new(0),
        })
    }

    /// Asks one instance after the other in turn; the next one if nothing could be sent.
    pub async fn ask<Q, R>(&self, call: Call<'_>, question: Q) -> Result<R, Refusal>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut failure = Failure::NotSent(self.subject);
        for step in 0..self.instances.len() {
            let index = first.wrapping_add(step) % self.instances.len();
            match self.ask_at(index, &call, question.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(not_sent @ Failure::NotSent(_)) => failure = not_sent,
                Err(other) => return Err(other.into()),
            }
        }
        Err(failure.into())
    }

    /// Asks this instance.
    pub async fn ask_at<Q, R>(
        &self,
        index: usize,
        call: &Call<'_>,
        question: Q,
    ) -> Result<R, Failure>
    where
        Q: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let mut request = Request::new(question);
        request.set_timeout(call.timeout);
        carry(request.metadata_mut(), "authorization", call.authorization);
        carry(
            request.metadata_mut(),
            "idempotency-key",
            call.idempotency_key,
        );
        let mut client = Grpc::new(self.instances[index].clone());
        if let Err(error) = client.ready().await {
            tracing::warn!(
                error = &error as &dyn Error,
                "{} out of reach",
                self.subject
            );
            return Err(Failure::NotSent(self.subject));
        }
        let path = PathAndQuery::from_static(call.method);
        let answer = client.unary(request, path, ProstCodec::<Q, R>::default());
        match answer.await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(self.failure(status)),
        }
    }

    fn failure(&self, status: Status) -> Failure {
        let Some(cause) = status.source() else {
            // Of a deadline that passes here the cause is not kept.
            return match status.code() {
                Code::Cancelled => Failure::Unknown,
                _ => Failure::Told(status),
            };
        };
        let failure = match was_not_sent(cause) {
            true => Failure::NotSent(self.subject),
            false => Failure::Unknown,
        };
        tracing::warn!(
            error = &status as &dyn Error,
            ?failure,
            "{} not answering",
            self.subject
        );
        failure
    }
}

/// Whether the service has surely not seen the request.
fn was_not_sent(cause: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        let is_refused = |error: &h2::Error| error.reason() == Some(h2::Reason::REFUSED_STREAM);
        if error.is::<ConnectError>() || error.downcast_ref().is_some_and(is_refused) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn carry(metadata: &mut MetadataMap, name: &'static str, value: Option<&HeaderValue>) {
    let value = value.and_then(|value| AsciiMetadataValue::try_from(value.as_bytes()).ok());
    if let Some(value) = value {
        metadata.insert(name, value);
    }
}

fn channel(instance: &UpstreamAddress, in_flight_max: usize) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(instance.url.clone())
        .with_context(|| format!("{:?} is no address", instance.url))?;
    Ok(endpoint
        .buffer_size(in_flight_max)
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_MAX)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .connect_lazy())
}
