//! Every outcome with its code and its text: clients match on the first and people read the second.

use super::*;
use tonic::Code;

fn on_the_wire(reply: Reply) -> (Code, String) {
    match reply.into_response() {
        Ok(response) => {
            let SeckillResponse {
                success,
                message,
                order_id,
            } = response.into_inner();
            (Code::Ok, format!("{success} {order_id} {message:?}"))
        }
        Err(status) => (status.code(), status.message().to_owned()),
    }
}

#[test]
fn a_buyer_who_has_an_order_is_told_its_id_and_a_refusal_is_an_answer() {
    for (reply, text) in [
        (Reply::Accepted(OrderId(77)), "true 77 \"\""),
        (Reply::Refused(Refusal::SoldOut), "false 0 \"sold out\""),
        (
            Reply::Refused(Refusal::NotStarted),
            "false 0 \"the sale has not started\"",
        ),
        (
            Reply::Refused(Refusal::Ended),
            "false 0 \"the sale has ended\"",
        ),
        (
            Reply::Refused(Refusal::Paused),
            "false 0 \"the sale is paused\"",
        ),
        (
            Reply::Refused(Refusal::NoOrder),
            "false 0 \"there is no order\"",
        ),
    ] {
        assert_eq!(on_the_wire(reply), (Code::Ok, text.to_owned()), "{reply:?}");
    }
}

#[test]
fn what_a_retry_can_help_is_unavailable_and_says_why() {
    for (reason, text) in [
        (Reason::Crowded, "too many requests are waiting; try again"),
        (Reason::TooLate, "the request waited too long; try again"),
        (Reason::NoLease, "this instance has no lease; try again"),
        (
            Reason::ClockBack,
            "the clock of this instance stepped back; try again",
        ),
        (Reason::SaleOpening, "the sale is being opened; try again"),
        (
            Reason::SaleEnding,
            "the sale is over and its last orders are being written; try again",
        ),
        (
            Reason::OrdersAway,
            "the orders of an ended sale cannot be looked up now; try again",
        ),
        (
            Reason::OtherInstance,
            "another instance serves this buyer; try again",
        ),
        (
            Reason::Busy,
            "an earlier request of this buyer is being cleared, or units are on their way; try again",
        ),
        (
            Reason::EngineAway,
            "the stock engine is out of reach; try again",
        ),
        (
            Reason::BrokerAway,
            "the order queue is out of reach; try again",
        ),
        (Reason::QueueFull, "the order queue is full; try again"),
        (Reason::Stopping, "stopping"),
    ] {
        assert_eq!(
            on_the_wire(Reply::Unavailable(reason)),
            (Code::Unavailable, text.to_owned()),
            "{reason:?}"
        );
    }
}

#[test]
fn an_unknown_outcome_is_never_called_a_failure() {
    let (code, text) = on_the_wire(Reply::Unknown);
    assert_eq!(code, Code::DeadlineExceeded);
    assert_eq!(
        text,
        "outcome unknown; asking again is safe and says what happened"
    );
}

#[test]
fn a_faulty_request_is_refused_with_the_fault_and_what_is_allowed() {
    let wrong = |fault: Fault| {
        let status = Status::from(fault);
        (status.code(), status.message().to_owned())
    };
    assert_eq!(
        wrong(Fault::User(UserId(-1))),
        (
            Code::InvalidArgument,
            "user_id must be positive, got -1".to_owned()
        )
    );
    assert_eq!(
        wrong(Fault::Quantity { got: 0, most: 100 }),
        (
            Code::InvalidArgument,
            "quantity must be 1 to 100, got 0".to_owned()
        )
    );
    assert_eq!(
        wrong(Fault::Sale(SaleId(9))),
        (Code::NotFound, "no product 9 is on sale".to_owned())
    );
}
