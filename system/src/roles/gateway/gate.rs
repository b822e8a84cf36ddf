//! What every request passes, whatever it asks for: it gets an id, and an answer whatever happens.

use super::answer::Refusal;
use super::guard::addresses::{ClientAddress, ClientAddresses};
use super::guard::limit::Limit;
use super::guard::rates::{Bucket, Key, Rates};
use crate::telemetry::HttpSpan;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use rand::RngCore;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tower_service::Service;
use tracing::Instrument;

/// Where a request's id stands, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client, characters.
const REQUEST_ID_MAX: usize = 64;

/// Largest head of a request, bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest path with its query, bytes.
const PATH_BYTES_MAX: usize = 4 * 1024;

/// What all requests pass.
#[derive(Debug)]
pub struct Gate {
    in_flight_max: usize,
    in_flight: AtomicUsize,
    addresses: ClientAddresses,
    rates: Arc<Rates>,
    /// `http` or `https`.
    scheme: &'static str,
}

impl Gate {
    /// Lets so many pass at the same time, and those from one address as often as they may.
    pub fn new(
        in_flight_max: usize,
        addresses: ClientAddresses,
        rates: Arc<Rates>,
        scheme: &'static str,
    ) -> Self {
        Self {
            in_flight_max,
            in_flight: AtomicUsize::new(0),
            addresses,
            rates,
            scheme,
        }
    }

    /// Who sends from where.
    pub fn addresses(&self) -> &ClientAddresses {
        &self.addresses
    }

    /// The answer to a request from `peer`.
    pub async fn pass(
        &self,
        mut app: Router,
        peer: IpAddr,
        mut request: Request<Body>,
    ) -> Response {
        let id = request_id(request.headers().get(REQUEST_ID));
        let client = self.addresses.of(peer, request.headers());
        let trace = HttpSpan::begin(&mut request, client, self.scheme);
        let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %client);
        request.extensions_mut().insert(ClientAddress(client));
        let answering = async {
            let Some(_place) = self.enter() else {
                let text = "too many requests are under way; try again";
                let busy = StatusCode::SERVICE_UNAVAILABLE;
                return Refusal::beyond(Limit::InFlight, busy, text).into_response();
            };
            if let Err(refusal) = self.not_too_often(client) {
                return refusal.into_response();
            }
            if let Some(refusal) = too_large(&request) {
                return refusal.into_response();
            }
            match AssertUnwindSafe(app.call(request)).catch_unwind().await {
                Ok(Ok(answer)) => answer,
                Ok(Err(never)) => match never {},
                Err(_) => {
                    tracing::error!("a handler panicked");
                    Refusal::internal().into_response()
                }
            }
        };
        let mut response = answering.instrument(span).await;
        if let Some(trace) = trace {
            trace.answered(&response, &id);
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }

    /// Of a proxy there is no limit: it is many clients.
    fn not_too_often(&self, client: IpAddr) -> Result<(), Refusal> {
        if self.addresses.is_proxy(client) {
            return Ok(());
        }
        let checked = self.rates.check(Bucket::Global, Key::Address(client));
        checked.map_err(|wait| Refusal::too_often(Bucket::Global, wait))
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Option<Place<'_>> {
        let place = Place(self);
        (self.in_flight.fetch_add(1, Ordering::Relaxed) < self.in_flight_max).then_some(place)
    }
}

fn too_large(request: &Request<Body>) -> Option<Refusal> {
    let path = request.uri().path_and_query();
    if path.is_some_and(|path| path.as_str().len() > PATH_BYTES_MAX) {
        let text = format!("the address has more than {PATH_BYTES_MAX} bytes");
        let too_long = StatusCode::URI_TOO_LONG;
        return Some(Refusal::beyond(Limit::Head, too_long, text));
    }
    let headers = request.headers().iter();
    let bytes: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    (bytes > HEAD_BYTES_MAX).then(|| {
        let text = format!("the headers have more than {HEAD_BYTES_MAX} bytes");
        let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Refusal::beyond(Limit::Head, too_large, text)
    })
}

/// A request under way; over on drop.
struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The client's own, if it is harmless in a log, or a new one.
pub fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let is_plain = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        (1..=REQUEST_ID_MAX).contains(&bytes.len()) && bytes.iter().all(is_safe)
    };
    match given.filter(is_plain) {
        Some(id) => id.clone(),
        None => {
            let id = format!("{:016x}", rand::rng().next_u64());
            HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use http::StatusCode;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn gate(in_flight_max: usize) -> Gate {
        let rates = Rates::new(&crate::config::RateLimitsConfig::default());
        let addresses = ClientAddresses::default();
        Gate::new(in_flight_max, addresses, Arc::new(rates), "http")
    }

    fn asked(path: &str) -> Request<Body> {
        let request = Request::get(path).body(Body::empty());
        request.expect("a request")
    }

    #[tokio::test]
    async fn beyond_the_bound_requests_are_turned_away_and_a_place_comes_back() {
        let gate = gate(1);
        let app = Router::new().route("/", get(async || "here"));
        let held = gate.enter();
        assert!(held.is_some());
        let response = gate.pass(app.clone(), PEER, asked("/")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        drop(held);
        for _ in 0..3 {
            let response = gate.pass(app.clone(), PEER, asked("/")).await;
            assert_eq!(response.status(), StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        async fn broken() -> &'static str {
            panic!("out of luck")
        }
        let gate = gate(1);
        let app = Router::new().route("/", get(broken));
        for _ in 0..2 {
            let response = gate.pass(app.clone(), PEER, asked("/")).await;
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
    }

    #[test]
    fn a_request_keeps_its_id_if_that_is_harmless() {
        let kept = HeaderValue::from_static("order-7.retry:2_a");
        assert_eq!(request_id(Some(&kept)), kept);
        let long = "x".repeat(REQUEST_ID_MAX + 1);
        for odd in ["", "a b", "a\"b", &long] {
            let odd = HeaderValue::try_from(odd).expect("a value");
            assert_ne!(request_id(Some(&odd)), odd);
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
