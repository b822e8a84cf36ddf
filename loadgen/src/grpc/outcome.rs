//! What the end of a request means to its buyer. This is the one place that turns gRPC statuses and
//! lost connections into outcomes.

use crate::data::strip_prefix;
use crate::message::{OrderResponse, SeckillResponse};
use crate::run::{Operation, RequestEnd, refusal, without_numbers};
use crate::wire::{ERROR_REFUSED_STREAM, Ended, Reply, error_name};
use prost::Message;
use reports::outcome_log::{Outcome, Refusal};

const OK: u32 = 0;
/// A cancel or a pay that the state of its order forbids.
const CONFLICT: &str = "FAILED_PRECONDITION";
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

/// What an end on the wire means; none if the server certainly did not process the request, so that
/// it can be sent again.
pub fn of(operation: Operation, ended: Ended) -> Option<RequestEnd> {
    match ended {
        Ended::NotProcessed => None,
        Ended::Reset(ERROR_REFUSED_STREAM) => {
            Some(RequestEnd::new(Outcome::Error, "stream refused"))
        }
        Ended::Reset(error) => Some(RequestEnd {
            detail: format!("HTTP/2 error {error}, {}", error_name(error)),
            ..RequestEnd::new(Outcome::Unknown, "stream reset")
        }),
        Ended::Replied(reply) => Some(match operation {
            Operation::Cancel { .. } | Operation::Pay { .. } => of_change(reply),
            Operation::Buy { .. } | Operation::BuyAgain { .. } => of_reply(reply, bought),
        }),
    }
}

/// A cancel or a pay. The state of an order may forbid it, which is a refusal.
fn of_change(reply: Reply) -> RequestEnd {
    let end = of_reply(reply, changed);
    let end = match end.label {
        CONFLICT => RequestEnd {
            outcome: Outcome::Refused,
            refusal: Some(Refusal::Conflict),
            ..end
        },
        _ => end,
    };
    RequestEnd {
        detail: without_numbers(&end.detail),
        ..end
    }
}

fn of_reply(reply: Reply, done: impl FnOnce(&[u8]) -> Option<RequestEnd>) -> RequestEnd {
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
    let end = strip_prefix(&reply.body).and_then(done);
    end.unwrap_or_else(|| RequestEnd::new(Outcome::Unknown, "OK with a malformed message"))
}

/// The answer to a purchase; none if it is none.
fn bought(message: &[u8]) -> Option<RequestEnd> {
    let answer = SeckillResponse::decode(message).ok()?;
    Some(match answer.success {
        true => RequestEnd {
            order_id: answer.order_id,
            ..RequestEnd::new(Outcome::Accepted, "OK")
        },
        false => refused(refusal(&answer.message), answer.message),
    })
}

/// The answer to a cancel or a pay; none if it is none.
fn changed(message: &[u8]) -> Option<RequestEnd> {
    let answer = OrderResponse::decode(message).ok()?;
    Some(match answer.code {
        0 => RequestEnd::new(Outcome::Accepted, "OK"),
        _ => refused(Refusal::Other, answer.message),
    })
}

fn refused(refusal: Refusal, detail: String) -> RequestEnd {
    RequestEnd {
        refusal: Some(refusal),
        detail,
        ..RequestEnd::new(Outcome::Refused, "OK, refused")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUY: Operation = Operation::Buy { element: 0 };

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
        of(BUY, ended).expect("ended").outcome
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
        let unavailable = of(BUY, reply(Some(14), b"")).expect("ended");
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
            of(BUY, reply(Some(0), &body)).expect("ended")
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
        assert_eq!(of(BUY, Ended::NotProcessed), None);
    }

    #[test]
    fn a_cancel_or_a_pay_is_done_refused_by_the_state_of_its_order_or_not_known_of() {
        for operation in [Operation::Cancel { order: 0 }, Operation::Pay { order: 0 }] {
            let end =
                |status, body: &[u8]| of(operation, reply(Some(status), body)).expect("ended");
            let done = end(0, &[0, 0, 0, 0, 0]);
            assert_eq!((done.outcome, done.refusal), (Outcome::Accepted, None));
            let conflict = end(9, b"");
            assert_eq!(
                (conflict.outcome, conflict.refusal, conflict.label),
                (
                    Outcome::Refused,
                    Some(Refusal::Conflict),
                    "FAILED_PRECONDITION"
                )
            );
            let odd = end(0, &[0, 0, 0, 0, 2, 8, 3]);
            assert_eq!(
                (odd.outcome, odd.refusal),
                (Outcome::Refused, Some(Refusal::Other))
            );
            for (status, outcome) in [
                (3, Outcome::Error),
                (5, Outcome::Error),
                (14, Outcome::Error),
                (4, Outcome::Unknown),
                (13, Outcome::Unknown),
            ] {
                assert_eq!(end(status, b"").outcome, outcome, "status {status}");
            }
            assert_eq!(end(0, b"").outcome, Outcome::Unknown);
        }
    }
}
