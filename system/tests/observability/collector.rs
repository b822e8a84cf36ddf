//! A collector of traces that keeps what it is sent.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::shop::PATIENCE;

/// What has come, and of which service.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub spans: Vec<Span>,
    /// The names of those who sent them.
    pub services: Vec<String>,
}

/// Listens on a free port until it is dropped.
pub struct Collector {
    pub url: String,
    received: watch::Receiver<Received>,
    serving: tokio::task::JoinHandle<()>,
}

struct Keeper(watch::Sender<Received>);

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for sent in request.into_inner().resource_spans {
            let resource = sent.resource.expect("whose they are");
            let service = text(&resource.attributes, "service.name");
            let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.send_modify(|received| {
                received.spans.extend(spans);
                received.services.push(service.to_owned());
            });
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub async fn start() -> Self {
        let (sender, received) = watch::channel(Received::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let service = TraceServiceServer::new(Keeper(sender));
        let serving = tokio::spawn(async move {
            let serving = Server::builder().add_service(service);
            let incoming = TcpIncoming::from(listener);
            serving
                .serve_with_incoming(incoming)
                .await
                .expect("it serves");
        });
        Self {
            url,
            received,
            serving,
        }
    }

    /// Waits until `found` finds what it looks for in what has come.
    pub async fn until<T>(&self, found: impl Fn(&Received) -> Option<T>) -> (T, Received) {
        let mut received = self.received.clone();
        let arriving = received.wait_for(|received| found(received).is_some());
        match tokio::time::timeout(PATIENCE, arriving).await {
            Ok(arrived) => {
                let arrived = arrived.expect("the collector serves").clone();
                (found(&arrived).expect("found before"), arrived)
            }
            Err(_) => panic!("not among {:#?}", self.received.borrow().spans),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|it| it.key == key)?;
    found
        .value
        .as_ref()
        .and_then(|AnyValue { value }| value.as_ref())
}

/// The text of this attribute; empty where there is none.
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    match value(attributes, key) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// The number of this attribute.
pub fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    match value(attributes, key) {
        Some(Value::IntValue(number)) => Some(*number),
        _ => None,
    }
}
