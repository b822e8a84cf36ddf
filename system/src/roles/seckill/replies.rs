//! What a buyer is told, and how each answer looks on the wire.

use crate::proto::seckill::SeckillResponse;
use engines::OrderId;
use tonic::{Response, Status};

/// The outcome of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The order event is durable; also for a buyer who asks again while his order lives.
    Accepted(OrderId),
    /// Not enough units are left.
    SoldOut,
    /// Nothing was sold; a retry can help.
    Unavailable(&'static str),
    /// It was sent on and nobody knows yet; a retry is safe and says what happened.
    Unknown,
}

impl Reply {
    /// The gRPC answer, as the kept wire contract has it.
    pub fn into_response(self) -> Result<Response<SeckillResponse>, Status> {
        match self {
            Self::Accepted(order) => Ok(Response::new(SeckillResponse {
                success: true,
                message: String::new(),
                order_id: order.0,
            })),
            Self::SoldOut => refusal("sold out"),
            Self::Unavailable(reason) => Err(Status::unavailable(reason)),
            Self::Unknown => Err(Status::deadline_exceeded(
                "outcome unknown; asking again is safe and says what happened",
            )),
        }
    }
}

/// A refusal is an answer, not an error.
pub fn refusal(message: &str) -> Result<Response<SeckillResponse>, Status> {
    Ok(Response::new(SeckillResponse {
        success: false,
        message: message.to_owned(),
        order_id: 0,
    }))
}
