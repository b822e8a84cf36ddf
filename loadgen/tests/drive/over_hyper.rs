//! The HTTP driver's own client against hyper, so that what it writes and reads is checked against
//! HTTP of another hand.

use super::{data, records, status};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use loadgen::http::drive;
use loadgen::plan::{Http, LoadPlan};
use loadgen::run::{Measured, Stop};
use reports::outcome_log::{Outcome, Refusal};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;

/// A request as hyper has understood it.
#[derive(Clone, Debug)]
struct Heard {
    connection: usize,
    version: Version,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: serde_json::Value,
}

/// Bytes of unknown length, sent in chunks.
#[derive(Debug)]
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>;
type Answering = fn(usize) -> Answer;

/// A server on a runtime of its own, which ends with it. Its requests are numbered from 1.
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(answering: Answering) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        runtime.spawn(accept(listener, Arc::clone(&heard), answering));
        Self {
            address,
            heard,
            _runtime: runtime,
        }
    }

    fn measure(&self, requests: u64, workers: u32) -> Measured {
        let folder = tempfile::tempdir().expect("a folder");
        let secret_file = folder.path().join("key");
        std::fs::write(&secret_file, "a key of more than thirty-two bytes").expect("written");
        let plan = LoadPlan {
            connections: workers,
            keep_outcomes: true,
            timeout: Duration::from_secs(20),
            http: Some(Http {
                secret_file,
                issuer: "seckill".to_owned(),
                audience: "seckill".to_owned(),
            }),
            ..LoadPlan::closed(self.address.to_string(), workers, requests)
        };
        let users = i64::try_from(requests).expect("few");
        let ran = drive(&plan, data(users), &Stop::default(), &mut |_| {});
        ran.expect("the run takes place")
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }
}

async fn accept(listener: TcpListener, heard: Arc<Mutex<Vec<Heard>>>, answering: Answering) {
    for connection in 0.. {
        let (socket, _) = listener.accept().await.expect("a connection");
        let heard = Arc::clone(&heard);
        let service = service_fn(move |request: Request<Incoming>| {
            let heard = Arc::clone(&heard);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let mut heard = heard.lock().expect("no panic");
                heard.push(Heard {
                    connection,
                    version: head.version,
                    method: head.method,
                    path: head.uri.to_string(),
                    headers: head.headers,
                    body: serde_json::from_slice(&body).expect("JSON"),
                });
                Ok::<_, hyper::Error>(answering(heard.len()))
            }
        });
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(socket), service));
    }
}

fn body(order: usize) -> String {
    format!(r#"{{"code":0,"message":"","success":true,"order_id":{order}}}"#)
}

fn with(status: u16, body: impl Into<Bytes>) -> Answer {
    let answer = Response::builder().status(status);
    answer.body(Full::new(body.into()).boxed()).expect("valid")
}

#[test]
fn hyper_understands_every_request_and_each_worker_keeps_their_connection() {
    let server = Server::start(|number| with(200, body(number)));
    let measured = server.measure(400, 4);
    assert_eq!(measured.phase.outcomes().accepted, 400);
    let heard = server.heard();
    assert_eq!(heard.len(), 400);
    for request in &heard {
        assert!(request.connection < 4, "{request:?}");
        assert_eq!(
            (&request.method, request.version, &*request.path),
            (&Method::POST, Version::HTTP_11, "/api/v1/seckill/execute")
        );
        let header = |name: &str| request.headers[name].to_str().expect("text").to_owned();
        assert_eq!(header("host"), server.address.to_string());
        assert_eq!(header("content-type"), "application/json");
        let token = header("authorization");
        let token = token.strip_prefix("Bearer ").expect("a token");
        assert_eq!(token.split('.').count(), 3);
        assert_eq!(request.body["product_id"], 7);
    }
}

#[test]
fn chunks_refusals_and_farewells_of_hyper_are_understood() {
    let server = Server::start(|number| match number % 4 {
        0 => {
            let body = Bytes::from(body(number));
            let pieces = [body.slice(..9), body.slice(9..10), body.slice(10..)];
            Response::new(Pieces(pieces.into()).boxed())
        }
        1 => {
            let mut answer = with(200, body(number));
            let close = http::HeaderValue::from_static("close");
            answer.headers_mut().insert("connection", close);
            answer
        }
        2 => with(
            409,
            r#"{"code":409,"message":"sold out","success":false,"order_id":0}"#,
        ),
        _ => with(503, ""),
    });
    let measured = server.measure(400, 4);
    let outcomes = measured.phase.outcomes();
    assert_eq!(
        (outcomes.accepted, outcomes.refused, outcomes.error),
        (200, 100, 100),
        "{:?}",
        measured.phase.statuses
    );
    assert_eq!(status(&measured.phase, "503 Service Unavailable"), 100);
    let records = records(&measured);
    let refused = records.iter().filter(|it| it.outcome == Outcome::Refused);
    assert!(
        refused
            .into_iter()
            .all(|it| it.refusal == Some(Refusal::SoldOut))
    );
    let last = server.heard().iter().map(|it| it.connection).max();
    // Each of the hundred farewells but those of the last requests is followed by a new connection.
    assert!(
        last.is_some_and(|last| (96..=103).contains(&last)),
        "{last:?}"
    );
}
