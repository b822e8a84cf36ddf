//! What whoever calls a service over gRPC can say of a call that failed.

use std::error::Error;
use tonic::ConnectError;

/// `cause` is the source of a status: whether the service has surely not seen the request.
pub fn was_not_sent(cause: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        let is_refused = |error: &h2::Error| error.reason() == Some(h2::Reason::REFUSED_STREAM);
        if error.is::<ConnectError>() || error.downcast_ref().is_some_and(is_refused) {
            return true;
        }
        cause = error.source();
    }
    false
}
