//! Which span something belongs to, as it travels: W3C Trace Context in the headers of requests and
//! messages. What is malformed is as good as nothing.

use super::tracer::is_on;
use http::{Extensions, HeaderMap, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::sync::Arc;

/// The header that names a span.
pub const TRACEPARENT: &str = "traceparent";
/// The header in which other tracing systems keep theirs; it means something beside the first only.
pub const TRACESTATE: &str = "tracestate";

/// A span that is recorded, for whoever goes on with its work. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TraceContext(pub(super) Arc<SpanContext>);

/// The span of the request that has these extensions, if it is recorded.
pub fn of_request(extensions: &Extensions) -> Option<TraceContext> {
    match is_on() {
        true => extensions.get::<TraceContext>().cloned(),
        false => None,
    }
}

/// The span that a message's header names, if it is recorded.
pub fn of_message(traceparent: &str) -> Option<TraceContext> {
    match is_on() {
        true => recorded(traceparent),
        false => None,
    }
}

fn recorded(traceparent: &str) -> Option<TraceContext> {
    let context = extract(&Only(traceparent));
    let span = context.span().span_context().clone();
    span.is_sampled().then(|| TraceContext(Arc::new(span)))
}

/// What these headers name as the parent, perhaps nothing.
pub(super) fn parent(headers: &HeaderMap) -> Context {
    extract(&Headers(headers))
}

/// A context whose span is this one.
pub(super) fn within(span: &SpanContext) -> Context {
    Context::new().with_remote_span_context(span.clone())
}

/// Makes this span the one that the headers name.
pub(super) fn put(headers: &mut HeaderMap, span: &SpanContext) {
    if span.trace_state().header().is_empty() {
        headers.remove(TRACESTATE);
    }
    if let Ok(value) = HeaderValue::try_from(text(span)) {
        headers.insert(TRACEPARENT, value);
    }
}

/// As a header names it.
pub(super) fn text(span: &SpanContext) -> String {
    let flags = span.trace_flags().to_u8();
    format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
}

fn extract(from: &dyn Extractor) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), from)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

/// One header and no other.
struct Only<'a>(&'a str);

impl Extractor for Only<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parent_in(entries: &[(&'static str, &str)]) -> SpanContext {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.insert(*name, HeaderValue::try_from(*value).expect("a value"));
        }
        parent(&headers).span().span_context().clone()
    }

    #[test]
    fn what_is_written_is_read_again_with_what_others_keep_there() {
        let span = parent_in(&[(TRACEPARENT, GOOD), (TRACESTATE, "shop=7")]);
        assert!(span.is_sampled());
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("shop=7"));
        put(&mut headers, &span);
        assert_eq!(headers[TRACEPARENT], GOOD);
        assert_eq!(headers[TRACESTATE], "shop=7");
        let message = recorded(GOOD).expect("it is");
        assert_eq!(text(&message.0), GOOD);
        let unsampled = GOOD.replace("-01", "-00");
        let span = parent_in(&[(TRACEPARENT, &unsampled)]);
        assert!(!span.is_sampled());
        assert!(recorded(&unsampled).is_none());
        put(&mut headers, &span);
        assert_eq!(headers[TRACEPARENT], unsampled.as_str());
        assert!(!headers.contains_key(TRACESTATE), "of another parent");
    }

    #[test]
    fn whatever_a_message_names_is_read_or_is_as_good_as_nothing() {
        fuzzing::check_text(&[GOOD], |given| {
            let Some(read) = recorded(given) else { return };
            let again = recorded(&text(&read.0)).expect("as it is written");
            assert_eq!(read.0, again.0);
        });
    }

    #[test]
    fn a_malformed_header_is_as_good_as_none() {
        let long = format!("{GOOD}-{}", "x".repeat(8_000));
        for odd in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
            &long,
        ] {
            assert!(!parent_in(&[(TRACEPARENT, odd)]).is_valid(), "{odd}");
            assert!(recorded(odd).is_none(), "{odd}");
        }
    }
}
