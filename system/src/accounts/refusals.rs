//! What people are told when the database does not answer.

use crate::grpc_server::retry_later;
use tonic::Status;

/// Nothing was written.
pub fn out_of_reach(error: &database::Error) -> Status {
    tracing::warn!(%error, "accounts cannot be read");
    retry_later("the accounts are out of reach; try again".to_owned())
}

/// It may have been written; `next` says how to find out.
pub fn outcome_unknown(error: &database::Error, next: &str) -> Status {
    tracing::warn!(%error, "an account cannot be written");
    Status::deadline_exceeded(format!("outcome unknown; {next}"))
}
