//! The span of a request over HTTP.

use super::context::{parent, put};
use super::tracer::tracer;
use axum::extract::MatchedPath;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, Tracer};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::Span;
use std::net::IpAddr;

/// The method of whoever made one up.
const OTHER: &str = "_OTHER";

/// The span of one request, over when this is dropped.
#[derive(Debug)]
pub struct HttpSpan {
    span: Span,
    method: &'static str,
}

impl HttpSpan {
    /// Begins it. If this process traces, the request's headers name this span from now on, whether it
    /// is recorded or not, so that nobody behind decides anew. `None`: it is not.
    pub fn begin<B>(
        request: &mut Request<B>,
        client: IpAddr,
        scheme: &'static str,
    ) -> Option<Self> {
        let tracer = tracer()?;
        let parent = parent(request.headers());
        let method = known(request.method());
        let begun = SpanBuilder::from_name(method).with_kind(SpanKind::Server);
        let mut span = tracer.build_with_context(begun, &parent);
        put(request.headers_mut(), span.span_context());
        if !span.is_recording() {
            return None;
        }
        span.set_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.scheme", scheme),
            KeyValue::new("url.path", request.uri().path().to_owned()),
            KeyValue::new("client.address", client.to_string()),
            KeyValue::new("network.protocol.version", version(request.version())),
        ]);
        Some(Self { span, method })
    }

    /// Ends it with this answer, which knows its route, and has this id.
    pub fn answered<B>(mut self, response: &Response<B>, id: &HeaderValue) {
        let status = response.status();
        if let Some(route) = response.extensions().get::<MatchedPath>() {
            let (method, route) = (self.method, route.as_str());
            self.span.update_name(format!("{method} {route}"));
            let route = KeyValue::new("http.route", route.to_owned());
            self.span.set_attribute(route);
        }
        let code = i64::from(status.as_u16());
        let ids = vec![StringValue::from(
            id.to_str().unwrap_or_default().to_owned(),
        )];
        self.span.set_attributes([
            KeyValue::new("http.response.status_code", code),
            KeyValue::new(
                "http.response.header.x-request-id",
                Value::Array(Array::String(ids)),
            ),
        ]);
        if status >= StatusCode::INTERNAL_SERVER_ERROR {
            let kind = KeyValue::new("error.type", status.as_str().to_owned());
            self.span.set_attribute(kind);
            self.span.set_status(Status::error(""));
        }
    }
}

/// The name of a method that there is.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
