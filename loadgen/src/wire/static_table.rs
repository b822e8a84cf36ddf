//! Names of HPACK's static table, RFC 7541 appendix A. Of its values only those of `:status` matter
//! to a client, and they are given beside it.

/// Entry 1 is the first.
#[rustfmt::skip]
pub const NAMES: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme", ":scheme", ":status", ":status",
    ":status", ":status", ":status", ":status", ":status", "accept-charset", "accept-encoding",
    "accept-language", "accept-ranges", "accept", "access-control-allow-origin", "age", "allow",
    "authorization", "cache-control", "content-disposition", "content-encoding", "content-language",
    "content-length", "content-location", "content-range", "content-type", "cookie", "date", "etag", "expect",
    "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "last-modified", "link", "location", "max-forwards", "proxy-authenticate",
    "proxy-authorization", "range", "referer", "refresh", "retry-after", "server", "set-cookie",
    "strict-transport-security", "transfer-encoding", "user-agent", "vary", "via", "www-authenticate",
];

/// Values of entries 8 to 14, all named `:status`.
pub const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
pub const FIRST_STATUS: usize = 8;
