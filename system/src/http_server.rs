//! What HTTP is served with, to clients and to operators: HTTP/1 and HTTP/2 on one socket, with
//! bounds and timers.

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::time::Duration;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Head of a request, bytes; and what is buffered of a connection.
const HEAD_BYTES_MAX: u32 = 16 * 1024;
/// Requests under way at the same time on one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;
/// Requests of one connection that were given up before they were looked at; beyond it the connection
/// is taken for an attack (rapid reset) and ended.
const PENDING_RESETS_MAX: usize = 20;
/// Pause between two pings of an HTTP/2 connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves connections that send the head of a request within `head_max`, and answer a ping within
/// `ping_max`.
pub fn builder(head_max: Duration, ping_max: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_max)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(ping_max);
    builder
}
