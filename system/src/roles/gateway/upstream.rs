//! A service behind the gateway: its instances, and one request to one of them.

mod calls;

use super::answer::Refusal;
use super::guard::breaker::{Breaker, Breakers};
use crate::config::{TlsConfig, UpstreamAddress, upstreams};
use crate::grpc_client::was_not_sent;
use crate::metrics::Metrics;
use crate::telemetry::{self, TRACEPARENT, TRACESTATE};
use crate::tls::endpoint;
use calls::{Calls, Outcome};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
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

/// Largest answer, bytes: a page of products that an older release has taken, with descriptions twice
/// as long as they may be now. What may be written now is within half of it
/// (`system/src/roles/product/input.rs`).
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The instances of one service, with a connection of this thread to each.
#[derive(Debug)]
pub struct Upstream {
    /// What it is called in what clients are told: `the orders are`.
    subject: &'static str,
    instances: Vec<Instance>,
    next: AtomicUsize,
}

/// One of them.
#[derive(Debug)]
struct Instance {
    channel: Channel,
    breaker: Arc<Breaker>,
    calls: Arc<Calls>,
    /// `host:port`, as configured.
    target: Arc<str>,
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
    /// Which span it belongs to.
    pub trace: TraceHeaders<'a>,
    /// Longest wait for the answer; the service learns of it.
    pub timeout: Duration,
}

/// What names the span that a request belongs to; nothing where nobody traces.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceHeaders<'a> {
    parent: Option<&'a HeaderValue>,
    state: Option<&'a HeaderValue>,
}

impl<'a> TraceHeaders<'a> {
    /// Those of a request that has passed the gate.
    pub fn of(headers: &'a HeaderMap) -> Self {
        match telemetry::is_on() {
            true => Self {
                parent: headers.get(TRACEPARENT),
                state: headers.get(TRACESTATE),
            },
            false => Self::default(),
        }
    }
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

impl Failure {
    /// Whether it is the service that fails. One that refuses, or is too busy, works.
    fn is_the_services(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Unknown => true,
            Self::Told(status) => matches!(
                status.code(),
                Code::Internal | Code::Unknown | Code::DataLoss | Code::Unimplemented
            ),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Told(told) => Self::from(told),
            Failure::NotSent(service) => {
                Self::not_now(format!("{service} out of reach; try again"))
            }
            Failure::Unknown => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "outcome unknown; asking again is safe and says what happened",
            ),
        }
    }
}

impl Upstream {
    /// Connects to each when it is first needed, on the current runtime.
    pub fn new(
        subject: &'static str,
        list: &str,
        (in_flight_max, tls): (usize, &TlsConfig),
        breakers: &Breakers,
    ) -> anyhow::Result<Self> {
        let instances = upstreams(list)?;
        let instances = instances.iter().map(|it| {
            anyhow::Ok(Instance {
                channel: channel(it, in_flight_max, tls)?,
                breaker: breakers.of(&it.url),
                calls: Arc::default(),
                target: it.target().into(),
            })
        });
        Ok(Self {
            subject,
            instances: instances.collect::<anyhow::Result<_>>()?,
            next: AtomicUsize::new(0),
        })
    }

    /// Registers what is counted of the calls of each instance of this thread.
    pub fn observe(&self, metrics: &Metrics, name: &'static str) {
        for instance in &self.instances {
            instance.calls.register(metrics, name, &instance.target);
        }
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

    /// Asks this instance, unless it has failed too often; then nothing is sent.
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
        let instance = &self.instances[index];
        let Ok(attempt) = instance.breaker.call() else {
            instance.calls.ended(Outcome::LeftAlone, Duration::ZERO);
            return Err(Failure::NotSent(self.subject));
        };
        let began = Instant::now();
        let answer = self.ask_over(&instance.channel, call, question).await;
        instance.calls.ended(outcome(&answer), began.elapsed());
        match answer.as_ref().is_err_and(Failure::is_the_services) {
            true => attempt.failed(),
            false => attempt.answered(),
        }
        answer
    }

    async fn ask_over<Q, R>(
        &self,
        channel: &Channel,
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
        carry(request.metadata_mut(), TRACEPARENT, call.trace.parent);
        carry(request.metadata_mut(), TRACESTATE, call.trace.state);
        let mut client = Grpc::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
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

/// For those who count.
fn outcome<R>(answer: &Result<R, Failure>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Answered,
        Err(failure @ Failure::Told(_)) => match failure.is_the_services() {
            false => Outcome::Refused,
            true => Outcome::Failed,
        },
        Err(Failure::Unknown) => Outcome::Unknown,
        Err(Failure::NotSent(_)) => Outcome::NotSent,
    }
}

fn carry(metadata: &mut MetadataMap, name: &'static str, value: Option<&HeaderValue>) {
    let value = value.and_then(|value| AsciiMetadataValue::try_from(value.as_bytes()).ok());
    if let Some(value) = value {
        metadata.insert(name, value);
    }
}

fn channel(
    instance: &UpstreamAddress,
    in_flight_max: usize,
    tls: &TlsConfig,
) -> anyhow::Result<Channel> {
    Ok(endpoint("gateway.upstreams", &instance.url, tls)?
        .buffer_size(in_flight_max)
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_MAX)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .connect_lazy())
}

#[cfg(test)]
mod tests {
    use super::super::guard::breaker::State;
    use super::*;
    use crate::config::BreakerConfig;
    use crate::proto::user::{GetUserRequest, GetUserResponse};
    use http::StatusCode;
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    async fn ask(upstream: &Upstream) -> Result<GetUserResponse, Refusal> {
        let call = Call {
            method: "/user.UserService/GetUser",
            authorization: None,
            idempotency_key: None,
            trace: TraceHeaders::default(),
            timeout: Duration::from_secs(10),
        };
        upstream.ask(call, GetUserRequest { user_id: 1 }).await
    }

    #[tokio::test]
    async fn a_service_that_fails_is_left_alone_and_its_clients_told_at_once() {
        // It accepts connections and drops them.
        let broken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", broken.local_addr().expect("an address"));
        let (accepted, count) = watch::channel(0_u64);
        let serving = tokio::spawn(async move {
            while broken.accept().await.is_ok() {
                accepted.send_modify(|count| *count += 1);
            }
        });
        let breakers = Breakers::new(&BreakerConfig {
            window_ms: 600_000,
            open_ms: 600_000,
            ..BreakerConfig::default()
        });
        let upstream = Upstream::new("users are", &url, (100, &TlsConfig::default()), &breakers)
            .expect("an upstream");
        assert_eq!(breakers.states(), [(url.clone(), State::Closed)]);
        for _ in 0..10 {
            ask(&upstream).await.expect_err("it is broken");
        }
        assert_eq!(breakers.states(), [(url.clone(), State::Open)]);
        let before = *count.borrow();
        assert!(before > 0);
        // Another thread's connections have the same breaker.
        let other = Upstream::new("users are", &url, (100, &TlsConfig::default()), &breakers)
            .expect("an upstream");
        for upstream in [&upstream, &other] {
            let refused = ask(upstream).await.expect_err("it is left alone");
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(refused.retry_after_s.is_some());
        }
        assert_eq!(*count.borrow(), before, "nobody has asked it");
        serving.abort();
    }

    #[test]
    fn a_refusal_is_no_failure() {
        let told = |code| {
            let failure = Failure::Told(Status::new(code, ""));
            let is_failure = failure.is_the_services();
            let counted = match is_failure {
                true => Outcome::Failed,
                false => Outcome::Refused,
            };
            assert_eq!(outcome(&Err::<(), _>(failure)), counted);
            is_failure
        };
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::Unauthenticated,
            Code::ResourceExhausted,
            Code::Unavailable,
            Code::DeadlineExceeded,
        ] {
            assert!(!told(code), "{code:?}");
        }
        for code in [Code::Internal, Code::Unknown, Code::DataLoss] {
            assert!(told(code), "{code:?}");
        }
        assert!(Failure::NotSent("it is").is_the_services());
        assert!(Failure::Unknown.is_the_services());
    }
}
