//! Rows of a fixed number of typed columns: `rows::<(OrderId, bool)>(…)`.

use sqlx::mysql::MySqlRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, MySql, Result, Row, Sqlite, Type, ValueRef};

/// A row of either database.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)] // A row of SQLite has none.
pub enum RowRef<'a> {
    /// Of MySQL or MariaDB.
    MySql(&'a MySqlRow),
    /// Of SQLite.
    Sqlite(&'a SqliteRow),
}

impl<'a> RowRef<'a> {
    /// What either database decodes by itself.
    fn get<T>(self, index: usize) -> Result<T>
    where
        T: Decode<'a, MySql> + Type<MySql> + Decode<'a, Sqlite> + Type<Sqlite>,
    {
        match self {
            Self::MySql(row) => row.try_get(index),
            Self::Sqlite(row) => row.try_get(index),
        }
    }

    fn is_null(self, index: usize) -> Result<bool> {
        match self {
            Self::MySql(row) => Ok(row.try_get_raw(index)?.is_null()),
            Self::Sqlite(row) => Ok(row.try_get_raw(index)?.is_null()),
        }
    }
}

/// A value that a column can hold.
pub trait FromColumn: Sized {
    /// The value in the column at `index`, which begins with 0.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    fn from_column(row: RowRef<'_>, index: usize) -> Result<Self>;
}

/// A row of as many columns as it has values.
pub trait FromRow: Sized {
    /// The values of the row's first columns.
    ///
    /// # Errors
    /// When there are fewer columns, or one holds something else.
    fn from_row(row: RowRef<'_>) -> Result<Self>;
}

macro_rules! decoded {
    ($($type:ty),+) => {
        $(impl FromColumn for $type {
            fn from_column(row: RowRef<'_>, index: usize) -> Result<Self> {
                row.get(index)
            }
        })+
    };
}

decoded!(i64, String, Vec<u8>);

/// Anything but 0 is `true`.
impl FromColumn for bool {
    fn from_column(row: RowRef<'_>, index: usize) -> Result<Self> {
        Ok(i64::from_column(row, index)? != 0)
    }
}

impl FromColumn for u32 {
    fn from_column(row: RowRef<'_>, index: usize) -> Result<Self> {
        let number = i64::from_column(row, index)?;
        Self::try_from(number).map_err(|error| sqlx::Error::ColumnDecode {
            index: index.to_string(),
            source: Box::new(error),
        })
    }
}

/// From its bits, as [`Arg`](crate::Arg) stores them.
impl FromColumn for u64 {
    fn from_column(row: RowRef<'_>, index: usize) -> Result<Self> {
        Ok(i64::from_column(row, index)?.cast_unsigned())
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(row: RowRef<'_>, index: usize) -> Result<Self> {
        match row.is_null(index)? {
            true => Ok(None),
            false => T::from_column(row, index).map(Some),
        }
    }
}

/// One column.
impl<T: FromColumn> FromRow for T {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        T::from_column(row, 0)
    }
}

impl<T: FromColumn + Copy + Default, const N: usize> FromRow for [T; N] {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        let mut values = [T::default(); N];
        for (index, value) in values.iter_mut().enumerate() {
            *value = T::from_column(row, index)?;
        }
        Ok(values)
    }
}

macro_rules! tuples {
    ($(($($type:ident $index:tt),+);)+) => {
        $(impl<$($type: FromColumn),+> FromRow for ($($type,)+) {
            fn from_row(row: RowRef<'_>) -> Result<Self> {
                Ok(($($type::from_column(row, $index)?,)+))
            }
        })+
    };
}

tuples! {
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
    (A 0, B 1, C 2, D 3, E 4, F 5);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
}
