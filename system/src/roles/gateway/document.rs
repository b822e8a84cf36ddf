//! The document that describes the routes: what they have in common. What each asks for and brings
//! stands with its handler.

use http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Object, Ref, Response, ResponseBuilder, Type};
use utoipa::{Modify, OpenApi};

/// What a refusal is called among the schemas.
const REFUSED: &str = "Refused";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "seckill",
        description = "A flash sale over HTTP. Every answer is JSON with `code` (0: done; otherwise the HTTP status) and `message`, except 431 to a head of more than 16 KiB over HTTP/2, which has no body.",
        license(name = "MIT", identifier = "MIT")
    ),
    modifiers(&Token)
)]
pub struct Document;

/// Says what a token is.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
    }
}

/// A status with which operations refuse, and when.
type Told = (StatusCode, &'static str);

/// Of every operation: what the gate says, and what can happen anywhere.
const ANYWHERE: [Told; 6] = [
    (
        StatusCode::BAD_REQUEST,
        "Something of the request is wrong.",
    ),
    (StatusCode::URI_TOO_LONG, "The address is too long."),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "Too often; Retry-After says when to ask again.",
    ),
    (
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The head is too large.",
    ),
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something went wrong here.",
    ),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "Not now; Retry-After says when to ask again.",
    ),
];
/// Of those that take a body.
const OF_BODIES: [Told; 3] = [
    (StatusCode::REQUEST_TIMEOUT, "The body took too long."),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The body is not said to be JSON.",
    ),
];
/// Of those that need a token.
const OF_TOKENS: [Told; 2] = [
    (StatusCode::UNAUTHORIZED, "No token, or none that holds."),
    (StatusCode::FORBIDDEN, "Not for this account."),
];
/// Of those about something that is named.
const OF_THINGS: [Told; 1] = [(StatusCode::NOT_FOUND, "There is nothing of that name.")];
/// Of those that change something for somebody.
const OF_CHANGES: [Told; 1] = [(StatusCode::CONFLICT, "Not as things are.")];
/// Of those that a service answers.
const OF_SERVICES: [Told; 1] = [(
    StatusCode::GATEWAY_TIMEOUT,
    "Outcome unknown; asking again is safe and says what happened.",
)];

/// Adds to every operation the refusals that follow from what it takes, beside those that its handler
/// names.
pub fn add_refusals(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let reads = item.get.iter_mut().map(|it| (it, true));
        let changes = [&mut item.put, &mut item.post, &mut item.delete];
        let changes = changes.into_iter().flatten().map(|it| (it, false));
        for (operation, is_reading) in reads.chain(changes) {
            let has_body = operation.request_body.is_some();
            let has_token = operation.security.is_some();
            let names_something = path.contains('{') || (has_body && has_token);
            for (told, can_be) in [
                (&ANYWHERE[..], true),
                (&OF_BODIES, has_body),
                (&OF_TOKENS, has_token),
                (&OF_THINGS, names_something),
                (&OF_CHANGES, has_token && !is_reading),
                (&OF_SERVICES, path.starts_with("/api/")),
            ] {
                told.iter()
                    .filter(|_| can_be)
                    .for_each(|it| add(operation, *it));
            }
        }
    }
}

/// What the handler says of a status stays.
fn add(operation: &mut Operation, (status, description): Told) {
    let responses = &mut operation.responses.responses;
    let known = responses.entry(status.as_str().to_owned());
    known.or_insert_with(|| refusal(status, description).into());
}

fn refusal(status: StatusCode, description: &str) -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(REFUSED)));
    let told = ResponseBuilder::new()
        .description(description)
        .content("application/json", body.build());
    let is_for_now = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    match is_for_now.contains(&status) {
        false => told.build(),
        true => {
            let seconds = HeaderBuilder::new().schema(Some(Object::with_type(Type::Integer)));
            told.header("Retry-After", seconds.description(Some("s")).build())
                .build()
        }
    }
}
