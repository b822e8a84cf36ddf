//! A private Redis: what is in it, and how all data and scripts are taken away.

use servers::{Address, redis};

fn address(url: &str) -> Address {
    let address = url.trim_start_matches("redis://").trim_end_matches('/');
    let (_, port) = address.rsplit_once(':').expect("a private Redis");
    Address::local(port.parse().expect("a port"))
}

/// Names of the keys that match a pattern.
pub async fn keys(url: &str, pattern: &str) -> Vec<String> {
    let asked = redis::ask(&address(url), &["KEYS", pattern]).await;
    asked.expect("Redis answers")
}

/// Empties the server as a failover to an empty replica would.
pub async fn flush(url: &str) {
    let address = address(url);
    for command in [["FLUSHALL"].as_slice(), &["SCRIPT", "FLUSH"]] {
        let answer = redis::ask(&address, command).await.expect("Redis answers");
        assert_eq!(answer, ["OK"], "{command:?}");
    }
}
