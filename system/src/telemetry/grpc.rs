//! The spans of calls that a gRPC service answers.

use super::context::{TraceContext, parent};
use super::tracer::tracer;
use http::{Request, Response, Uri};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, Tracer};
use opentelemetry_sdk::trace::Span;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Code;
use tower_layer::Layer;
use tower_service::Service;

/// How the paths of probes and reflection begin, which nobody wants to see traced.
const PROBES: &str = "/grpc.";
/// The method of whoever made one up.
const OTHER: &str = "_OTHER";

/// Puts a [`Tracing`] around a service.
#[derive(Clone, Copy, Debug)]
pub struct Trace;

impl<S> Layer<S> for Trace {
    type Service = Tracing<S>;

    fn layer(&self, inner: S) -> Tracing<S> {
        Tracing(inner)
    }
}

/// A service each of whose calls has a span; what answers it finds a [`TraceContext`] among the
/// extensions of a request whose span is recorded.
#[derive(Clone, Debug)]
pub struct Tracing<S>(S);

impl<S, Q, R> Service<Request<Q>> for Tracing<S>
where
    S: Service<Request<Q>, Response = Response<R>>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Traced<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let call = Call::begin(&mut request).map(Box::new);
        let answering = self.0.call(request);
        Traced { answering, call }
    }
}

/// An answer on its way.
#[derive(Debug)]
pub struct Traced<F> {
    answering: F,
    call: Option<Box<Call>>,
}

impl<F, R, E> Future for Traced<F>
where
    F: Future<Output = Result<Response<R>, E>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let answer = ready!(Pin::new(&mut self.answering).poll(context));
        if let (Some(call), Ok(answer)) = (self.call.take(), &answer) {
            call.ended(status(answer));
        }
        Poll::Ready(answer)
    }
}

impl<F> Drop for Traced<F> {
    /// Whoever asked has gone before there was an answer.
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.ended(Code::Cancelled);
        }
    }
}

/// A refusal has its status in the head of the answer, success has it behind the message.
fn status<R>(answer: &Response<R>) -> Code {
    let status = answer.headers().get("grpc-status");
    status.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// A call whose span is recorded.
#[derive(Debug)]
struct Call {
    span: Span,
    /// Has the method for its path.
    uri: Uri,
}

impl Call {
    fn begin<Q>(request: &mut Request<Q>) -> Option<Self> {
        let tracer = tracer()?;
        if request.uri().path().starts_with(PROBES) {
            return None;
        }
        let begun = SpanBuilder::from_name(OTHER).with_kind(SpanKind::Server);
        let span = tracer.build_with_context(begun, &parent(request.headers()));
        if !span.is_recording() {
            return None;
        }
        let context = TraceContext(Arc::new(span.span_context().clone()));
        request.extensions_mut().insert(context);
        let uri = request.uri().clone();
        Some(Self { span, uri })
    }

    fn ended(mut self, code: Code) {
        // There is no end of names that do not exist.
        let method = match code {
            Code::Unimplemented => OTHER.to_owned(),
            _ => self.uri.path().trim_start_matches('/').to_owned(),
        };
        self.span.update_name(method.clone());
        self.span.set_attributes([
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method),
            KeyValue::new("rpc.response.status_code", name(code)),
        ]);
        if is_error(code) {
            self.span
                .set_attribute(KeyValue::new("error.type", name(code)));
            self.span.set_status(Status::error(""));
        }
    }
}

/// What is the service's fault, as the conventions have it.
fn is_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
