//! Asks an order service to cancel an order, or to take the payment for it, as its buyer does. What
//! they are told is kept for the audit. The messages are written by hand from the wire contract.

use crate::inspect::{self, Client};
use crate::load::Told;
use reports::outcome_log::{Operation, Outcome, Record, Refusal};
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};

/// Longer than any wait for a lock that a test makes it have.
const CALL_LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, PartialEq, prost::Message)]
struct ChangeRequest {
    #[prost(int64, tag = "1")]
    order_id: i64,
    #[prost(int64, tag = "2")]
    user_id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChangeResponse {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// What a buyer was told of their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    /// The order is in a state in which it cannot be, which the reason names.
    Conflict(String),
    /// There is no such order of theirs.
    NotFound,
    /// Turned away for now, with the reason, and when they may ask again, s.
    Later(String, Option<u32>),
    /// Nobody knows whether it was done, with the reason.
    Unknown(String),
}

impl Reply {
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// What the outcome log says of it.
    fn outcome(&self) -> (Outcome, Option<Refusal>) {
        match self {
            Self::Done => (Outcome::Accepted, None),
            Self::Conflict(_) => (Outcome::Refused, Some(Refusal::Conflict)),
            // Nothing was done, as the driver logs it.
            Self::NotFound | Self::Later(..) => (Outcome::Error, None),
            Self::Unknown(_) => (Outcome::Unknown, None),
        }
    }
}

/// Asks once, on a connection of its own.
pub async fn ask(address: SocketAddr, operation: Operation, of: (i64, i64), told: &Told) -> Reply {
    match Asker::connect(address).await {
        Ok(mut asker) => asker.ask(operation, of, told).await,
        Err(why) => {
            let reply = Reply::Later(why, None);
            keep(told, operation, of, &reply, (unix_us(), None));
            reply
        }
    }
}

/// A connection to an order service; its clones share it.
#[derive(Clone, Debug)]
pub struct Asker {
    client: Client,
}

impl Asker {
    pub async fn connect(address: SocketAddr) -> Result<Self, String> {
        let client = inspect::connect(address, CALL_LIMIT).await?;
        Ok(Self { client })
    }

    /// What became of this order of this user; kept for the audit.
    pub async fn ask(&mut self, operation: Operation, of: (i64, i64), told: &Told) -> Reply {
        let sent_at_unix_us = unix_us();
        let reply = match self.client.ready().await {
            Ok(()) => call(&mut self.client, operation, of.0, of.1).await,
            Err(error) => Reply::Unknown(error.to_string()),
        };
        keep(
            told,
            operation,
            of,
            &reply,
            (sent_at_unix_us, Some(sent_at_unix_us)),
        );
        reply
    }
}

/// Keeps what was told for the audit.
fn keep(
    told: &Told,
    operation: Operation,
    (order, user): (i64, i64),
    reply: &Reply,
    (due_at_unix_us, sent_at_unix_us): (i64, Option<i64>),
) {
    let (outcome, refusal) = reply.outcome();
    let record = Record {
        operation,
        user_id: user,
        product_id: 0,
        asked_order_id: order,
        quantity: 0,
        outcome,
        refusal,
        order_id: if reply.is_done() { order } else { 0 },
        due_at_unix_us,
        sent_at_unix_us,
        ended_at_unix_us: unix_us(),
    };
    told.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(record);
}

async fn call(client: &mut Client, operation: Operation, order: i64, user: i64) -> Reply {
    let method = match operation {
        Operation::Cancel => "/order.OrderService/CancelOrder",
        Operation::Pay => "/order.OrderService/PayOrder",
        Operation::Buy => panic!("the order service sells nothing"),
    };
    let request = tonic::Request::new(ChangeRequest {
        order_id: order,
        user_id: user,
    });
    let codec = tonic_prost::ProstCodec::<ChangeRequest, ChangeResponse>::default();
    let path = PathAndQuery::from_static(method);
    match client.unary(request, path, codec).await {
        Ok(response) => {
            assert_eq!(response.get_ref().code, 0, "{response:?}");
            Reply::Done
        }
        Err(status) => refused(&status),
    }
}

/// A connection that breaks is UNAVAILABLE or CANCELLED, too, but without a word about when to ask
/// again.
fn refused(status: &Status) -> Reply {
    let why = format!("{:?}: {}", status.code(), status.message());
    let retry_after = status.metadata().get("retry-after");
    let retry_after_s = retry_after.and_then(|text| text.to_str().ok()?.parse().ok());
    match status.code() {
        Code::FailedPrecondition => Reply::Conflict(status.message().to_owned()),
        Code::NotFound => Reply::NotFound,
        Code::Unavailable if retry_after_s.is_some() => Reply::Later(why, retry_after_s),
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated => {
            panic!("the test asks for what makes no sense: {why}")
        }
        _ => Reply::Unknown(why),
    }
}

fn unix_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_micros()).expect("before the year 294,000")
}
