//! Parameters of statements. They borrow, so that a bulk insert binds without an allocation per
//! value.

use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{MySql, Sqlite};

/// One parameter. Ids, numbers, texts, bytes and options of them convert into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg<'a> {
    /// `NULL`.
    Null,
    /// A whole number.
    Number(i64),
    /// A text.
    Text(&'a str),
    /// Raw bytes.
    Bytes(&'a [u8]),
}

/// For a statement without parameters.
pub const NO_ARGS: [Arg<'static>; 0] = [];

impl From<i64> for Arg<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Arg<'_> {
    fn from(number: u32) -> Self {
        Self::Number(i64::from(number))
    }
}

/// Stored by its bits: not every database has an unsigned type of this size.
impl From<u64> for Arg<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number.cast_signed())
    }
}

impl From<bool> for Arg<'_> {
    fn from(is_so: bool) -> Self {
        Self::Number(i64::from(is_so))
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T: Into<Arg<'a>>> From<Option<T>> for Arg<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a, T: Copy + Into<Arg<'a>>> From<&T> for Arg<'a> {
    fn from(value: &T) -> Self {
        (*value).into()
    }
}

pub(crate) fn mysql<'q>(
    sql: &'q str,
    args: impl IntoIterator<Item: Into<Arg<'q>>>,
) -> Query<'q, MySql, MySqlArguments> {
    args.into_iter()
        .fold(sqlx::query(sql), |query, arg| match arg.into() {
            Arg::Null => query.bind(None::<i64>),
            Arg::Number(number) => query.bind(number),
            Arg::Text(text) => query.bind(text),
            Arg::Bytes(bytes) => query.bind(bytes),
        })
}

pub(crate) fn sqlite<'q>(
    sql: &'q str,
    args: impl IntoIterator<Item: Into<Arg<'q>>>,
) -> Query<'q, Sqlite, SqliteArguments<'q>> {
    args.into_iter()
        .fold(sqlx::query(sql), |query, arg| match arg.into() {
            Arg::Null => query.bind(None::<i64>),
            Arg::Number(number) => query.bind(number),
            Arg::Text(text) => query.bind(text),
            Arg::Bytes(bytes) => query.bind(bytes),
        })
}
