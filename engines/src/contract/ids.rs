//! Newtypes for the ids that cross the engine boundary, so that a user can never be passed where an
//! order is due. Those of sales, users, orders and incarnations are greater than 0.

use database::id;

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
    /// One start of one publishing process; numbered in the order of the starts.
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
