//! Newtypes for ids, so that a buyer can never be passed where an order is due: they go into
//! statements and come out of rows as what they are.

/// Declares an id: `id!(/** A buyer. */ UserId(i64));`. What it is made of must be a column's value
/// by itself; the crate that calls it needs `serde` and `database`.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            ::serde::Serialize, ::serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::convert::From<$name> for $crate::Arg<'_> {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl $crate::FromColumn for $name {
            fn from_column(row: $crate::RowRef<'_>, index: usize) -> $crate::Result<Self> {
                $crate::FromColumn::from_column(row, index).map(Self)
            }
        }
    };
}
