//! What an error of either database means for whoever gets it.

use sqlx::Error;
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;
use std::io;
use std::time::Duration;

/// MySQL and MariaDB: duplicate key, out of range, wrong value, too long, null, check constraint
/// (of either product).
const REFUSALS: [u16; 7] = [1062, 1264, 1366, 1406, 1048, 3819, 4025];
/// MySQL and MariaDB: a lock was not given in time. Only this statement is undone; dropping the
/// transaction undoes the rest.
const LOCK_WAIT_TIMEOUT: u16 = 1_205;
/// MySQL: a lock was not free, and the statement had said that it would not wait. MariaDB says
/// [`LOCK_WAIT_TIMEOUT`].
const LOCK_NOT_FREE: u16 = 3_572;
/// MySQL and MariaDB: two transactions waited for each other, and this one was rolled back.
const DEADLOCK: u16 = 1_213;
/// MySQL and MariaDB: this product has no such setting.
const UNKNOWN_SYSTEM_VARIABLE: u16 = 1_193;
/// SQLite: somebody else writes. The low byte of the code; the others say why.
const SQLITE_BUSY: i64 = 5;

fn of_database(error: &Error) -> Option<&dyn DatabaseError> {
    error.as_database_error()
}

fn mysql_number(error: &Error) -> Option<u16> {
    of_database(error)?
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

/// Whether the database refuses these values for good, as opposed to being out of reach, busy or
/// full.
#[must_use]
pub fn is_refusal(error: &Error) -> bool {
    match (mysql_number(error), of_database(error)) {
        (Some(number), _) => REFUSALS.contains(&number),
        (None, Some(error)) => matches!(
            error.kind(),
            ErrorKind::UniqueViolation | ErrorKind::CheckViolation | ErrorKind::NotNullViolation
        ),
        (None, None) => false,
    }
}

/// Whether a row with such a key is there already.
#[must_use]
pub fn is_unique_violation(error: &Error) -> bool {
    of_database(error).is_some_and(DatabaseError::is_unique_violation)
}

/// Whether nothing has happened and the same transaction can succeed if it is tried again: it lost
/// against another one, or its connection died or fell silent before the commit.
#[must_use]
pub fn may_be_repeated(error: &Error) -> bool {
    // A row that is not there cannot be locked: of two transactions that insert it, one gets
    // this error.
    matches!(error, Error::Io(_))
        || is_unique_violation(error)
        || mysql_number(error).is_some_and(|number| [LOCK_WAIT_TIMEOUT, DEADLOCK].contains(&number))
}

/// Whether somebody else holds the lock of a row that a statement was not to wait for.
#[must_use]
pub fn is_locked(error: &Error) -> bool {
    mysql_number(error).is_some_and(|number| [LOCK_WAIT_TIMEOUT, LOCK_NOT_FREE].contains(&number))
}

/// Whether SQLite was not free to write: nothing has happened.
#[must_use]
pub fn is_busy(error: &Error) -> bool {
    let code = of_database(error).and_then(DatabaseError::code);
    let code = code.and_then(|code| code.parse::<i64>().ok());
    mysql_number(error).is_none() && code.is_some_and(|code| code & 0xFF == SQLITE_BUSY)
}

/// No answer came within `limit`: what became of the statement is unknown, and its connection is
/// closed.
pub(crate) fn out_of_time(limit: Duration) -> Error {
    let why = format!("the database did not answer within {limit:?}");
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, why))
}

/// The connection was closed before.
pub(crate) fn lost() -> Error {
    Error::Io(io::ErrorKind::NotConnected.into())
}

/// Whether nothing more can be read from the connection that gave this error.
pub(crate) fn is_loss(error: &Error) -> bool {
    matches!(
        error,
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed
    )
}

pub(crate) fn is_unknown_variable(error: &Error) -> bool {
    mysql_number(error) == Some(UNKNOWN_SYSTEM_VARIABLE)
}
