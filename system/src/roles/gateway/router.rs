//! Every route.

use super::accounts;
use super::answer::Refusal;
use super::app::App;
use super::document::{Document, add_refusals};
use super::orders;
use super::products;
use super::sale;
use crate::telemetry;
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The page that shows the document.
const PAGE: &str = include_str!("docs.html");

/// Every route over these services.
pub fn router(app: App) -> Router {
    let (router, mut document) = documented().split_for_parts();
    add_refusals(&mut document);
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let described = move || async move {
        let kind = [(http::header::CONTENT_TYPE, "application/json")];
        (kind, document.to_string()).into_response()
    };
    let router = router
        .route("/openapi.json", get(described))
        .route("/docs", get(async || Html(PAGE)));
    let router = match telemetry::is_on() {
        true => router.route_layer(middleware::from_fn(tell_route)),
        false => router,
    };
    router
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is nothing here"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here")
        })
        .with_state(app)
}

/// Lets whoever traces know by which route a request was answered.
async fn tell_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health))
        .routes(routes!(accounts::register))
        .routes(routes!(accounts::login))
        .routes(routes!(accounts::refresh))
        .routes(routes!(accounts::get_user, accounts::update_user))
        .routes(routes!(accounts::change_password))
        .routes(routes!(sale::execute))
        .routes(routes!(products::list, products::create))
        .routes(routes!(products::get, products::update, products::delete))
        .routes(routes!(products::deduct))
        .routes(routes!(products::give_back))
        .routes(routes!(orders::list))
        .routes(routes!(orders::get))
        .routes(routes!(orders::create))
        .routes(routes!(orders::cancel))
        .routes(routes!(orders::pay))
        .routes(routes!(orders::complete))
}

/// Whether the gateway serves.
#[utoipa::path(get, path = "/health", tag = "operation", responses((status = 200, body = super::answer::Done<super::answer::Nothing>)))]
async fn health() -> impl IntoResponse {
    super::answer::done(super::answer::Nothing {})
}
