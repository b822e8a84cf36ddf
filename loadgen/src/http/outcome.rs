//! What an answer means to its buyer. This is the one place that turns HTTP statuses into outcomes.

use super::answer::Answer;
use crate::run::{Operation, RequestEnd, refusal, without_numbers};
use reports::outcome_log::{Outcome, Refusal};
use serde::Deserialize;

/// What is read of an answer; what else is there is not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    /// None: it does not say, and means nothing.
    code: Option<i64>,
    message: String,
    success: bool,
    order_id: i64,
}

/// Statuses with their names. With those marked `true` a server says that it did not execute the
/// request; all others leave it unknown.
const STATUSES: [(u16, &str, bool); 15] = [
    (400, "400 Bad Request", true),
    (401, "401 Unauthorized", true),
    (403, "403 Forbidden", true),
    (404, "404 Not Found", true),
    (405, "405 Method Not Allowed", true),
    (408, "408 Request Timeout", true),
    (413, "413 Content Too Large", true),
    (415, "415 Unsupported Media Type", true),
    (429, "429 Too Many Requests", true),
    (431, "431 Request Header Fields Too Large", true),
    (500, "500 Internal Server Error", false),
    (502, "502 Bad Gateway", false),
    (503, "503 Service Unavailable", true),
    (504, "504 Gateway Timeout", false),
    (409, "409 Conflict", false),
];

/// What an answer to this request means.
pub fn of(operation: Operation, answer: &Answer) -> RequestEnd {
    let body = body(answer);
    let buys = matches!(
        operation,
        Operation::Buy { .. } | Operation::BuyAgain { .. }
    );
    let end = match (answer.status, body) {
        (200, Some(body)) if body.code == Some(0) && buys => bought(&body),
        (200, Some(body)) if body.code == Some(0) => RequestEnd::new(Outcome::Accepted, "200 OK"),
        (200, _) => RequestEnd::new(Outcome::Unknown, "200 OK with a malformed body"),
        (409, Some(body)) if body.is_refusal() => conflict(buys, body),
        (status, body) => other(status, body.map(|body| body.message).unwrap_or_default()),
    };
    match buys {
        true => end,
        false => RequestEnd {
            detail: without_numbers(&end.detail),
            ..end
        },
    }
}

impl Body {
    /// Says no, and nothing else.
    fn is_refusal(&self) -> bool {
        self.code.is_some_and(|code| code != 0) && !self.success && self.order_id == 0
    }
}

/// The JSON object that an answer holds. To serde, an array of the same values is one, too.
fn body(answer: &Answer) -> Option<Body> {
    let is_object = answer.body.trim_ascii_start().starts_with(b"{");
    let body = is_object.then(|| serde_json::from_slice(&answer.body));
    body?.ok()
}

/// A yes names an order.
fn bought(body: &Body) -> RequestEnd {
    match body.success && body.order_id > 0 {
        true => RequestEnd {
            order_id: body.order_id,
            ..RequestEnd::new(Outcome::Accepted, "200 OK")
        },
        false => RequestEnd::new(Outcome::Unknown, "200 OK without an order"),
    }
}

/// The sale does not sell to this buyer, or the state of the order forbids it.
fn conflict(buys: bool, body: Body) -> RequestEnd {
    RequestEnd {
        refusal: Some(match buys {
            true => refusal(&body.message),
            false => Refusal::Conflict,
        }),
        detail: body.message,
        ..RequestEnd::new(Outcome::Refused, "409 Conflict")
    }
}

fn other(status: u16, detail: String) -> RequestEnd {
    let known = STATUSES.iter().find(|(known, ..)| *known == status);
    match known {
        Some((_, label, not_executed)) => RequestEnd {
            detail,
            ..RequestEnd::new(
                match not_executed {
                    true => Outcome::Error,
                    false => Outcome::Unknown,
                },
                label,
            )
        },
        None => RequestEnd {
            detail: format!("HTTP status {status}"),
            ..RequestEnd::new(Outcome::Unknown, "an HTTP status that is not known")
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUY: Operation = Operation::Buy { element: 0 };
    const CANCEL: Operation = Operation::Cancel { order: 0 };

    fn end(operation: Operation, status: u16, body: &str) -> RequestEnd {
        let answer = Answer {
            status,
            body: body.as_bytes().to_vec(),
            is_last: false,
        };
        of(operation, &answer)
    }

    #[test]
    fn a_yes_names_its_order_exactly() {
        let body = r#"{"code":0,"message":"","success":true,"order_id":9223372036854775807}"#;
        let yes = end(BUY, 200, body);
        assert_eq!((yes.outcome, yes.order_id), (Outcome::Accepted, i64::MAX));
        for odd in [
            "",
            "{}",
            "[]",
            r#"{"code":0,"success":true}"#,
            r#"{"code":1,"success":true,"order_id":1}"#,
        ] {
            assert_eq!(end(BUY, 200, odd).outcome, Outcome::Unknown, "{odd}");
        }
    }

    #[test]
    fn a_conflict_is_a_refusal_and_says_which() {
        let body = r#"{"code":409,"message":"sold out","success":false,"order_id":0}"#;
        let refused = end(BUY, 409, body);
        assert_eq!(
            (refused.outcome, refused.refusal),
            (Outcome::Refused, Some(Refusal::SoldOut))
        );
        let paid = r#"{"code":409,"message":"order 7 is paid: it cannot be cancelled"}"#;
        let conflict = end(CANCEL, 409, paid);
        assert_eq!(
            (conflict.outcome, conflict.refusal),
            (Outcome::Refused, Some(Refusal::Conflict))
        );
        assert_eq!(conflict.detail, "order N is paid: it cannot be cancelled");
        // Whoever says only that, or something else as well, may have sold.
        for odd in [
            "conflict",
            "{}",
            r#"{"code":0,"message":""}"#,
            r#"{"code":409,"message":"sold out","success":true,"order_id":7}"#,
            r#"{"code":409,"message":"sold out","success":false,"order_id":7}"#,
        ] {
            assert_eq!(end(BUY, 409, odd).outcome, Outcome::Unknown, "{odd}");
        }
    }

    #[test]
    fn statuses_that_promise_no_execution_are_errors_and_all_others_unknown() {
        for status in [400, 401, 403, 404, 413, 429, 503] {
            assert_eq!(end(BUY, status, "{}").outcome, Outcome::Error, "{status}");
            assert_eq!(end(CANCEL, status, "").outcome, Outcome::Error, "{status}");
        }
        for status in [201, 302, 418, 500, 502, 504, 599] {
            assert_eq!(end(BUY, status, "{}").outcome, Outcome::Unknown, "{status}");
        }
        let busy = end(BUY, 503, r#"{"code":503,"message":"try again"}"#);
        assert_eq!(
            (busy.label, &*busy.detail),
            ("503 Service Unavailable", "try again")
        );
        assert_eq!(
            end(CANCEL, 200, r#"{"code":0,"message":""}"#).outcome,
            Outcome::Accepted
        );
        for odd in ["", "{}", "[0]", r#"{"message":""}"#] {
            assert_eq!(end(CANCEL, 200, odd).outcome, Outcome::Unknown, "{odd}");
            assert_eq!(end(CANCEL, 409, odd).outcome, Outcome::Unknown, "{odd}");
        }
    }
}
