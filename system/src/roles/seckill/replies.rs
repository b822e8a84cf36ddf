//! What a buyer is told: every outcome, its text, and how it looks on the wire, as the kept wire
//! contract has it.

#[cfg(test)]
mod tests;

use crate::grpc_server::{OTHER_INSTANCE, REASON};
use crate::proto::seckill::SeckillResponse;
use engines::{EngineError, OrderId, SaleId, UserId};
use tonic::metadata::MetadataValue;
use tonic::{Response, Status};

/// The outcome of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The order event is durable; also for a buyer who asks again while their order lives.
    Accepted(OrderId),
    /// The sale does not sell to them. An answer, not an error.
    Refused(Refusal),
    /// Nothing was sold; a retry can help.
    Unavailable(Reason),
    /// It was sent on and nobody knows yet; a retry is safe and says what happened.
    Unknown,
}

/// Why a sale does not sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not enough units are left.
    SoldOut,
    /// Its window has not begun.
    NotStarted,
    /// Its window is over.
    Ended,
    /// An administrator has paused it.
    Paused,
    /// They only looked, and have no order.
    NoOrder,
}

/// Why nothing was sold although it might have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// As many requests wait as may.
    Crowded,
    /// The deadline came before the request's turn.
    TooLate,
    /// This process may not publish now.
    NoLease,
    /// Its clock is so far behind that an order id could repeat.
    ClockBack,
    /// The sale has no epoch that can be sold from yet.
    SaleOpening,
    /// The sale is over, and its last orders are being written.
    SaleEnding,
    /// Whether they have an order in an ended sale could not be looked up.
    OrdersAway,
    /// The engine wants this buyer at another instance.
    OtherInstance,
    /// The buyer's earlier hold is being cleared, or units are on their way between slots.
    Busy,
    /// The engine did not answer, and has sold nothing.
    EngineAway,
    /// Nothing can be published.
    BrokerAway,
    /// The queue takes no more.
    QueueFull,
    /// The queue is gone; the process will have another one.
    QueueGone,
    /// The process ends.
    Stopping,
}

/// What is wrong with a request, with the value that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not the id of a buyer.
    User(UserId),
    /// Not a number of units that one request may buy.
    Quantity { got: i32, most: u32 },
    /// There is no such sale; a sale is known to buyers by its product.
    Sale(SaleId),
}

impl Reply {
    /// The gRPC answer.
    pub fn into_response(self) -> Result<Response<SeckillResponse>, Status> {
        match self {
            Self::Accepted(order) => Ok(Response::new(SeckillResponse {
                success: true,
                message: String::new(),
                order_id: order.0,
            })),
            Self::Refused(refusal) => Ok(Response::new(SeckillResponse {
                success: false,
                message: refusal.text().to_owned(),
                order_id: 0,
            })),
            Self::Unavailable(reason) => Err(reason.into()),
            Self::Unknown => Err(Status::deadline_exceeded(
                "outcome unknown; asking again is safe and says what happened",
            )),
        }
    }
}

impl Refusal {
    fn text(self) -> &'static str {
        match self {
            Self::SoldOut => "sold out",
            Self::NotStarted => "the sale has not started",
            Self::Ended => "the sale has ended",
            Self::Paused => "the sale is paused",
            Self::NoOrder => "there is no order",
        }
    }
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::Crowded => "too many requests are waiting; try again",
            Self::TooLate => "the request waited too long; try again",
            Self::NoLease => "this instance has no lease; try again",
            Self::ClockBack => "the clock of this instance stepped back; try again",
            Self::SaleOpening => "the sale is being opened; try again",
            Self::SaleEnding => "the sale is over and its last orders are being written; try again",
            Self::OrdersAway => "the orders of an ended sale cannot be looked up now; try again",
            Self::OtherInstance => "another instance serves this buyer; try again",
            Self::Busy => {
                "an earlier request of this buyer is being cleared, or units are on their way; try again"
            }
            Self::EngineAway => "the stock engine is out of reach; try again",
            Self::BrokerAway => "the order queue is out of reach; try again",
            Self::QueueFull => "the order queue is full; try again",
            Self::QueueGone => "the order queue is gone; try again",
            Self::Stopping => "stopping",
        }
    }
}

impl From<Reason> for Status {
    fn from(reason: Reason) -> Self {
        let mut status = Self::unavailable(reason.text());
        if reason == Reason::OtherInstance {
            let other = MetadataValue::from_static(OTHER_INSTANCE);
            status.metadata_mut().insert(REASON, other);
        }
        status
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::User(got) => {
                Self::invalid_argument(format!("user_id must be positive, got {got}"))
            }
            Fault::Quantity { got, most } => {
                Self::invalid_argument(format!("quantity must be 1 to {most}, got {got}"))
            }
            Fault::Sale(id) => Self::not_found(format!("no product {id} is on sale")),
        }
    }
}

/// Whoever inspects the stock is told what the engine says.
pub fn stock_unavailable(error: &EngineError) -> Status {
    Status::unavailable(error.to_string())
}
