//! Newtypes for the ids that cross the engine boundary, so that a user can never be passed where an
//! order is due.

/// Declares an id: `id!(/** A buyer. */ UserId(i64));`. The crate that calls it needs `serde`.
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
    };
}

id!(
    /// A sale; equal to the id of the product on offer.
    SaleId(i64)
);
id!(
    /// A buyer.
    UserId(i64)
);
id!(
    /// An order, minted before the reserve and unique for ever.
    OrderId(i64)
);
id!(
    /// One continuous life of a sale's stock in an engine; starts at 1 and only grows.
    Epoch(u32)
);
id!(
    /// One start of one publishing process.
    IncarnationId(i64)
);
id!(
    /// Random value of one opening; an engine that has lost its state cannot know it any more.
    Nonce(u64)
);
id!(
    /// The right to sell some units of a sale in one epoch: a row of `allocations`.
    AllocationId(i64)
);
