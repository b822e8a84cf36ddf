//! What a client can be turned away for that asks too often, too much at once, or too slowly; operators
//! are told by these names. Beyond the connections that all clients together may have
//! (`max_connections`) nobody gets as far as here: they are counted where they are accepted.

use super::rates::Bucket;

/// A bound, called like the setting that says how wide it is where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// How often, of each kind of bucket.
    Rate(Bucket),
    /// Requests under way.
    InFlight,
    /// Connections of one address.
    ConnectionsPerAddress,
    /// Bytes of an address with its query, and of headers.
    Head,
    /// Bytes of a body.
    Body,
    /// Time for a head that was begun.
    HeaderTimeout,
    /// Time for a body.
    BodyTimeout,
}

impl Limit {
    /// Every one there is, in the order of [`Limit::index`].
    pub const ALL: [Self; 10] = [
        Self::Rate(Bucket::Global),
        Self::Rate(Bucket::Seckill),
        Self::Rate(Bucket::Order),
        Self::Rate(Bucket::Login),
        Self::InFlight,
        Self::ConnectionsPerAddress,
        Self::Head,
        Self::Body,
        Self::HeaderTimeout,
        Self::BodyTimeout,
    ];

    /// Where it stands among all.
    pub fn index(self) -> usize {
        match self {
            Self::Rate(bucket) => bucket as usize,
            Self::InFlight => 4,
            Self::ConnectionsPerAddress => 5,
            Self::Head => 6,
            Self::Body => 7,
            Self::HeaderTimeout => 8,
            Self::BodyTimeout => 9,
        }
    }

    /// As a label has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate(Bucket::Global) => "rate_global",
            Self::Rate(Bucket::Seckill) => "rate_seckill",
            Self::Rate(Bucket::Order) => "rate_order",
            Self::Rate(Bucket::Login) => "rate_login",
            Self::InFlight => "in_flight",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Head => "head",
            Self::Body => "body",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_stands_where_its_index_says() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit.index(), index, "{}", limit.name());
        }
    }
}
