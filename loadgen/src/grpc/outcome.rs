//! What the end of a request means to its buyer. This is the one place that turns gRPC statuses and
//! lost connections into outcomes.

use crate::data::strip_prefix;
use crate::message::SeckillResponse;
use crate::run::RequestEnd;
use crate::wire::{ERROR_REFUSED_STREAM, Ended, Reply, error_name};
use prost::Message;
use reports::outcome_log::{Outcome, Refusal};

const OK: u32 = 0;
/// gRPC status names by number.
const STATUS_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// Statuses with which a server says that it did not execute the request. All others leave it
/// unknown.
const NOT_EXECUTED: [&str; 9] = [
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
];

/// What the service says when it refuses, and what it means. A text that is not here is
/// [`Refusal::Other`].
const REFUSALS: [(&str, Refusal); 4] = [
    ("sold out", Refusal::SoldOut),
    ("the sale has not started", Refusal::NotStarted),
    ("the sale has ended", Refusal::Ended),
    // Nothing is on sale, and it may be again.
    ("the sale is paused", Refusal::NotStarted),
];

/// What an end on the wire means; none if the server certainly did not process the request, so that
/// it can be sent again.
pub fn of(ended: Ended) -> Option<RequestEnd> {
    match ended {
        Ended::NotProcessed => None,
        Ended::Reset(ERROR_REFUSED_STREAM) => {
            Some(RequestEnd::new(Outcome::Error, "stream refused"))
        }
        Ended::Reset(error) => Some(RequestEnd {
            detail: format!("HTTP/2 error {error}, {}", error_name(error)),
            ..RequestEnd::new(Outcome::Unknown, "stream reset")
        }),
        Ended::Replied(reply) => Some(of_reply(reply)),
    }
}

fn of_reply(reply: Reply) -> RequestEnd {
    let Some(status) = reply.grpc_status else {
        let detail = format!("HTTP status {}", reply.http_status);
        return RequestEnd {
            detail,
            ..RequestEnd::new(Outcome::Unknown, "reply without grpc-status")
        };
    };
    let label = STATUS_NAMES
        .get(status as usize)
        .copied()
        .unwrap_or("UNKNOWN");
    if status != OK {
        let outcome = if NOT_EXECUTED.contains(&label) {
            Outcome::Error
        } else {
            Outcome::Unknown
        };
        return RequestEnd {
            detail: reply.grpc_message,
            ..RequestEnd::new(outcome, label)
        };
    }
    match strip_prefix(&reply.body).map(SeckillResponse::decode) {
        Some(Ok(answer)) if answer.success => RequestEnd {
            order_id: answer.order_id,
            ..RequestEnd::new(Outcome::Accepted, label)
        },
        Some(Ok(answer)) => RequestEnd {
            refusal: Some(refusal(&answer.message)),
            detail: answer.message,
            ..RequestEnd::new(Outcome::Refused, "OK, refused")
        },
        _ => RequestEnd::new(Outcome::Unknown, "OK with a malformed message"),
    }
}

fn refusal(text: &str) -> Refusal {
    let known = REFUSALS.iter().find(|(known, _)| *known == text);
    known.map_or(Refusal::Other, |(_, refusal)| *refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: Option<u32>, body: &[u8]) -> Ended {
        let grpc_message = if status == Some(0) {
            String::new()
        } else {
            "why".to_owned()
        };
        Ended::Replied(Reply {
            http_status: 200,
            grpc_status: status,
            grpc_message,
            body: body.to_vec(),
        })
    }

    fn outcome(ended: Ended) -> Outcome {
        of(ended).expect("ended").outcome
    }

    #[test]
    fn statuses_that_promise_no_execution_are_errors_and_all_others_unknown() {
        for status in 1..=17 {
            let expected = match status {
                3 | 5 | 7 | 8 | 9 | 11 | 12 | 14 | 16 => Outcome::Error,
                _ => Outcome::Unknown,
            };
            assert_eq!(
                outcome(reply(Some(status), b"")),
                expected,
                "status {status}"
            );
        }
        let unavailable = of(reply(Some(14), b"")).expect("ended");
        assert_eq!(
            (unavailable.label, &*unavailable.detail),
            ("UNAVAILABLE", "why")
        );
    }

    #[test]
    fn ok_is_what_its_message_says() {
        let message = |answer: SeckillResponse| {
            let mut body = vec![0, 0, 0, 0, answer.encoded_len() as u8];
            answer.encode_raw(&mut body);
            of(reply(Some(0), &body)).expect("ended")
        };
        let accepted = message(SeckillResponse {
            success: true,
            message: "fine".into(),
            order_id: 77,
        });
        assert_eq!(
            (accepted.outcome, accepted.refusal, accepted.order_id),
            (Outcome::Accepted, None, 77)
        );
        for (text, refusal) in [
            ("sold out", Refusal::SoldOut),
            ("the sale has not started", Refusal::NotStarted),
            ("the sale has ended", Refusal::Ended),
            ("the sale is paused", Refusal::NotStarted),
            ("too late, too early", Refusal::Other),
        ] {
            let refused = message(SeckillResponse {
                success: false,
                message: text.into(),
                order_id: 0,
            });
            assert_eq!(
                (refused.outcome, refused.refusal, &*refused.detail),
                (Outcome::Refused, Some(refusal), text)
            );
        }
        assert_eq!(outcome(reply(Some(0), b"")), Outcome::Unknown);
        assert_eq!(
            outcome(reply(Some(0), &[0, 0, 0, 0, 1, 0xff])),
            Outcome::Unknown
        );
    }

    #[test]
    fn a_broken_reply_is_unknown_and_an_unprocessed_request_has_no_outcome_yet() {
        assert_eq!(outcome(reply(None, b"")), Outcome::Unknown);
        assert_eq!(outcome(Ended::Reset(8)), Outcome::Unknown);
        assert_eq!(outcome(Ended::Reset(ERROR_REFUSED_STREAM)), Outcome::Error);
        assert_eq!(of(Ended::NotProcessed), None);
    }
}
