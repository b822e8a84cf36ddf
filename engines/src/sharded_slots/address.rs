//! Which servers an address of `sharded-slots` names: one, or some nodes of a cluster.

use fred::prelude::Config;
use fred::types::config::{ServerConfig, TlsConfig, TlsConnector};

/// `redis://…` is one server, `redis-cluster://[[user]:password@]host:port,host:port,…` any nodes
/// of a cluster; `rediss://…` and `rediss-cluster://…` are the same under TLS.
pub(super) fn config(url: &str) -> std::result::Result<Config, String> {
    let plain = url.strip_prefix("redis-cluster://");
    let under_tls = url.strip_prefix("rediss-cluster://");
    let Some(rest) = plain.or(under_tls) else {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err(
                "it must begin with redis:// or redis-cluster://, or under TLS with rediss:// or \
                        rediss-cluster://"
                    .to_owned(),
            );
        }
        return Config::from_url_centralized(url)
            .map(keep_trying)
            .map_err(|error| error.to_string());
    };
    let (login, hosts) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(login, hosts)| (Some(login), hosts));
    let mut nodes = Vec::new();
    for node in hosts.trim_end_matches('/').split(',') {
        let parsed = node
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)));
        nodes.push(
            parsed
                .filter(|(host, _)| !host.is_empty())
                .ok_or(format!("{node:?} is not host:port"))?,
        );
    }
    let (user, password) = login
        .and_then(|login| login.split_once(':'))
        .unwrap_or_default();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let server = ServerConfig::new_clustered(nodes);
    Ok(keep_trying(Config {
        server,
        username: given(user),
        password: given(password),
        tls: under_tls
            .map(|_| TlsConnector::default_rustls())
            .transpose()
            .map_err(|error| error.to_string())?
            .map(TlsConfig::from),
        ..Config::default()
    }))
}

/// A first connection that fails is tried again in the background like every later one.
fn keep_trying(config: Config) -> Config {
    Config {
        fail_fast: false,
        ..config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fred::types::config::Server;

    #[test]
    fn a_cluster_url_names_its_nodes_and_login() {
        let parsed = config("redis-cluster://u:p@w@a:7000,b:7001/").unwrap();
        assert_eq!(
            parsed.server.hosts(),
            [Server::new("a", 7000), Server::new("b", 7001)]
        );
        assert_eq!(
            (parsed.username.as_deref(), parsed.password.as_deref()),
            (Some("u"), Some("p@w"))
        );
        assert!(
            config("redis-cluster://a:7000,b")
                .unwrap_err()
                .contains("\"b\" is not host:port")
        );
        assert!(
            config("redisss://a:1")
                .unwrap_err()
                .contains("redis:// or redis-cluster://")
        );
        let is_tls = |url| config(url).unwrap().uses_tls();
        assert!(is_tls("rediss-cluster://a:7000,b:7001/") && is_tls("rediss://a:1/"));
        assert!(!is_tls("redis-cluster://a:7000,b:7001/") && !is_tls("redis://a:1/"));
    }
}
