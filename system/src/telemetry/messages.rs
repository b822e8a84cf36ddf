//! The spans of messages: one when a batch of orders is published, one when a transaction writes what
//! several messages carry. Each links to everything recorded that it is about, and is a child of the
//! first, so that a trace leads from a request to its row.

use super::context::{TraceContext, text, within};
use super::tracer::tracer;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanKind, Status, Tracer};
use opentelemetry_sdk::trace::Span;
use std::fmt::{Debug, Display};

/// Where all messages go, whatever their exchange is called here.
const DESTINATION: &str = "orders";

/// The span of a message that is published, over when this is dropped.
#[derive(Debug)]
pub struct Sending(Span);

impl Sending {
    /// Begins it, if there is anything to link to: of the orders that it carries, the request and
    /// the order's id of each that is recorded.
    pub fn begin(
        system: &'static str,
        (orders, bytes): (usize, usize),
        requests: impl Iterator<Item = (TraceContext, i64)>,
    ) -> Option<Self> {
        let links = requests.map(|(request, order)| {
            let id = KeyValue::new("seckill.order.id", order);
            Link::new((*request.0).clone(), vec![id], 0)
        });
        let mut span = begin("send", SpanKind::Producer, links)?;
        span.set_attributes([
            KeyValue::new("messaging.system", system),
            KeyValue::new("messaging.message.body.size", count(bytes)),
            KeyValue::new("seckill.orders", count(orders)),
        ]);
        Some(Self(span))
    }

    /// As the message's header names it.
    pub fn traceparent(&self) -> String {
        text(self.0.span_context())
    }

    /// Ends it; an outcome that is not good is an error.
    pub fn ended(mut self, outcome: impl Debug, is_good: bool) {
        if !is_good {
            let kind = format!("{outcome:?}");
            self.0.set_attribute(KeyValue::new("error.type", kind));
            self.0.set_status(Status::error(""));
        }
    }
}

/// The span of a transaction that writes what messages carry, over when this is dropped.
#[derive(Debug)]
pub struct Processing(Span);

impl Processing {
    /// Begins it, if there is anything to link to: the messages that name a recorded span.
    pub fn begin(
        system: &'static str,
        (messages, orders): (usize, usize),
        recorded: &[TraceContext],
    ) -> Option<Self> {
        let links = recorded
            .iter()
            .map(|message| Link::with_context((*message.0).clone()));
        let mut span = begin("process", SpanKind::Consumer, links)?;
        span.set_attributes([
            KeyValue::new("messaging.system", system),
            KeyValue::new("messaging.batch.message_count", count(messages)),
            KeyValue::new("seckill.orders", count(orders)),
        ]);
        Some(Self(span))
    }

    /// A transaction failed; the next one may not.
    pub fn failed(&mut self, error: &impl Display) {
        let text = KeyValue::new("exception.message", error.to_string());
        self.0.add_event("transaction failed", vec![text]);
    }

    /// Ends it: so many rows are committed.
    pub fn committed(mut self, rows: usize) {
        self.0
            .set_attribute(KeyValue::new("seckill.rows", count(rows)));
    }
}

/// Nothing is made of `links` where nobody traces.
fn begin(
    operation: &'static str,
    kind: SpanKind,
    links: impl Iterator<Item = Link>,
) -> Option<Span> {
    let tracer = tracer()?;
    let links: Vec<_> = links.collect();
    let parent = within(&links.first()?.span_context);
    let begun = SpanBuilder::from_name(format!("{operation} {DESTINATION}"))
        .with_kind(kind)
        .with_links(links);
    let mut span = tracer.build_with_context(begun, &parent);
    span.set_attributes([
        KeyValue::new("messaging.destination.name", DESTINATION),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
    ]);
    Some(span)
}

fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}
