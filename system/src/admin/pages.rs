//! The pages: each is text or JSON, read with GET, and changes nothing.

use super::state::Admin;
use crate::version;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use tower_service::Service;

/// What there is, for whoever asks for something else.
const PAGES: &str =
    "there is /metrics, /healthz, /readyz, /build and /config, and gRPC where a role has some\n";
/// Lines of JSON.
const JSON_LINES: &str = "application/jsonl";

/// All of them, and behind them the gRPC services that a role has brought.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/build", get(async || Json(version::THIS)))
        .route("/config", get(config))
        .fallback(call)
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.refresh(true).await;
    of_type(CONTENT_TYPE, admin.metrics().text())
}

/// 200, or 503 and a line of JSON for each reason.
async fn ready(State(admin): State<Admin>) -> Response {
    let reasons = admin.reasons().await;
    if reasons.is_empty() {
        return "ok\n".into_response();
    }
    let lines = reasons.iter().filter_map(|reason| {
        let line = serde_json::to_string(reason).ok()?;
        Some(line + "\n")
    });
    let mut response = of_type(JSON_LINES, lines.collect());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

async fn config(State(admin): State<Admin>) -> Json<serde_json::Value> {
    Json(admin.config().clone())
}

/// A gRPC call, which is answered on the runtime of the role that serves it; whatever else is asked
/// for is not there.
async fn call(State(admin): State<Admin>, request: Request<Body>) -> Response {
    let calls = admin.calls();
    let is_call = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let Some((mut calls, runtime)) = calls.filter(|_| is_call) else {
        return (StatusCode::NOT_FOUND, PAGES).into_response();
    };
    match runtime
        .spawn(async move { calls.call(request).await })
        .await
    {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        // The role has ended meanwhile.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn of_type(kind: &'static str, text: String) -> Response {
    let kind = HeaderValue::from_static(kind);
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
