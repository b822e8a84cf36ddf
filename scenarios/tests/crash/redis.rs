//! Takes all data and scripts away from the Redis that the tests share.

use servers::{Address, redis};

/// Empties the server as a failover to an empty replica would.
pub async fn flush(url: &str) {
    let address = url.trim_start_matches("redis://").trim_end_matches('/');
    let (_, port) = address.rsplit_once(':').expect("a private Redis");
    let address = Address::local(port.parse().expect("a port"));
    for command in [["FLUSHALL"].as_slice(), &["SCRIPT", "FLUSH"]] {
        let answer = redis::ask(&address, command).await.expect("Redis answers");
        assert_eq!(answer, ["OK"], "{command:?}");
    }
}
