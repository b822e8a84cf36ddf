//! What clients are told: every answer is JSON with `code` and `message`, and a refusal has the
//! status that the kept wire contract gives it.

use super::guard::limit::Limit;
use super::guard::rates::{Bucket, RetryAfter};
use crate::grpc_server::RETRY_AFTER;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER as RETRY_AFTER_HEADER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use tonic::{Code, Status};
use utoipa::ToSchema;

/// When who is turned away for now should ask again, s.
const RETRY_AFTER_S: u64 = 1;

/// What was done, with what it brought.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done<T> {
    /// 0: it was done.
    pub code: u16,
    /// What there is to say about it; mostly nothing.
    pub message: String,
    /// What it brought.
    #[serde(flatten)]
    pub brought: T,
}

impl<T: Serialize> IntoResponse for Done<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// It was done.
pub fn done<T>(brought: T) -> Done<T> {
    done_saying(String::new(), brought)
}

/// The same, with what the service says about it.
pub fn done_saying<T>(message: String, brought: T) -> Done<T> {
    Done {
        code: 0,
        message,
        brought,
    }
}

/// Nothing beside that it was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Nothing {}

/// Why something is not done.
#[derive(Debug)]
pub struct Refusal {
    /// As the wire contract has it.
    pub status: StatusCode,
    /// What is wrong, and what is allowed.
    pub message: Cow<'static, str>,
    /// When to ask again, s.
    pub retry_after_s: Option<u64>,
    /// The bound that is reached, for those who count.
    pub limit: Option<Limit>,
}

/// A refusal as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refused<'a> {
    /// The HTTP status.
    pub code: u16,
    /// What is wrong, and what is allowed.
    pub message: &'a str,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let is_for_now = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        Self {
            status,
            message: message.into(),
            retry_after_s: is_for_now.then_some(RETRY_AFTER_S),
            limit: None,
        }
    }

    /// The same, because of this bound.
    pub fn beyond(limit: Limit, status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            limit: Some(limit),
            ..Self::new(status, message)
        }
    }

    /// 400: something of the request is wrong.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 503: a retry can help.
    pub fn not_now(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 429: a retry helps after this time.
    pub fn too_often(bucket: Bucket, RetryAfter { seconds }: RetryAfter) -> Self {
        let text = "too many requests; try again later";
        Self {
            retry_after_s: Some(seconds),
            ..Self::beyond(Limit::Rate(bucket), StatusCode::TOO_MANY_REQUESTS, text)
        }
    }

    /// 500: it is nobody's fault who asks.
    pub fn internal() -> Self {
        let text = "something went wrong here; the log has it under the request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let told = Refused {
            code: self.status.as_u16(),
            message: &self.message,
        };
        let mut response = (self.status, Json(told)).into_response();
        if let Some(wait_s) = self.retry_after_s {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER_HEADER, HeaderValue::from(wait_s));
        }
        if let Some(limit) = self.limit {
            response.extensions_mut().insert(limit);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// What a service says of a request that it refuses.
impl From<Status> for Refusal {
    fn from(told: Status) -> Self {
        let status = match told.code() {
            Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            // What these say is not for clients.
            _ => {
                tracing::error!(status = %told, "a service failed");
                return Self::internal();
            }
        };
        let wait_s = told.metadata().get(RETRY_AFTER);
        let wait_s = wait_s.and_then(|wait| wait.to_str().ok()?.parse().ok());
        let mut refusal = Self::new(status, told.message().to_owned());
        refusal.retry_after_s = refusal.retry_after_s.map(|usual| wait_s.unwrap_or(usual));
        refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tonic::metadata::MetadataMap;

    async fn sent(refusal: Refusal) -> (u16, Option<String>, String) {
        let response = refusal.into_response();
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER_HEADER);
        let wait = wait.map(|wait| wait.to_str().expect("digits").to_owned());
        let body = response.into_body().collect().await.expect("a body");
        let body = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        (status, wait, body)
    }

    #[tokio::test]
    async fn a_refusal_has_the_status_of_the_contract_and_says_what_is_wrong() {
        let cases = [
            (Code::InvalidArgument, 400),
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::NotFound, 404),
            (Code::FailedPrecondition, 409),
            (Code::AlreadyExists, 409),
            (Code::ResourceExhausted, 429),
            (Code::Unavailable, 503),
            (Code::DeadlineExceeded, 504),
        ];
        for (code, status) in cases {
            let (got, wait, body) = sent(Status::new(code, "no").into()).await;
            assert_eq!(got, status);
            assert_eq!(body, format!("{{\"code\":{status},\"message\":\"no\"}}"));
            assert_eq!(wait.is_some(), matches!(status, 429 | 503), "{status}");
        }
    }

    #[tokio::test]
    async fn how_long_to_wait_is_what_the_service_says() {
        let mut metadata = MetadataMap::new();
        metadata.insert(RETRY_AFTER, "7".parse().expect("digits"));
        let told = Status::with_metadata(Code::Unavailable, "later", metadata);
        assert_eq!(sent(told.into()).await.1.as_deref(), Some("7"));
    }

    #[tokio::test]
    async fn what_went_wrong_inside_is_not_told() {
        for code in [Code::Internal, Code::Unknown, Code::DataLoss] {
            let (status, _, body) = sent(Status::new(code, "table orders").into()).await;
            assert_eq!(status, 500);
            assert!(!body.contains("table orders"), "{body}");
        }
    }
}
