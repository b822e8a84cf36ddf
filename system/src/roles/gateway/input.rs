//! What clients send: bodies, paths and queries, each refused with what is wrong with it.

use super::answer::Refusal;
use super::app::{App, Identity};
use super::guard::json;
use super::guard::limit::Limit;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

/// Largest body, bytes.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// Largest body of an administrator who makes or changes a product, bytes: its longest texts fit,
/// however they are written in JSON, in which a character takes 12 bytes at most.
const LONG_BODY_BYTES_MAX: usize = 128 * 1024;

/// A body of JSON.
#[derive(Debug)]
pub struct Sent<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let received = receive(&parts.headers, body, BODY_BYTES_MAX, app);
        received.await.map(Self)
    }
}

/// A body of JSON with long texts in it, from somebody whose token holds. Of whoever is no
/// administrator no more is read than of everybody; the service tells them what they may not do.
#[derive(Debug)]
pub struct SentLong<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for SentLong<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let Identity(caller) = Identity::from_request_parts(&mut parts, app).await?;
        let most = match caller.is_admin {
            true => LONG_BODY_BYTES_MAX,
            false => BODY_BYTES_MAX,
        };
        let received = receive(&parts.headers, body, most, app);
        received.await.map(Self)
    }
}

async fn receive<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    app: &App,
) -> Result<T, Refusal> {
    expect_json(headers)?;
    let reading = tokio::time::timeout(app.body_timeout, read(body, most));
    let Ok(read) = reading.await else {
        let text = "the body took too long";
        let late = StatusCode::REQUEST_TIMEOUT;
        return Err(Refusal::beyond(Limit::BodyTimeout, late, text));
    };
    json::parse(&read?).map_err(Refusal::malformed)
}

fn expect_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON, with content-type: application/json",
        )),
    }
}

async fn read(body: Body, most: usize) -> Result<bytes::Bytes, Refusal> {
    let read = Limited::new(body, most).collect().await;
    read.map(|body| body.to_bytes()).map_err(|error| {
        if error.is::<LengthLimitError>() {
            let text = format!("the body has more than {most} bytes");
            return Refusal::beyond(Limit::Body, StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        Refusal::malformed("the body broke off")
    })
}

/// What follows the question mark.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let asked = Query::try_from_uri(&parts.uri);
        let asked = asked.map(|Query(asked)| Self(asked));
        asked.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            Refusal::malformed(format!("the query: {}", cause.unwrap_or_default()))
        })
    }
}

/// The number that a path names something by.
pub fn id(what: &str, text: &str) -> Result<i64, Refusal> {
    let id = text.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| {
        Refusal::malformed(format!(
            "{what} must be a positive whole number, got {text:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_named_by_positive_numbers() {
        assert_eq!(id("the order", "7").expect("good"), 7);
        assert_eq!(
            id("the order", "9223372036854775807").expect("good"),
            i64::MAX
        );
        for wrong in ["0", "-1", "7.0", "seven", "", "9223372036854775808"] {
            let refused = id("the order", wrong).expect_err(wrong);
            assert_eq!(refused.status, StatusCode::BAD_REQUEST);
            let text = format!("the order must be a positive whole number, got {wrong:?}");
            assert_eq!(refused.message, text);
        }
    }
}
