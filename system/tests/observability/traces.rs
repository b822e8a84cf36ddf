//! Traces: a request is followed from the gateway to the transaction that writes its row, and a
//! collector that fails fails nobody else.

use crate::collector::{Collector, Received, number, text};
use crate::shop::{self, PRODUCT, Purchase, SECRET, STOCK, Shop};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use servers::{DatabaseServer, RabbitMqServer};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// What a stop may take, whatever is away.
const STOP_MAX: Duration = Duration::from_secs(10);
/// What an order may take on a busy machine; the collector's call would take longer.
const ORDER_MAX: Duration = Duration::from_secs(4);

/// With these settings on top.
async fn traced(url: &str, ratio: &str, more: &[(&str, &str)]) -> Option<Shop> {
    let settings = [
        ("SECKILL__JWT__SECRET", SECRET),
        ("SECKILL__RATE_LIMITS__SECKILL__RPS", "0"),
        ("SECKILL__TELEMETRY__OTLP_ENDPOINT", url),
        ("SECKILL__TELEMETRY__SAMPLE_RATIO", ratio),
    ];
    Shop::open(&[&settings, more].concat()).await
}

/// The spans on the way of one order.
#[derive(Clone, Debug)]
struct Way {
    gateway: Span,
    seckill: Span,
    send: Span,
    process: Span,
}

impl Way {
    /// That of the request whose parent has this id; `None`: it is not complete.
    fn of(received: &Received, caller: &[u8]) -> Option<Self> {
        let spans = &received.spans;
        let child_of = |parent: &[u8]| spans.iter().find(|span| span.parent_span_id == parent);
        let linked_to = |name: &str, to: &Span| {
            let mut named = spans.iter().filter(|span| span.name == name);
            named.find(|span| link(span, to).is_some()).cloned()
        };
        let gateway = child_of(caller)?;
        let seckill = child_of(&gateway.span_id)?;
        let send = linked_to("send orders", seckill)?;
        let process = linked_to("process orders", &send)?;
        Some(Self {
            gateway: gateway.clone(),
            seckill: seckill.clone(),
            send,
            process,
        })
    }
}

/// The link from one span to another.
fn link<'a>(from: &'a Span, to: &Span) -> Option<&'a Link> {
    let is_to = |link: &&Link| (&link.trace_id, &link.span_id) == (&to.trace_id, &to.span_id);
    from.links.iter().find(is_to)
}

fn kind(span: &Span) -> SpanKind {
    span.kind()
}

#[tokio::test]
async fn a_request_is_followed_from_its_caller_to_its_row_and_the_others_are_not() {
    is_followed("sqlite", &[]).await;
}

#[tokio::test]
async fn a_request_is_followed_through_rabbitmq_too() {
    let Some(database) = DatabaseServer::shared().await else {
        return;
    };
    let Some(broker) = RabbitMqServer::start().await else {
        return;
    };
    let settings = [
        ("SECKILL__DATABASE__URL", &*database.fresh_database_url()),
        ("SECKILL__MQ__URL", &*broker.url()),
    ];
    is_followed("rabbitmq", &settings).await;
}

/// Through the broker that traces call `system`, in a shop with these settings.
async fn is_followed(system: &str, settings: &[(&str, &str)]) {
    let collector = Collector::start().await;
    let Some(shop) = traced(&collector.url, "0", settings).await else {
        return;
    };
    // Nobody has decided that this one is traced.
    shop.sells_to(1).await;
    let Purchase { order, caller } = shop.purchase(2, "01").await;
    let (way, received) = collector.until(|all| Way::of(all, &caller.span)).await;

    assert_eq!(way.gateway.name, "POST /api/v1/seckill/execute");
    assert_eq!(kind(&way.gateway), SpanKind::Server);
    let of_gateway = &way.gateway.attributes;
    assert_eq!(text(of_gateway, "http.route"), "/api/v1/seckill/execute");
    assert_eq!(number(of_gateway, "http.response.status_code"), Some(200));
    assert_eq!(way.seckill.name, "seckill.SeckillService/ExecuteSeckill");
    assert_eq!(kind(&way.seckill), SpanKind::Server);
    let status = text(&way.seckill.attributes, "rpc.response.status_code");
    assert_eq!(status, "OK");
    assert_eq!(kind(&way.send), SpanKind::Producer);
    let to_request = link(&way.send, &way.seckill).expect("it was found by it");
    let linked = number(&to_request.attributes, "seckill.order.id");
    assert_eq!(linked, Some(order));
    assert_eq!(kind(&way.process), SpanKind::Consumer);
    for span in [&way.send, &way.process] {
        assert_eq!(text(&span.attributes, "messaging.system"), system);
    }
    let rows = number(&way.process.attributes, "seckill.rows");
    assert!(rows.is_some_and(|rows| rows >= 1), "{:?}", way.process);
    for span in [&way.gateway, &way.seckill, &way.send, &way.process] {
        assert_eq!(span.trace_id, caller.trace, "{}", span.name);
    }
    // Spans come in the order in which they ended, so those of the first buyer would be here.
    for span in &received.spans {
        assert_eq!(span.trace_id, caller.trace, "nobody asked for {span:?}");
    }
    assert!(received.services.iter().all(|name| name == "all"));
}

#[tokio::test]
async fn the_messages_of_several_traced_orders_link_to_each_of_them() {
    let collector = Collector::start().await;
    let Some(shop) = traced(&collector.url, "1", &[]).await else {
        return;
    };
    let (first, second, silent) = tokio::join!(
        shop.purchase(1, "01"),
        shop.purchase(2, "01"),
        shop.purchase(3, "00"),
    );
    for purchase in [&first, &second] {
        let span = &purchase.caller.span;
        let (way, _) = collector.until(|all| Way::of(all, span)).await;
        let link = link(&way.send, &way.seckill).expect("it was found by it");
        let linked = number(&link.attributes, "seckill.order.id");
        assert_eq!(linked, Some(purchase.order));
    }
    // Nobody has decided about this one, so the ratio does: all. What comes after the silent one's
    // has come shows that nothing of that is on its way.
    let refused = shop.buy(STOCK + 1).await.expect("an answer");
    assert!(!refused.success, "{refused:?}");
    let is_root = |span: &&Span| span.parent_span_id.is_empty() && span.name.contains("Seckill");
    let (_, received) = collector
        .until(|all| all.spans.iter().find(is_root).cloned())
        .await;
    let roots = received.spans.iter().filter(is_root).count();
    assert_eq!(roots, 1, "the service decides nothing anew: {received:#?}");
    let of_silent = |span: &&Span| span.trace_id == silent.caller.trace;
    let told: Vec<_> = received.spans.iter().filter(of_silent).collect();
    assert!(told.is_empty(), "their caller does not trace: {told:?}");
}

#[tokio::test]
async fn a_collector_that_never_answers_delays_neither_an_order_nor_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let accepting = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            connections.push(connection);
        }
    });
    let Some(mut shop) = traced(&url, "1", &[]).await else {
        return;
    };
    for user in 1..=STOCK {
        let began = Instant::now();
        shop.purchase(user, "01").await;
        let took = began.elapsed();
        assert!(took < ORDER_MAX, "{took:?}");
    }
    let began = Instant::now();
    let status = shop.stop(STOP_MAX).await;
    assert!(status.success(), "{status} {}", shop.log());
    let log = shop.log();
    assert!(
        log.contains("gave up sending traces") || log.contains("has not taken spans"),
        "{:?} {log}",
        began.elapsed()
    );
    accepting.abort();
}

#[tokio::test]
async fn without_a_collector_orders_are_sold_and_spans_are_counted_as_lost() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    let Some(shop) = traced(&url, "1", &[]).await else {
        return;
    };
    shop.sells_to(1).await;
    shop.until(&format!(
        "seckill_stock_remaining_units{{sale=\"{PRODUCT}\"}} {:.1}",
        (STOCK - 1) as f64
    ))
    .await;
    let deadline = Instant::now() + shop::PATIENCE;
    loop {
        let (_, page) = shop.page("/metrics").await;
        let count = |result| {
            let series = format!("seckill_trace_spans_total{{result=\"{result}\"}}");
            shop::number(&page, &series)
        };
        assert_eq!(count("sent"), 0.0);
        if count("failed") > 0.0 {
            break;
        }
        assert!(Instant::now() < deadline, "{}", shop.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(shop.log().contains("has not taken spans"), "{}", shop.log());
}
